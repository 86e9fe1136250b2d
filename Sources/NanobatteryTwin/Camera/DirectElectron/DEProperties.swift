internal import DEMessaging

/// The properties of the emulated DE-Server, in the words that its clients use.
struct DEProperties {
  enum Kind {
    case readOnly
    case range(ClosedRange<Double>)
    case oneOf([String])
  }

  struct Entry {
    var name: String
    var value: DEValue
    var kind: Kind
  }

  static let rate = "Frames Per Second"
  static let exposure = "Exposure Time (seconds)"
  static let mode = "Image Processing - Mode"
  static let status = "Acquisition Status"
  static let integratedFormat = "Autosave Integrated Movie Pixel Format"
  static let countedFormat = "Autosave Counted Movie Pixel Format"
  private static let formats = ["Auto", "uint8", "uint16", "float32"]

  private(set) var entries: [Entry]

  init(_ settings: DEServerSettings, width: Int, height: Int) {
    func size(_ name: String, _ value: Int) -> Entry {
      Entry(name: name, value: .integer(Int32(value)), kind: .readOnly)
    }
    func number(_ name: String, _ value: Float, _ range: ClosedRange<Double>) -> Entry {
      Entry(name: name, value: .float(value), kind: .range(range))
    }
    func text(_ name: String, _ value: String, _ kind: Kind = .readOnly) -> Entry {
      Entry(name: name, value: .text(value), kind: kind)
    }
    entries = [
      text("Server Software Version", settings.software), text("Camera Name", settings.camera),
      text("Camera SN", settings.serial), text(Self.status, "Idle"),
      size("Sensor Size X (pixels)", width), size("Sensor Size Y (pixels)", height),
      size("Image Size X (pixels)", width), size("Image Size Y (pixels)", height), size("Crop Size X", width),
      size("Crop Size Y", height), size("Binning X", 1), size("Binning Y", 1),
      number(Self.rate, 100, 0.06...10_000), number(Self.exposure, 1, 0...settings.longestExposure),
      number("Exposure Time Max (seconds)", Float(settings.longestExposure), 0...settings.longestExposure),
      text(Self.mode, "Integrating", .oneOf(["Integrating", "Counting"])),
      text(Self.integratedFormat, "Auto", .oneOf(Self.formats)), text(Self.countedFormat, "Auto", .oneOf(Self.formats)),
      text("Scan - Enable", "Off", .oneOf(["Off", "On"])), size("Scan - Size X", 4), size("Scan - Size Y", 4),
      text("Feature - Hardware Binning", "Off"),
    ]
  }

  subscript(_ name: String) -> DEValue? { entries.first { $0.name == name }?.value }

  func number(_ name: String) -> Double { self[name]?.number ?? 0 }

  /// Sets what may be set; why not, otherwise.
  mutating func set(_ name: String, _ value: DEValue) -> String? {
    guard let index = entries.firstIndex(where: { $0.name == name }) else { return "Unknown property \(name)" }
    switch entries[index].kind {
    case .readOnly: return "\(name) is read-only"
    case .range(let range):
      // Single precision, as numbers come over the wire.
      guard let number = value.number, Float(range.lowerBound)...Float(range.upperBound) ~= Float(number) else {
        return "\(name) must be \(range.lowerBound) to \(range.upperBound)"
      }
      entries[index].value = .float(Float(number))
    case .oneOf(let choices):
      guard let text = value.text, choices.contains(text) else {
        return "\(name) must be one of \(choices.joined(separator: ", "))"
      }
      entries[index].value = .text(text)
    }
    return nil
  }

  mutating func setStatus(acquiring: Bool) {
    guard let index = entries.firstIndex(where: { $0.name == Self.status }) else { return }
    entries[index].value = .text(acquiring ? "Acquiring" : "Idle")
  }

  /// Type of data, kind of range, its options, then category, default and current value.
  func allowedValues(_ name: String) -> [DEValue]? {
    guard let entry = entries.first(where: { $0.name == name }) else { return nil }
    let type =
      switch entry.value {
      case .integer: "Integer"
      case .float: "Float"
      default: "String"
      }
    let (kind, options): (String, [DEValue]) =
      switch entry.kind {
      case .readOnly: ("AllowAll", [])
      case .range(let range): ("Range", [.float(Float(range.lowerBound)), .float(Float(range.upperBound))])
      case .oneOf(let choices): ("Set", choices.map { .text($0) })
      }
    return [.text(type), .text(kind)] + options + [.text("Basic"), entry.value, entry.value]
  }

  /// How movie buffers hold their pixels.
  var moviePixels: DEPixels {
    switch self[self[Self.mode]?.text == "Counting" ? Self.countedFormat : Self.integratedFormat]?.text {
    case "uint8": .u8
    case "float32": .f32
    default: .u16
    }
  }
}
