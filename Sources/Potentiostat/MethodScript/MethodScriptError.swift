/// An instrument's error line: `!4001: Line 1, Col 27`, with or without the place (methodscript.md §2, §5).
package struct MethodScriptError: Hashable, Sendable, CustomStringConvertible {
  package var code: Int
  /// In the script, from 1.
  package var line: Int?
  package var column: Int?

  package init(code: Int, line: Int? = nil, column: Int? = nil) {
    self.code = code
    self.line = line
    self.column = column
  }

  /// Reads what follows the echo of a command; nil when it is no error line.
  package init?(_ text: some StringProtocol) {
    let bytes = Array(text.utf8)
    guard bytes.first == UInt8(ascii: "!"), bytes.count >= 5, let code = MethodScriptValue.hexadecimal(bytes[1...4])
    else { return nil }
    self.code = code
    guard bytes.count > 5 else { return }
    guard bytes[5] == UInt8(ascii: ":") else { return nil }
    line = Self.number(after: "Line ", in: bytes[6...])
    column = Self.number(after: "Col ", in: bytes[6...])
  }

  private static func number(after word: String, in bytes: ArraySlice<UInt8>) -> Int? {
    let word = Array(word.utf8)
    guard bytes.count > word.count else { return nil }
    for start in bytes.startIndex..<(bytes.endIndex - word.count) where bytes[start...].starts(with: word) {
      let digits = bytes[(start + word.count)...].prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
      return digits.count <= 6 ? Int(String(decoding: digits, as: UTF8.self)) : nil
    }
    return nil
  }

  /// "critical cell overload (0032) in line 12, column 3".
  package var description: String {
    let number = String(code, radix: 16, uppercase: true)
    let digits = String(repeating: "0", count: max(0, 4 - number.count)) + number
    let meaning = Self.meanings[code] ?? "an error that is not in the list"
    let place = line.map { " in line \($0)" + (column.map { ", column \($0)" } ?? "") } ?? ""
    return "\(meaning) (\(digits))\(place)"
  }

  /// What the codes mean (methodscript.md §5).
  private static let meanings: [Int: String] = [
    0x0001: "unspecified error", 0x0002: "a variable has a type that is not allowed here", 0x0003: "unknown command",
    0x0004: "unknown register", 0x0005: "the register is read-only", 0x0006: "not in this communication mode",
    0x0007: "an argument has an unexpected value", 0x0008: "the line is too long", 0x0009: "time-out",
    0x000B: "out of memory", 0x000C: "no script is loaded", 0x000E: "overflow while averaging",
    0x000F: "the potential is not valid", 0x0010: "a variable became infinite or not a number",
    0x0011: "the frequency is not valid", 0x0012: "the amplitude is not valid",
    0x0014: "an open-circuit potential cannot be measured with the cell on", 0x0015: "checksum error",
    0x001A: "calibration is missing or wrong", 0x001B: "not supported by this instrument",
    0x001C: "the potential step is below the converter's step", 0x001D: "the pulse is below the converter's step",
    0x001E: "the amplitude is below the converter's step", 0x001F: "not licensed for this technique",
    0x0020: "potentiostat modes exclude each other", 0x0021: "the potentiostat mode is not supported",
    0x0023: "not possible in this potentiostat mode", 0x0024: "too many variables to measure",
    0x0028: "division by zero", 0x002B: "checksum error in a line", 0x002C: "checksum error in a line",
    0x002D: "checksum error in a line", 0x0032: "critical overload of the cell, the measurement was aborted",
    0x0052: "bytes were lost on the serial line", 0x0058: "timing error in a fast measurement",
    0x005A: "the measurement's timing is not possible", 0x0080: "the counter electrode oscillates",
    0x0085: "the pin has no hardware synchronization", 0x4001: "unknown script command",
    0x4004: "unexpected character", 0x4005: "the script is too large", 0x4008: "bad optional argument",
    0x400B: "a measurement loop inside another", 0x400C: "not possible at this place", 0x400D: "wrong scope",
    0x400E: "wrong scope", 0x4018: "the script ends unexpectedly", 0x401B: "a package is put together wrongly",
    0x401C: "a package is put together wrongly", 0x4026: "the variable exists already",
    0x4027: "the cell must be on", 0x4028: "the cell must be off", 0x4029: "the sweep has no step",
    0x402B: "the name is not valid", 0x402C: "the name is not valid",
    0x4032: "the potential cannot be set inside the measurement loop",
    0x4033: "the current cannot be set inside the measurement loop", 0x4034: "not licensed",
    0x4039: "the literal is malformed", 0x4200: "the argument cannot be negative",
    0x4201: "the argument cannot be positive", 0x4202: "the argument cannot be zero",
    0x4204: "the argument must be positive", 0x4205: "the argument is out of bounds",
    0x4206: "the argument does not suit this instrument", 0x420A: "an argument too many",
    0x420B: "the variable is not declared", 0x7FFF: "fatal error, the instrument must be switched off and on",
  ]
}
