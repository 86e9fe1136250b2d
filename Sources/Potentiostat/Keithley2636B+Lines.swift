import Linux
import Quantities
package import USB

/// Lines of Lua, and what the error queue says of them.
extension Keithley2636B {
  /// The resident script of a host that died is executed before anything else: until it has opened the output, for lack
  /// of a sign of life, nothing is answered. What it had printed comes first.
  static func awaitIdle(_ connection: SCPIConnection) throws(InstrumentError) {
    try connection.send("*IDN?")
    // Looked for, not waited for with a read: an answer that stays out needs no recovery here, the connection ends.
    let end = MonotonicTime.now + silence + answerPatience
    while try connection.statusByte() & messageAvailable == 0 {
      guard MonotonicTime.now < end else {
        throw .wire(.timedOut(device: connection.name, operation: "*IDN?"))
      }
      sleepThread(for: idlePollTime)
    }
    var answer = try connection.read()
    for _ in 0..<4 where ["R,", "T,", "B,"].contains(where: answer.hasPrefix) { answer = try connection.read() }
  }

  private static let idlePollTime = Seconds(0.005)

  func set(_ values: [(String, Double)]) throws(InstrumentError) {
    try apply(values.map { "\(smu).\($0.0) = \($0.1)" })
  }

  /// Sends lines and asks the error queue whether all were taken.
  func apply(_ lines: [String]) throws(InstrumentError) {
    try takeUnread()
    for line in lines { try connection.send(line) }
    let refusals = try refusals()
    guard refusals.isEmpty else {
      throw .refused(device: connection.name, command: lines.joined(separator: "; "), errors: refusals)
    }
  }

  func number(_ expression: String) throws(InstrumentError) -> Double {
    let answer = try connection.query("print(\(expression))")
    guard let value = Double(answer) else {
      throw .unexpected(device: connection.name, command: expression, answer: answer)
    }
    return value
  }

  /// What was cut off: rows are kept for the next poll, and the error is our own doing.
  func takeUnread() throws(InstrumentError) {
    guard hasUnread else { return }
    unread += try drained()
    hasUnread = false
    wasInterrupted = true
  }

  func takenUnread() -> Acquired {
    defer { unread = Acquired() }
    return unread
  }

  /// What the error queue holds, and endings of scripts that nobody was told of. While the script runs nothing else is
  /// executed: then nothing is asked.
  package func errors() throws(InstrumentError) -> [String] {
    guard !isRunning else { return [] }
    let refusals = try refusals()
    noteEnding()
    defer { notes = [] }
    return notes + refusals
  }

  /// The error queue, oldest first; while no script runs.
  func refusals() throws(InstrumentError) -> [String] {
    try takeUnread()
    var errors: [String] = []
    for _ in 0..<Self.mostErrors {
      // Code, text, severity, node; tab separated, the code as a number of any form.
      let entry = try connection.query("print(errorqueue.next())").split(separator: "\t").map(String.init)
      guard let code = entry.first.flatMap({ Double($0) }).flatMap({ Int(exactly: $0) }), entry.count >= 2 else {
        throw .unexpected(
          device: connection.name, command: "errorqueue.next()", answer: entry.joined(separator: " "))
      }
      if code == 0 { break }
      if code == -410, wasInterrupted { continue }
      errors.append("\(code), \(entry[1])")
    }
    wasInterrupted = false
    return errors
  }
}
