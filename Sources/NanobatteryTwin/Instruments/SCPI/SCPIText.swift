import Glibc

/// Numbers as instruments print them.
package enum SCPIText {
  /// NR3 with `decimals` digits after the point: `2.000000E-12`.
  package static func scientific(_ value: Double, decimals: Int = 6) -> String { format("%.*E", decimals, value) }

  /// NR2 with `decimals` digits after the point.
  package static func fixed(_ value: Double, decimals: Int) -> String { format("%.*f", decimals, value) }

  private static func format(_ pattern: String, _ decimals: Int, _ value: Double) -> String {
    // SCPI has no infinity; 9.9E37 stands for what is beyond the range (scpi-smu.md §8).
    let shown = value.isFinite ? (value == 0 ? 0 : value) : 9.9e37
    var buffer = [CChar](repeating: 0, count: 64)
    let size = buffer.count
    let count = unsafe withVaList([Int32(decimals), shown]) { unsafe vsnprintf(&buffer, size, pattern, $0) }
    return String(decoding: buffer.prefix(Int(count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// A definite-length block (IEEE 488.2 §8.7.9): `#232` and the bytes.
  package static func block(_ bytes: [UInt8]) -> [UInt8] {
    let length = String(bytes.count)
    return Array("#\(length.count)\(length)".utf8) + bytes
  }
}
