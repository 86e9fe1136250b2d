/// Names of runs that sort by time: 48 bits of milliseconds since 1970, then 80 random bits, as 26 letters and digits of
/// Crockford's base 32 (no I, L, O, U). Layout: github.com/ulid/spec.
package struct ULID: Hashable, Sendable, CustomStringConvertible {
  private static let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ".utf8)
  package static let length = 26

  package let description: String

  package init(unixNanoseconds: Int64) {
    var generator = SystemRandomNumberGenerator()
    self.init(unixNanoseconds: unixNanoseconds, using: &generator)
  }

  package init(unixNanoseconds: Int64, using generator: inout some RandomNumberGenerator) {
    let milliseconds = UInt64(max(0, unixNanoseconds)) / 1_000_000
    var letters: [UInt8] = []
    for place in (0..<10).reversed() { letters.append(Self.alphabet[Int(milliseconds >> (5 * UInt64(place)) & 31)]) }
    for _ in 0..<16 { letters.append(Self.alphabet[Int.random(in: 0..<32, using: &generator)]) }
    description = String(decoding: letters, as: UTF8.self)
  }

  /// Reads 26 letters of either case; nil when it is not a ULID.
  package init?(_ text: String) {
    let upper = text.uppercased()
    // 26 × 5 bits are 130: the first letter of a 128-bit number is at most 7.
    guard upper.utf8.count == Self.length, let first = upper.utf8.first, first <= UInt8(ascii: "7"),
      upper.utf8.allSatisfy(Self.alphabet.contains)
    else { return nil }
    description = upper
  }

  /// When it was made, ms since 1970.
  package var unixMilliseconds: Int64 {
    description.utf8.prefix(10).reduce(0) { sum, letter in
      sum << 5 | Int64(Self.alphabet.firstIndex(of: letter) ?? 0)
    }
  }
}
