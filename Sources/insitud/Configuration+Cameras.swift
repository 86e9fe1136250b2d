import BiasProtocol
import FrameIngest
import Quantities
import RunControl
import YAML

/// The sections `camera`, `cameras` and `ring`.
extension Configuration {
  private static let mostCameras = 8
  private static let longestName = 11
  private static let cameraKeys = [
    "model", "url", "exposure", "maximum_latency", "channel", "control", "socket", "rate", "watch", "ring",
    "counts_per_electron", "pixel_size", "statistics",
  ]
  private static let ringKeys = ["frames", "length", "largest_frame"]

  /// One camera under `camera`, or several under `cameras`, each with a name.
  static func cameras(_ top: YAMLMapping) throws(YAMLError) -> [CameraSetup] {
    guard let list = top.ifPresent("cameras") else {
      guard top.ifPresent("camera") != nil else { return [] }
      return [try camera(try top.mapping("camera", keys: cameraKeys), named: "camera", top)]
    }
    if let single = top.ifPresent("camera") {
      throw single.error("stands beside “cameras”", remedy: "put it into the list, with a name")
    }
    let fields = try list.sequence()
    guard (1...mostCameras).contains(fields.count) else {
      throw list.error("has \(fields.count) cameras", remedy: "write 1 to \(mostCameras)")
    }
    var setups: [CameraSetup] = []
    for field in fields {
      let section = try field.mapping(keys: ["name"] + cameraKeys)
      let name = try section.field("name")
      let text = try name.text()
      guard isName(text) else {
        throw name.error(
          "“\(text)” cannot be the name of a camera",
          remedy:
            "write 1 to \(longestName) small letters, digits or “-”, beginning with a letter; potentiostat and holder "
            + "are taken")
      }
      if setups.contains(where: { $0.name == text }) {
        throw name.error("is used twice", remedy: "give each camera a name of its own")
      }
      setups.append(try camera(section, named: text, top))
    }
    return setups
  }

  /// It becomes part of file names, thread names and streams.
  private static func isName(_ text: String) -> Bool {
    guard let first = text.first, first.isLowercase, text.utf8.count <= longestName else { return false }
    return !["potentiostat", "holder"].contains(text)
      && text.allSatisfy { $0.isASCII && ($0.isLowercase || $0.isNumber || $0 == "-") }
  }

  private static func camera(_ section: YAMLMapping, named name: String, _ top: YAMLMapping) throws(YAMLError)
    -> CameraSetup
  {
    let general = try top.mappingOrEmpty("ring", keys: ringKeys)
    let own = try section.mappingOrEmpty("ring", keys: ringKeys)
    let frame = try frameSize(own.ifPresent("largest_frame") ?? general.ifPresent("largest_frame"))
    let socket = try section.ifPresent("socket")?.choice(CameraSocket.allCases.map(\.rawValue))
    var source = CameraSettings(
      model: try section.field("model").choice(CameraModels.all.map(\.name)), url: try section.text("url"),
      maximumFrameBytes: frame.width * frame.height * 4,
      maximumLatency: try section.quantity("maximum_latency", default: Seconds(0.02)),
      channel: try section.ifPresent("channel")?.text(), control: try section.ifPresent("control")?.text(),
      socket: socket.flatMap(CameraSocket.init) ?? .pull)
    try refuseForeignKeys(section)
    if let field = section.ifPresent("rate") { source.replayRate = try replayRate(field) }
    var setup = CameraSetup(
      name: name, source: source, exposure: try section.quantity("exposure", default: Seconds(0.0024)),
      width: frame.width, height: frame.height, ringFrames: 256)
    if let watch = section.ifPresent("watch") { setup.watch = try frameRate(watch, or: "100 fps") }
    setup.countsPerElectron = try section.ifPresent("counts_per_electron").map(countsPerElectron)
    setup.pixelSize = try section.ifPresent("pixel_size").map(pixelSize)
    if section.ifPresent("statistics") != nil { setup.statistics = try statistics(section) }
    for ring in [general, own] { if let frames = try ringFrames(ring) { setup.ringFrames = frames } }
    return setup
  }

  /// Slots of a ring that is given in frames, or in seconds at a rate: "2 s at 400 fps".
  private static func ringFrames(_ ring: YAMLMapping) throws(YAMLError) -> Int? {
    guard let length = ring.ifPresent("length") else {
      return ring.ifPresent("frames") == nil ? nil : try ring.integer("frames", in: 8...65536)
    }
    if let frames = ring.ifPresent("frames") {
      throw frames.error("stands beside “length”", remedy: "write one of the two")
    }
    let text = try length.text()
    let words = text.split(separator: " ")
    guard let at = words.firstIndex(of: "at"),
      let time = try? Seconds(parsing: words[..<at].joined(separator: " ")),
      let rate = try? FrameRate.parse(words[(at + 1)...].joined(separator: " ")),
      case let slots = (time.value * rate.value).rounded(.up), (8...65536).contains(slots)
    else {
      throw length.error(
        "“\(text)” is not a length of the ring",
        remedy: "write for example “2 s at 400 fps”; 8 to 65536 frames in all")
    }
    return Int(slots)
  }

  /// Keys that only some cameras have: nobody shall believe that the others heed them.
  private static let keysOfModels = [
    "channel": ["simplon2"], "control": ["simplon", "simplon2", "merlin"], "socket": ["array"], "rate": ["replay"],
  ]

  private static func refuseForeignKeys(_ camera: YAMLMapping) throws(YAMLError) {
    let model = try camera.text("model")
    for (key, models) in keysOfModels.sorted(by: { $0.key < $1.key }) where !models.contains(model) {
      guard let field = camera.ifPresent(key) else { continue }
      throw field.error(
        "has no meaning with “model: \(model)”", remedy: "take it out; it belongs to \(models.joined(separator: ", "))")
    }
  }

  /// "recorded", "full" or "400 fps".
  private static func replayRate(_ field: YAMLField) throws(YAMLError) -> ReplayRate {
    switch try field.text() {
    case "recorded": return .recorded
    case "full": return .full
    default: return .chosen(try frameRate(field, or: "recorded, full, or 400 fps"))
    }
  }

  /// "400 fps".
  private static func frameRate(_ field: YAMLField, or example: String) throws(YAMLError) -> Hertz {
    let text = try field.text()
    do throws(QuantityError) { return try FrameRate.parse(text) } catch {
      throw field.error("\(error)", remedy: "write \(example)")
    }
  }

  /// "1024 x 1024" → width, height.
  private static func frameSize(_ field: YAMLField?) throws(YAMLError) -> (width: Int, height: Int) {
    guard let field else { return (1024, 1024) }
    let sides = try field.text().split(separator: "x").map { Int($0.filter { $0 != " " }) }
    guard sides.count == 2, let width = sides[0], let height = sides[1], 1...16384 ~= width, 1...16384 ~= height else {
      throw field.error("“\(try field.text())” is not a frame size", remedy: "write “1024 x 1024” (width x height)")
    }
    return (width, height)
  }
}
