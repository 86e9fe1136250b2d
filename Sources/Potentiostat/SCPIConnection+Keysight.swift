import Quantities
import USB

/// How Keysight's instruments tell of errors and blocks.
extension SCPIConnection {
  /// How long one message may take, when nothing is measured for it: whatever goes wrong, the cell is not left waiting.
  static let keysightPatience = Seconds(1)

  /// Asks who it is; the maker has had two names. Changes nothing in the instrument.
  func identifyKeysight(_ model: String) throws(InstrumentError) -> InstrumentIdentity {
    try identify { ["Agilent Technologies", "Keysight Technologies"].contains($0.manufacturer) && $0.model == model }
  }

  func sendKeysight(_ command: String) throws(InstrumentError) { try send(command, within: Self.keysightPatience) }
  func queryKeysight(_ question: String) throws(InstrumentError) -> String {
    try query(question, within: Self.keysightPatience)
  }

  /// Sends commands, each a message of its own, and asks after each whether it was taken.
  func applyKeysight(_ commands: String...) throws(InstrumentError) {
    for command in commands {
      try sendKeysight(command)
      let errors = try keysightErrors()
      if !errors.isEmpty { throw .refused(device: name, command: command, errors: errors) }
    }
  }

  /// The whole error queue with one question; `+0,"No error"` when it is empty.
  func keysightErrors(within limit: Seconds = keysightPatience) throws(InstrumentError) -> [String] {
    Self.entries(of: try query(":SYST:ERR:ALL?", within: limit))
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
