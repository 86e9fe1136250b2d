/// Writes the fields of one protobuf message.
struct ProtobufWriter {
  private(set) var bytes: [UInt8] = []

  mutating func varint(_ number: UInt64, _ value: UInt64) {
    append(number << 3)
    append(value)
  }

  mutating func fixed32(_ number: UInt64, _ value: UInt32) {
    append(number << 3 | 5)
    for shift in stride(from: UInt32(0), to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
  }

  mutating func lengthDelimited(_ number: UInt64, _ content: some Collection<UInt8>) {
    append(number << 3 | 2)
    append(UInt64(content.count))
    bytes += content
  }

  private mutating func append(_ varint: UInt64) {
    var rest = varint
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}
