/// Arbitrary block program data (IEEE 488.2 §8.7.9 and §8.7.10): `#<n><n digits><bytes>`, or `#0` and all that follows.
package enum SCPIBlock {
  /// How many bytes a response with a definite block at its head has, line feed included; nil when it has none there,
  /// or when the block's head is not complete.
  package static func length(_ bytes: [UInt8]) -> Int? {
    guard let head = head(bytes) else { return nil }
    return head.start + head.count + 1
  }

  /// The block's bytes; nil when `response` is not one whole block. The line feed that ends the response is not part of
  /// an indefinite block; a definite one is counted, whatever its bytes are.
  package static func content(of response: [UInt8]) -> [UInt8]? {
    if response.starts(with: [UInt8(ascii: "#"), UInt8(ascii: "0")]) {
      let rest = response.dropFirst(2)
      return Array(rest.last == 10 ? rest.dropLast() : rest)
    }
    guard let head = head(response), response.count - head.start >= head.count else { return nil }
    let end = head.start + head.count
    // Only the end of a line may follow.
    guard response[end...].allSatisfy({ $0 == 10 || $0 == 13 || $0 == 0 || $0 == 32 }) else { return nil }
    return Array(response[head.start..<end])
  }

  private static func head(_ bytes: [UInt8]) -> (start: Int, count: Int)? {
    guard bytes.count >= 2, bytes[0] == UInt8(ascii: "#"), (0x31...0x39).contains(bytes[1]) else { return nil }
    let digits = Int(bytes[1] - 0x30)
    guard bytes.count >= 2 + digits else { return nil }
    var count = 0
    for digit in bytes[2..<2 + digits] {
      guard (0x30...0x39).contains(digit) else { return nil }
      count = count * 10 + Int(digit - 0x30)
    }
    return (2 + digits, count)
  }
}
