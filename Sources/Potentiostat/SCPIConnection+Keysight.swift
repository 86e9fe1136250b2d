import Quantities
import USB

/// How Keysight's instruments tell of errors and blocks.
extension SCPIConnection {
  /// Sends commands, each a message of its own, and asks after each whether it was taken.
  func applyKeysight(_ commands: String...) throws(InstrumentError) {
    for command in commands {
      try send(command)
      let errors = try keysightErrors()
      if !errors.isEmpty { throw .refused(device: name, command: command, errors: errors) }
    }
  }

  /// The whole error queue with one question; `+0,"No error"` when it is empty.
  func keysightErrors() throws(InstrumentError) -> [String] {
    Self.entries(of: try query(":SYST:ERR:ALL?"))
  }

  /// Cuts `-113,"Undefined header",-222,"Data out of range"` into its entries.
  static func entries(of text: String) -> [String] {
    var entries: [String] = []
    var entry = ""
    var isQuoted = false
    for character in text {
      if character == "\"" { isQuoted.toggle() }
      entry.append(character)
      if character == "\"" && !isQuoted {
        entries.append(String(entry.drop { $0 == "," || $0 == " " }))
        entry = ""
      }
    }
    if entry.contains(where: { $0 != "," && $0 != " " }) { entries.append(entry) }
    return entries.filter { !$0.hasPrefix("+0,") && !$0.hasPrefix("0,") }
  }

  /// Asks for readings in binary.
  func keysightReadings(_ question: String, within limit: Seconds) throws(InstrumentError) -> [KeysightReading] {
    let answer = try queryBytes(question, within: limit)
    guard let bytes = Self.blockContent(answer), let rows = KeysightReading.rows(bytes) else {
      throw .unexpected(
        device: name, command: question, answer: "\(answer.count) bytes that are no block of readings: \(answer.prefix(16))")
    }
    return rows
  }

  /// What is in a definite-length block (IEEE 488.2 §8.7.9). `queryBytes` trims what looks like the end of a line: bytes
  /// that are missing at the end were zeros, for the last element is a whole number.
  static func blockContent(_ answer: [UInt8]) -> [UInt8]? {
    guard answer.count >= 2, answer[0] == UInt8(ascii: "#"), (49...57).contains(answer[1]) else { return nil }
    let digits = Int(answer[1] - 48)
    guard answer.count >= 2 + digits,
      let length = Int(String(decoding: answer[2..<2 + digits], as: UTF8.self)), length <= 1 << 24
    else { return nil }
    let content = answer[(2 + digits)...].prefix(length)
    guard length - content.count <= 8 else { return nil }
    return content + [UInt8](repeating: 0, count: length - content.count)
  }
}

/// A number as SCPI wants it (NR3).
func keysightNumber(_ value: Double) -> String { "\(value)".uppercased() }
