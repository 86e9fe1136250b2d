/// Why bytes are no packet of the DE-Server.
package struct DEPacketError: Error, Equatable, CustomStringConvertible {
  package let description: String
  init(_ description: String) { self.description = description }
}

/// Reads the fields of one protobuf message, in the order they come. Nothing is believed: every length is checked
/// against what is left.
struct ProtobufReader {
  enum Wire: UInt64 {
    case varint = 0
    case fixed64 = 1
    case bytes = 2
    case fixed32 = 5
  }

  private static let mostVarintBytes = 10

  private var bytes: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

  /// The next field's number and how it is written; nil at the end.
  mutating func nextField() throws(DEPacketError) -> (number: UInt64, wire: Wire)? {
    guard !bytes.isEmpty else { return nil }
    let key = try varint()
    guard let wire = Wire(rawValue: key & 7) else { throw DEPacketError("a field of wire type \(key & 7)") }
    guard key >> 3 > 0 else { throw DEPacketError("a field with the number 0") }
    return (key >> 3, wire)
  }

  mutating func varint() throws(DEPacketError) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<Self.mostVarintBytes {
      guard let byte = bytes.popFirst() else { throw DEPacketError("it ends inside a number") }
      // The tenth byte has room for one bit.
      guard index < Self.mostVarintBytes - 1 || byte <= 1 else { break }
      value |= UInt64(byte & 0x7F) << UInt64(7 * index)
      if byte < 0x80 { return value }
    }
    throw DEPacketError("a number of more than 64 bits")
  }

  mutating func fixed32() throws(DEPacketError) -> UInt32 {
    var value: UInt32 = 0
    for (index, byte) in try take(4).enumerated() { value |= UInt32(byte) << UInt32(8 * index) }
    return value
  }

  mutating func lengthDelimited() throws(DEPacketError) -> ArraySlice<UInt8> {
    let count = try varint()
    guard count <= UInt64(bytes.count) else { throw DEPacketError("a field longer than the packet") }
    return try take(Int(count))
  }

  mutating func text() throws(DEPacketError) -> String {
    guard let text = String(validating: try lengthDelimited(), as: UTF8.self) else {
      throw DEPacketError("text that is not UTF-8")
    }
    return text
  }

  /// Passes over a field that is not known here.
  mutating func skip(_ wire: Wire) throws(DEPacketError) {
    switch wire {
    case .varint: _ = try varint()
    case .fixed64: _ = try take(8)
    case .bytes: _ = try lengthDelimited()
    case .fixed32: _ = try take(4)
    }
  }

  private mutating func take(_ count: Int) throws(DEPacketError) -> ArraySlice<UInt8> {
    guard count <= bytes.count else { throw DEPacketError("it ends inside a field") }
    defer { bytes = bytes.dropFirst(count) }
    return bytes.prefix(count)
  }
}
