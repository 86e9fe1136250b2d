import Linux
package import Quantities
package import USB

/// The open biasing holder OBH-1: SCPI over USBTMC, `holder.md` §4.
package final class OpenBiasingHolder: Holder {
  package let identity: InstrumentIdentity
  private let connection: SCPIConnection
  /// The next heartbeat token; it must change every time (§4.4).
  private var token: UInt32

  /// Taps of the relay matrix (§4.1).
  private enum Tap {
    static let working = 1
    static let counter = 2
    static let sense = 3
  }

  /// Checks the identity. Changes nothing in the holder.
  package init(_ connection: SCPIConnection) throws(InstrumentError) {
    self.connection = connection
    identity = try connection.identify { $0.model.hasPrefix("OBH-1") }
    // Another daemon may have used any token before: begin where it cannot have been.
    token = UInt32(truncatingIfNeeded: MonotonicTime.now.nanoseconds / 1_000_000)
  }

  package func disconnect() { connection.close() }
  package func errors() throws(InstrumentError) -> [String] { try connection.drainErrors() }

  package func watchHost(timeout: Seconds) throws(InstrumentError) {
    try connection.apply(":SYST:HEAR:TIM \(timeout.value)")
  }

  package func beat() throws(InstrumentError) {
    token &+= 1
    try connection.send(":SYST:HEAR \(token)")
  }

  package func state() throws(InstrumentError) -> HolderState {
    let condition = Int(try connection.query(":STAT:OPER:COND?")) ?? 0
    let questionable = Int(try connection.query(":STAT:QUES:COND?")) ?? 0
    let cause = try connection.query(":SYST:SAF:CAUS?").filter { $0 != "\"" }
    let closed = try connection.query(":ROUT:CLOS:STAT?")
    // Operation condition bit 12: armed, bit 11: output on; questionable bit 9 interlock, 10 heartbeat lost (§4.3).
    let name =
      if condition & (1 << 11) != 0 { "ACTIVE" } else if condition & (1 << 12) != 0 {
        "ARMED"
      } else if questionable
        & (1 << 9) != 0
      { "INTERLOCK" } else { "SAFE_OPEN" }
    return HolderState(name: name, safeCause: cause, contactsClosed: closed.contains("!"))
  }

  package func arm() throws(InstrumentError) {
    try connection.send("*CLS")
    try beat()
    try connection.apply(":SYST:SAF:CLE")
    try beat()
    try connection.apply(":SYST:ARM")
  }

  package func close(_ contacts: HolderContacts) throws(InstrumentError) {
    var channels = ["\(contacts.working)!\(Tap.working)", "\(contacts.counter)!\(Tap.counter)"]
    if let reference = contacts.reference { channels.append("\(reference)!\(Tap.sense)") }
    // Break before make: an electrode is never on two taps at once.
    try connection.apply(":ROUT:SEQ BBM", ":ROUT:CLOS (@\(channels.joined(separator: ",")))")
  }

  package func makeSafe() throws(InstrumentError) {
    try connection.send(":SYST:SAF")
    guard try connection.query("*OPC?", within: Seconds(1)) == "1" else {
      throw .unexpected(device: connection.name, command: ":SYST:SAF", answer: "no end of operation")
    }
  }

  package func clockPair() throws(InstrumentError) -> ClockPair? {
    let asked = MonotonicTime.now
    let answer = try connection.query(":SYST:TIME?")
    let answered = MonotonicTime.now
    // 2⁵⁰ µs are 35 years of uptime; beyond it is no time.
    guard let microseconds = answer.split(separator: ",").first.flatMap({ Int64($0) }), 0..<1 << 50 ~= microseconds
    else {
      throw .unexpected(device: connection.name, command: ":SYST:TIME?", answer: answer)
    }
    return ClockPair(deviceNanoseconds: microseconds * 1000, earliest: asked, latest: answered)
  }

  package func leakage(at bias: Volts) throws(InstrumentError) -> (resistance: Ohms, current: Amperes) {
    let question = ":SENS:LEAK:MEAS? \(bias.value)"
    let answer = try connection.query(question, within: Seconds(5))
    let numbers = answer.split(separator: ",").compactMap { Double($0.drop { $0 == " " }) }
    guard numbers.count == 2 else {
      throw .unexpected(device: connection.name, command: question, answer: answer)
    }
    return (Ohms(numbers[0]), Amperes(numbers[1]))
  }
}
