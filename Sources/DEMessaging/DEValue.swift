/// A parameter of a command or of its answer: `AnyParameter` (camera-streams.md §4).
package enum DEValue: Equatable, Sendable {
  case null
  case integer(Int32)
  case boolean(Bool)
  case text(String)
  case float(Float)
  case bytes([UInt8])

  package var integer: Int? { if case .integer(let value) = self { Int(value) } else { nil } }
  package var boolean: Bool? { if case .boolean(let value) = self { value } else { nil } }
  package var text: String? { if case .text(let value) = self { value } else { nil } }

  /// A finite number; servers also write numbers as text.
  package var number: Double? {
    let value: Double? =
      switch self {
      case .integer(let value): Double(value)
      case .float(let value): Double(value)
      case .text(let text): Double(text)
      default: nil
      }
    return value.flatMap { $0.isFinite ? $0 : nil }
  }
}

/// A value with the name it is sent under.
struct NamedValue: Equatable {
  var name = ""
  var value = DEValue.null

  init(name: String, value: DEValue) {
    self.name = name
    self.value = value
  }

  /// What `type` names is the value; one that is zero or empty is left out by proto3 writers.
  init(parsing bytes: ArraySlice<UInt8>) throws(DEPacketError) {
    var reader = ProtobufReader(bytes)
    var type: UInt64 = 0
    var (integer, boolean, text, float, raw): (Int32, Bool, String, Float, [UInt8]) = (0, false, "", 0, [])
    while let (field, wire) = try reader.nextField() {
      switch (field, wire) {
      case (1, .varint): type = try reader.varint()
      case (2, .bytes): name = try reader.text()
      case (3, .varint): integer = try Self.zigZag(try reader.varint())
      case (4, .varint): boolean = try reader.varint() != 0
      case (5, .bytes): text = try reader.text()
      case (6, .fixed32): float = Float(bitPattern: try reader.fixed32())
      case (7, .bytes): raw = Array(try reader.lengthDelimited())
      case (1...7, _): throw DEPacketError("field \(field) of a parameter has wire type \(wire.rawValue)")
      default: try reader.skip(wire)
      }
    }
    switch type {
    case 0: value = .null
    case 1: value = .integer(integer)
    case 2: value = .boolean(boolean)
    case 3: value = .text(text)
    case 4: value = .float(float)
    case 5: value = .bytes(raw)
    default: throw DEPacketError("a parameter of type \(type)")
    }
  }

  /// `sint32`: 0, −1, 1, −2 … are 0, 1, 2, 3 …
  static func zigZag(_ code: UInt64) throws(DEPacketError) -> Int32 {
    guard code <= UInt64(UInt32.max) else { throw DEPacketError("an integer of more than 32 bits") }
    let half = Int32(truncatingIfNeeded: code >> 1)
    return code & 1 == 0 ? half : ~half
  }

  var encoded: [UInt8] {
    var writer = ProtobufWriter()
    func put(type: UInt64) {
      if type != 0 { writer.varint(1, type) }
      if !name.isEmpty { writer.lengthDelimited(2, name.utf8) }
    }
    switch value {
    case .null: put(type: 0)
    case .integer(let value):
      put(type: 1)
      let code = UInt32(bitPattern: (value << 1) ^ (value >> 31))
      if code != 0 { writer.varint(3, UInt64(code)) }
    case .boolean(let value):
      put(type: 2)
      if value { writer.varint(4, 1) }
    case .text(let value):
      put(type: 3)
      if !value.isEmpty { writer.lengthDelimited(5, value.utf8) }
    case .float(let value):
      put(type: 4)
      if value.bitPattern != 0 { writer.fixed32(6, value.bitPattern) }
    case .bytes(let value):
      put(type: 5)
      if !value.isEmpty { writer.lengthDelimited(7, value) }
    }
    return writer.bytes
  }
}
