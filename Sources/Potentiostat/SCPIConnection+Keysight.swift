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
    let bytes = try queryBlock(question, within: limit)
    guard let rows = KeysightReading.rows(bytes) else {
      throw .unexpected(
        device: name, command: question,
        answer: "a block of \(bytes.count) bytes that are no readings: \(bytes.prefix(16))")
    }
    return rows
  }
}

/// A number as SCPI wants it (NR3).
func keysightNumber(_ value: Double) -> String { "\(value)".uppercased() }
