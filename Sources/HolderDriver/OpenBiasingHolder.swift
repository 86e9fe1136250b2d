import Linux
package import Quantities
package import USB

/// The open biasing holder OBH-1: SCPI over USBTMC (`holder.md` §4, docs/obh-1.md).
package final class OpenBiasingHolder: Holder {
  /// A measurement of leakage takes so long at most (docs/obh-1.md).
  private static let leakageTime = Seconds(1)

  /// What every OBH-1 has; `*OPT?` tells what more is fitted.
  package static let always: HolderAbilities = [.route, .bias, .meter, .leakage, .insert, .edges, .watchesHost]

  package let identity: InstrumentIdentity
  package let abilities: HolderAbilities
  let connection: SCPIConnection
  /// The next heartbeat token; it must change every time (§4.4).
  private var token: UInt32

  package var limitations: [String] { [] }

  package static func open(_ settings: HolderSettings, on bus: any USBBus) throws(InstrumentError) -> OpenBiasingHolder
  {
    guard let usb = settings.usb else {
      throw .unable(device: settings.model, reason: "it is a USB device; say which with “holder.usb”")
    }
    let connection = try SCPIConnection.open(usb, on: bus, name: settings.model)
    do throws(InstrumentError) { return try OpenBiasingHolder(connection) } catch {
      connection.close()
      throw error
    }
  }

  /// Checks the identity and asks what is fitted. Changes nothing in the holder.
  package init(_ connection: SCPIConnection) throws(InstrumentError) {
    self.connection = connection
    identity = try connection.identify { $0.model.hasPrefix("OBH-1") }
    var found = Self.always
    for option in try connection.query("*OPT?").split(separator: ",") {
      switch option.filter({ $0 != " " }) {
      case "PIEZO": found.insert(.piezo)
      case "HEATER": found.insert(.heater)
      case "FORCE": found.insert(.force)
      case "AUX": found.insert(.auxiliary)
      case "BLANK": found.insert(.blank)
      default: break
      }
    }
    abilities = found
    // Another daemon may have used any token before: begin where it cannot have been.
    token = UInt32(truncatingIfNeeded: MonotonicTime.now.nanoseconds / 1_000_000)
  }

  package func disconnect() { connection.close() }
  package func errors() throws(InstrumentError) -> [String] { try connection.drainErrors() }

  /// Sends commands and asks whether all were taken. A contact that the firmware stopped at is told through the error queue
  /// as well (+304, docs/obh-1.md) and is no refusal.
  func apply(_ commands: String...) throws(InstrumentError) {
    for command in commands {
      try connection.send(command)
      let errors = try connection.drainErrors().filter { !$0.hasPrefix("304,") && !$0.hasPrefix("+304,") }
      if !errors.isEmpty { throw .refused(device: connection.name, command: command, errors: errors) }
    }
  }

  func require(_ ability: HolderAbilities, _ what: String) throws(InstrumentError) {
    guard abilities.contains(ability) else {
      throw .unable(device: identity.model, reason: "this holder has no \(what) fitted (*OPT? says what is)")
    }
  }

  func numbers(_ question: String, _ count: Int, within limit: Seconds = SCPIConnection.answerPatience)
    throws(InstrumentError) -> [Double]
  {
    let answer = try connection.query(question, within: limit)
    let numbers = answer.split(separator: ",").compactMap { Double($0.filter { $0 != " " }) }
    guard numbers.count == count, numbers.allSatisfy(\.isFinite) else {
      throw .unexpected(device: connection.name, command: question, answer: answer)
    }
    return numbers
  }

  /// A damaged answer is none: taken for 0 it would say that all is well.
  func whole(_ question: String) throws(InstrumentError) -> Int {
    let answer = try connection.query(question)
    guard let number = Int(answer) else {
      throw .unexpected(device: connection.name, command: question, answer: answer)
    }
    return number
  }

  package func watchHost(timeout: Seconds) throws(InstrumentError) {
    try apply(":SYST:HEAR:TIM \(timeout.value)")
  }

  package func beat() throws(InstrumentError) {
    token &+= 1
    try connection.send(":SYST:HEAR \(token)")
  }

  package func state() throws(InstrumentError) -> HolderState {
    let condition = try whole(":STAT:OPER:COND?")
    let questionable = try whole(":STAT:QUES:COND?")
    let cause = try connection.query(":SYST:SAF:CAUS?").filter { $0 != "\"" }
    let isInserting = try connection.query(":SYST:INS?") == "1"
    let channels = try closedChannels()
    // Operation condition bit 12: armed, bit 11: output on; questionable bit 9 interlock (§4.3).
    let name =
      switch (condition & 1 << 11 != 0, condition & 1 << 12 != 0) {
      case (true, _): "ACTIVE"
      case (_, true): "ARMED"
      case _ where isInserting: "INSERT"
      case _ where cause == "HARDWARE": "FAULT"
      case _ where questionable & 1 << 9 != 0: "INTERLOCK"
      default: "SAFE_OPEN"
      }
    return HolderState(
      name: name, safeCause: cause, contactsClosed: channels.contains { HolderChannel.Tap.cell.contains($0.tap) })
  }

  package func arm(_ settings: HolderSettings) throws(InstrumentError) {
    try connection.send("*CLS")
    try beat()
    try apply(":SYST:SAF:CLE")
    try prepare(settings)
    try beat()
    try apply(":SYST:ARM")
  }

  /// What the laboratory says of its holder. None of it moves a relay or a source.
  private func prepare(_ settings: HolderSettings) throws(InstrumentError) {
    let profile = settings.profile
    // Grounding both electrodes shorts a cell: possible only where there is none, and then nothing is forbidden for it.
    let pairs = HolderProfile.shorts(settings.contacts) + profile.forbidden
    try apply(":ROUT:FORB (@\(pairs.map(\.description).joined(separator: ",")))")
    if profile.groundsWhenSafe {
      try apply(":SYST:SAF:CELL NONE", ":SYST:SAF:ACT GRO")
    } else {
      try apply(":SYST:SAF:CELL PRES", ":SYST:SAF:ACT OPEN")
    }
    try apply(":SENS:LEAK:LIM \(profile.leakageLimit.value)")
    if abilities.contains(.piezo) {
      // A tip that moves by itself may crash: it stays where it is when everything else goes to zero.
      let limits = profile.approach.limits
      try apply(
        ":SYST:SAF:PIEZ HOLD", ":SOUR:PIEZ:FINE:LIM:LOW \(limits.lowerBound.value)",
        ":SOUR:PIEZ:FINE:LIM:HIGH \(limits.upperBound.value)")
    }
    if abilities.contains(.heater), let chip = profile.chip, try connection.query(":SOUR:HEAT:MODE?") == "OFF" {
      let numbers = [
        chip.resistance.value, chip.temperature.value, chip.alpha, chip.beta, chip.maximumCurrent.value,
        chip.maximumTemperature.value,
      ]
      try apply(":SOUR:HEAT:CHIP \(numbers.map { "\($0)" }.joined(separator: ","))")
    }
  }

  package func close(_ contacts: HolderContacts) throws(InstrumentError) {
    var channels = [
      HolderChannel(contacts.working, HolderChannel.Tap.working),
      HolderChannel(contacts.counter, HolderChannel.Tap.counter),
    ]
    if let reference = contacts.reference { channels.append(HolderChannel(reference, HolderChannel.Tap.sense)) }
    // First, so that no voltage of the cell meets a gate that floats.
    if let gate = contacts.gate { try route([HolderChannel(gate, HolderChannel.Tap.ground)]) }
    try route(channels)
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

  // MARK: routing

  package func route(_ channels: [HolderChannel]) throws(InstrumentError) {
    // Break before make: an electrode is never on two taps at once.
    try apply(":ROUT:SEQ BBM", ":ROUT:CLOS \(HolderChannel.text(channels))")
  }

  package func closedChannels() throws(InstrumentError) -> [HolderChannel] {
    let answer = try connection.query(":ROUT:CLOS:STAT?")
    guard let channels = HolderChannel.list(answer) else {
      throw .unexpected(device: connection.name, command: ":ROUT:CLOS:STAT?", answer: answer)
    }
    return channels
  }

  package func open(_ channels: [HolderChannel]) throws(InstrumentError) {
    try apply(":ROUT:OPEN \(HolderChannel.text(channels))")
  }
  package func openAll() throws(InstrumentError) { try apply(":ROUT:OPEN:ALL") }
  package func insert(_ isOn: Bool) throws(InstrumentError) { try apply(":SYST:INS \(isOn ? "ON" : "OFF")") }

  package func leakage(at bias: Volts) throws(InstrumentError) -> (resistance: Ohms, current: Amperes) {
    let numbers = try numbers(
      ":SENS:LEAK:MEAS? \(bias.value)", 2, within: Self.leakageTime + SCPIConnection.answerPatience)
    return (Ohms(numbers[0]), Amperes(numbers[1]))
  }
}
