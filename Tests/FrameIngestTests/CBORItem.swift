/// CBOR written by its definition (RFC 8949), for messages that the receiver is given.
enum CBORItem: Sendable {
  case unsigned(UInt64)
  case bytes([UInt8])
  case text(String)
  indirect case array([CBORItem])
  indirect case map([(String, CBORItem)])
  indirect case tag(UInt64, CBORItem)
  /// Bytes as they are.
  case raw([UInt8])

  var encoded: [UInt8] {
    switch self {
    case .unsigned(let value): Self.head(0, value)
    case .bytes(let bytes): Self.head(2, UInt64(bytes.count)) + bytes
    case .text(let text): Self.head(3, UInt64(text.utf8.count)) + Array(text.utf8)
    case .array(let items): Self.head(4, UInt64(items.count)) + items.flatMap(\.encoded)
    case .map(let pairs):
      Self.head(5, UInt64(pairs.count)) + pairs.flatMap { CBORItem.text($0.0).encoded + $0.1.encoded }
    case .tag(let number, let item): Self.head(6, number) + item.encoded
    case .raw(let bytes): bytes
    }
  }

  private static func head(_ kind: UInt8, _ value: UInt64) -> [UInt8] {
    switch value {
    case ..<24: [kind << 5 | UInt8(value)]
    case ..<256: [kind << 5 | 24, UInt8(value)]
    case ..<65536: [kind << 5 | 25] + bigEndian(UInt16(value))
    case ..<(1 << 32): [kind << 5 | 26] + bigEndian(UInt32(value))
    default: [kind << 5 | 27] + bigEndian(value)
    }
  }

  static func rational(_ numerator: UInt64, _ denominator: UInt64) -> CBORItem {
    .array([.unsigned(numerator), .unsigned(denominator)])
  }

  /// Tag 40 around a typed array.
  static func picture(_ width: UInt64, _ height: UInt64, type: UInt64, _ pixels: CBORItem) -> CBORItem {
    .tag(40, .array([.array([.unsigned(height), .unsigned(width)]), .tag(type, pixels)]))
  }

  static func compressed(_ algorithm: String, _ elementBytes: UInt64, _ bytes: [UInt8]) -> CBORItem {
    .tag(56500, .array([.text(algorithm), .unsigned(elementBytes), .bytes(bytes)]))
  }

  /// An image message with 20 ns of time base.
  static func image(
    _ series: UInt64, _ number: UInt64, _ data: [(String, CBORItem)], start: CBORItem = .rational(250, 50_000_000),
    stop: CBORItem = .rational(300, 50_000_000), real: CBORItem = .rational(45, 50_000_000)
  ) -> CBORItem {
    .map([
      ("type", .text("image")), ("series_id", .unsigned(series)), ("image_id", .unsigned(number)),
      ("series_date", .tag(0, .text("2026-11-21T09:00:00Z"))), ("start_time", start), ("stop_time", stop),
      ("real_time", real), ("user_data", .map([("a", .array([.unsigned(1), .bytes([2])]))])), ("data", .map(data)),
    ])
  }

  static func start(_ series: UInt64, images: UInt64 = 3, channels: [String] = ["threshold_1"]) -> CBORItem {
    .map([
      ("type", .text("start")), ("arm_date", .tag(0, .text("2026-11-21T09:00:00Z"))),
      ("channels", .array(channels.map { .text($0) })), ("detector_description", .text("DECTRIS ARINA")),
      ("detector_serial_number", .text("E-02-0001")), ("frame_time", .raw([0xFB] + bigEndian((0.01).bitPattern))),
      ("image_dtype", .text("uint16")), ("image_size_x", .unsigned(4)), ("image_size_y", .unsigned(2)),
      ("number_of_images", .unsigned(images)), ("series_id", .unsigned(series)),
    ])
  }

  static func end(_ series: UInt64) -> CBORItem {
    .map([("type", .text("end")), ("series_id", .unsigned(series)), ("series_unique_id", .text("01H"))])
  }
}
