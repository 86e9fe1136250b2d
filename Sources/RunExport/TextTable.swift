internal import Glibc
internal import Quantities
internal import SQLite

/// Rows of comma-separated text (RFC 4180, with line feeds).
enum TextTable {
  /// Writes `header` and what `line` makes of each row of `query` to `path`.
  static func write(
    _ run: RunSource, _ query: String, header: String, to path: String, line: (Statement) -> String
  ) throws(ExportError) {
    var file = try ExportFile(path)
    file.write(header + "\n")
    do throws(DatabaseError) {
      try run.database.statement(query).forEach { row in file.write(line(row) + "\n") }
    } catch {
      file.abandon()
      throw ExportError(error, reading: run.path)
    }
    try file.finish()
  }

  /// Quoted only where it must be.
  static func field(_ text: String?) -> String {
    guard let text else { return "" }
    guard text.utf8.contains(where: { [0x2C, 0x22, 0x0A, 0x0D].contains($0) }) else { return text }
    return "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
  }

  /// Empty where there is no value.
  static func scientific(_ value: Double?, digits: Int = 6) -> String {
    guard let value, value.isFinite else { return "" }
    // 1 digit, point, digits, "e-308", sign and end fit.
    return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 32 + digits) { text in
      let count = unsafe withVaList([value]) { unsafe vsnprintf(text.baseAddress, text.count, "%.\(digits)e", $0) }
      return unsafe String(decoding: UnsafeRawBufferPointer(text).prefix(Int(count)), as: UTF8.self)
    }
  }

  static func seconds(nanoseconds: Int64) -> String {
    let sign = nanoseconds < 0 ? "-" : ""
    let parts = nanoseconds.magnitude.quotientAndRemainder(dividingBy: 1_000_000_000)
    let fraction = String(parts.remainder)
    return sign + String(parts.quotient) + "." + String(repeating: "0", count: 9 - fraction.count) + fraction
  }
}
