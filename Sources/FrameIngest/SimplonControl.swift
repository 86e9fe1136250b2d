import JSON
import Linux
import Pixels
import Quantities

/// The request side of a DECTRIS detector control unit: SIMPLON API 1.8 over HTTP (camera-streams.md §1, §2).
///
/// Not tried on hardware: that `trigger` in the mode `ints` answers only when all images have been taken, that `cancel`
/// ends after the image that is being taken and `disarm` then ends the series, and that a setting's answer has `max`.
final class SimplonControl {
  /// For one answer.
  private static let patience = Seconds(2)
  /// For all the answers that one call needs: the daemon expects its camera's thread to turn within 8 s. The detector
  /// makes itself ready before it answers `arm`.
  private static let callPatience = Seconds(6)
  /// Between two looks for the answer to `trigger`; frames come in between.
  private static let betweenLooks = Seconds(0.05)
  /// Where the detector does not say how many images a series may have.
  private static let images: Int64 = 1_000_000
  private static let mostImages = Int64(Int32.max)
  /// A time that the detector rounded by more than this is another.
  private static let tolerance = 0.01
  private static let longestText = 200

  let address: String
  private let format: SimplonFormat
  private let requests = HTTPExchange()
  private let triggering = HTTPExchange()
  /// A trigger that was refused at once.
  private var earlyRefusal: CameraError?
  private var version = "1.8.0"
  /// It is armed for us, or may be.
  private var isArmed = false
  private var nextLook = MonotonicTime(nanoseconds: 0)
  /// When the call that is running must be over.
  private var until = MonotonicTime(nanoseconds: 0)

  init(_ address: String, _ format: SimplonFormat) throws(CameraError) {
    let host = address.hasPrefix("http://") ? address.dropFirst(7) : ""
    guard !host.isEmpty, !host.hasPrefix("/"), !host.contains(where: { $0 == " " || $0 == "?" || $0 == "#" }) else {
      throw .badSetting("`control: \(address)` is not the address of a detector; write for example http://detector")
    }
    self.address = address.hasSuffix("/") ? String(address.dropLast()) : address
    self.format = format
  }

  /// Asks the detector who it is; changes nothing.
  func connect() throws(CameraError) -> SimplonConfiguration {
    until = .now + Self.callPatience
    let answer = try get("detector/api/version/")
    guard let version = answer["value"]?.string ?? answer.string else {
      throw .misunderstood(address: address, request: "version", answer: brief(answer.text))
    }
    guard version.hasPrefix("1.8.") else {
      throw .misunderstood(address: address, request: "version (1.8 is understood)", answer: brief(version))
    }
    self.version = brief(version)
    var detector = SimplonConfiguration()
    detector.model = try setting("description")?.string
    detector.serial = try setting("detector_number")?.string
    detector.width = try setting("x_pixels_in_detector")?.integer.flatMap { Int(exactly: $0) }
    detector.height = try setting("y_pixels_in_detector")?.integer.flatMap { Int(exactly: $0) }
    detector.pixelType = try setting("bit_depth_image")?.integer.flatMap { PixelType(simplonName: "uint\($0)") }
    return detector
  }

  /// Sets the detector up for a series without end, and arms it.
  /// - Returns: the number under which it will send.
  func arm(_ request: ExposureRequest) throws(CameraError) -> UInt64 {
    if isArmed { try end() }
    until = .now + Self.callPatience
    try put("stream/api/\(version)/config/mode", ["value": "enabled"])
    try put("stream/api/\(version)/config/format", ["value": .string(format.rawValue)])
    let most = try get("detector/api/\(version)/config/nimages")["max"]?.integer ?? Self.images
    try set("trigger_mode", "ints")
    try set("ntrigger", 1)
    try set("nimages", .integer(min(max(most, 1), Self.mostImages)))
    // Setting the exposure moves the period out of its way, so the period comes last.
    try set("count_time", .number(request.exposure.value))
    try set("frame_time", .number(request.framePeriod.value))
    try check("frame_time", request.framePeriod)
    try check("count_time", request.exposure)
    let answer: JSONValue
    do throws(CameraError) {
      isArmed = true
      answer = try put("detector/api/\(version)/command/arm", nil, within: Self.callPatience)
    } catch {
      // Who was refused has not armed it; perhaps somebody else has.
      if error.isRefusal { isArmed = false }
      throw error
    }
    guard let series = answer["sequence id"]?.integer.flatMap({ UInt64(exactly: $0) }) else {
      throw .misunderstood(address: address, request: "arm", answer: brief(answer.text))
    }
    return series
  }

  /// Begins the exposures. The answer comes when the last has been taken; `look` hears it.
  func trigger() throws(CameraError) {
    earlyRefusal = nil
    do throws(HTTPExchange.Failure) {
      try triggering.begin("PUT", "\(address)/detector/api/\(version)/command/trigger", within: nil)
      earlyRefusal = refused(try triggering.look(atMost: Self.betweenLooks))
    } catch {
      throw .disconnected(address: address, reason: "trigger: \(error.reason)")
    }
  }

  /// Hears whether the trigger has failed. That alone says little: something on the way may have lost patience with a
  /// request that lasts as long as the series does.
  func look(at now: MonotonicTime) -> CameraError? {
    if let earlyRefusal {
      self.earlyRefusal = nil
      return earlyRefusal
    }
    guard triggering.isBusy, now >= nextLook else { return nil }
    nextLook = now + Self.betweenLooks
    do throws(HTTPExchange.Failure) {
      return refused(try triggering.look())
    } catch {
      return .disconnected(address: address, reason: "trigger: \(error.reason)")
    }
  }

  private func refused(_ answer: HTTPExchange.Answer?) -> CameraError? {
    guard let answer, answer.status != 200 else { return nil }
    return refusal("trigger", answer)
  }

  /// Ends the series after the image that is being taken. What the detector does not end so is aborted.
  func end() throws(CameraError) {
    guard isArmed else { return }
    until = .now + Self.callPatience
    do throws(CameraError) {
      try put("detector/api/\(version)/command/cancel", nil)
      try put("detector/api/\(version)/command/disarm", nil)
    } catch {
      guard error.isRefusal else { throw error }
      try put("detector/api/\(version)/command/abort", nil)
    }
    isArmed = false
    triggering.forget()
  }

  /// A detector that is left alone does not go on exposing.
  func close() {
    if isArmed { abort() }
    triggering.forget()
  }

  private func abort() {
    until = .now + Self.patience
    _ = try? put("detector/api/\(version)/command/abort", nil)
    isArmed = false
    triggering.forget()
  }

  // MARK: Requests

  private func setting(_ key: String) throws(CameraError) -> JSONValue? {
    try get("detector/api/\(version)/config/\(key)")["value"]
  }

  private func set(_ key: String, _ value: JSONValue) throws(CameraError) {
    try put("detector/api/\(version)/config/\(key)", ["value": value])
  }

  private func check(_ key: String, _ wanted: Seconds) throws(CameraError) {
    guard let found = try setting(key)?.double else { return }
    guard abs(found - wanted.value) <= Self.tolerance * wanted.value else {
      throw .refused(
        address: address, request: "\(key) of \(wanted)", answer: "it set \(Seconds(found)); ask for what it can do")
    }
  }

  private func get(_ path: String) throws(CameraError) -> JSONValue { try ask("GET", path, "", Self.patience) }

  @discardableResult
  private func put(
    _ path: String, _ body: JSONValue?, within limit: Seconds = patience
  ) throws(CameraError) -> JSONValue {
    try ask("PUT", path, body?.text ?? "", limit)
  }

  private func ask(
    _ method: String, _ path: String, _ body: String, _ limit: Seconds
  ) throws(CameraError) -> JSONValue {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    let answer: HTTPExchange.Answer
    do throws(HTTPExchange.Failure) {
      answer = try requests.ask(method, "\(address)/\(path)", body, within: min(limit, until - .now))
    } catch {
      throw .unreachable(address: address, reason: "\(name): \(error.reason)")
    }
    guard answer.status == 200 else { throw refusal(name, answer) }
    if answer.body.isEmpty { return .object([:]) }
    do throws(JSONError) { return try JSONValue(parsing: answer.body) } catch {
      throw .misunderstood(
        address: address, request: name, answer: brief(String(decoding: answer.body, as: UTF8.self)))
    }
  }

  private func refusal(_ request: String, _ answer: HTTPExchange.Answer) -> CameraError {
    .refused(
      address: address, request: request,
      answer: "HTTP \(answer.status) \(brief(String(decoding: answer.body, as: UTF8.self)))")
  }

  /// The beginning of foreign text, without control characters.
  private func brief(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.prefix(Self.longestText).map { $0.value < 32 ? " " : $0 }))
  }
}
