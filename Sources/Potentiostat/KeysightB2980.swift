import Linux
package import Quantities
package import USB

extension PotentiostatModel {
  static let keysightB2985A = keysightB2980("keysight-b2985a", "B2985A")
  static let keysightB2987A = keysightB2980("keysight-b2987a", "B2987A")

  private static func keysightB2980(_ name: String, _ model: String) -> PotentiostatModel {
    PotentiostatModel(name: name) { bus, settings throws(InstrumentError) in
      let connection = try SCPIConnection.open(settings.usb, on: bus, name: settings.model)
      return try takeOver(connection) { connection throws(InstrumentError) in
        try KeysightB2980(connection, settings, model: model)
      }
    }
  }
}

/// Keysight B2985A and B2987A: an electrometer with a voltage source, and no current source (`scpi-smu.md` §0, 6).
///
/// **Wiring.** Voltage source HI → working electrode. Ammeter/voltmeter input (triaxial) → counter electrode. The
/// source's low is joined to the ammeter's common inside (`:OUTP:LOW COMM`). As an ammeter the input is a virtual ground
/// (burden 20 µV): the cell has the source's voltage, and a current that charges the working electrode flows into the
/// input and reads positive. As a voltmeter the input draws nothing (> 200 TΩ): it stands at source − cell, so
/// V_cell = V_source − V_meter.
///
/// **Biases.** Open: the input relay is open, then the source off at high impedance. Rest (0 A): voltmeter. A voltage:
/// ammeter, with the input closed only when the source is at the cell's own voltage. A current: refused.
///
/// **Voltage of a sample.** At rest measured. While a voltage is held nothing measures it: the set voltage is reported,
/// and `voltageAccuracy` is the source's error with the voltmeter's. The source's own error drops out where it begins at
/// a rest: the voltmeter read the cell against it. At rest no current is measured, and none is reported.
///
/// The commands are those of public drivers; none of it was tried on hardware.
package final class KeysightB2980: PotentiostatDriver {
  package let identity: InstrumentIdentity
  package let abilities: PotentiostatAbilities
  private let connection: SCPIConnection
  private let hasBattery: Bool
  private let acquisition: KeysightAcquisition
  private var wanted: Acquisition?
  private var state = State.open
  /// What the source is set to, V.
  private var level = 0.0
  private var settledFrom: Int64?

  private enum State { case open, rest, hold }

  /// A voltage set point is reached in steps of this size at most, with a reading after each.
  private static let rampStep = 0.02  // V
  /// A step of a ramp waits for the range to settle, but no longer than this; what is read earlier is marked.
  private static let longestStepWait = Seconds(0.05)
  /// Per cent; below it the operator is told.
  private static let lowBattery = 20

  /// Checks the identity. Changes nothing in the instrument.
  init(
    _ connection: SCPIConnection, _ settings: PotentiostatSettings, model: String,
    countBeforeNew: Int = KeysightAcquisition.mostReadings
  ) throws(InstrumentError) {
    self.connection = connection
    identity = try connection.identify { identity in
      ["Agilent Technologies", "Keysight Technologies"].contains(identity.manufacturer) && identity.model == model
    }
    guard settings.channel == "a" else {
      throw .unable(device: connection.name, reason: "channel “\(settings.channel)”: a \(model) has a alone")
    }
    guard !settings.fourWire else {
      throw .unable(device: connection.name, reason: "it has no sense wires; leave four_wire out of the configuration")
    }
    hasBattery = model == "B2987A"
    var remarks = [
      "Wire the voltage source's HI to the working and the triaxial input to the counter electrode.",
      "It has no current source: it rests at 0 A with the voltage measured, and holds voltages with the current measured.",
      "While a voltage is held the set voltage is reported; nothing measures it at the cell.",
      "The lowest ranges settle slowly: 16 s at 2 pA, 1.4 s at 20 and 200 pA.",
      "The driver follows public programs and memory of the manual; it has not been tried on the instrument.",
    ]
    if hasBattery {
      remarks.append("Its noise is lowest on battery; the battery is at \(try connection.query(":SYST:BATT?")) %.")
    }
    var abilities = PotentiostatAbilities(holdsCurrent: false, measuresBoth: false, remarks: remarks)
    abilities.voltages = Volts(-KeysightB2980Model.sourceRange)...Volts(KeysightB2980Model.sourceRange)
    self.abilities = abilities
    acquisition = KeysightAcquisition(
      connection, channel: nil, triggerIn: settings.triggerIn, triggerOut: settings.triggerOut,
      countBeforeNew: countBeforeNew)
  }

  package func close() { connection.close() }
  private func send(_ command: String) throws(InstrumentError) {
    try connection.send(command, within: SCPIConnection.keysightPatience)
  }
  private func query(_ question: String) throws(InstrumentError) -> String {
    try connection.query(question, within: SCPIConnection.keysightPatience)
  }

  package func errors() throws(InstrumentError) -> [String] {
    var errors = try connection.keysightErrors() + acquisition.takeNotes()
    if hasBattery, let level = Int(try query(":SYST:BATT?")), level < Self.lowBattery {
      errors.append("the battery is at \(level) %: connect the mains, or charge it")
    }
    return errors
  }

  // MARK: Ranges

  package let ranges = KeysightB2980Model.ranges
  /// The timer takes 10 µs; what a host keeps up with is a choice, not tried on hardware.
  package let shortestPeriod = Seconds(0.005)
  package var range: RangeFacts {
    ranges.first { $0.range >= (wanted?.currentRange ?? .zero) } ?? ranges[ranges.count - 1]
  }
  package var voltageAccuracy: Volts {
    let most = min(wanted?.voltageRange.value ?? KeysightB2980Model.sourceRange, KeysightB2980Model.sourceRange)
    return Volts(
      most * (KeysightB2980Model.sourceGain + KeysightB2980Model.meterGain) + KeysightB2980Model.sourceOffset
        + KeysightB2980Model.meterOffset)
  }
  private var aperture: Seconds { Seconds(min(2, max(10e-6, 0.8 * (wanted?.period.value ?? 0.02)))) }

  // MARK: Getting ready

  package func prepare(_ acquisition: Acquisition) throws(InstrumentError) {
    try connection.clear()
    // High impedance exists in the source's 20 V range alone; in the other one this is refused, and the input relay,
    // which comes next, opens the cell all the same.
    try send(":OUTP:OFF:MODE HIZ")
    try send(":INP OFF")
    self.acquisition.forget()
    try send(":ABOR:ALL")
    try send(":OUTP OFF")
    state = .open
    try send(":SOUR:VOLT 0;:SOUR:VOLT:RANG \(keysightNumber(KeysightB2980Model.sourceRange))")
    try send(":OUTP:OFF:MODE HIZ;*CLS")
    let found = try query(":OUTP:OFF:MODE?;:INP?;:OUTP?")
    guard found == "HIZ;0;0" else {
      throw .unexpected(device: connection.name, command: ":OUTP:OFF:MODE?;:INP?;:OUTP?", answer: found)
    }
    guard acquisition.voltageRange.value <= KeysightB2980Model.sourceRange else {
      let interlock = try query(":SYST:INT:TRIP?") == "0" ? "closed" : "open"
      throw .unable(
        device: connection.name,
        reason:
          "\(acquisition.voltageRange) needs its 1000 V range, which has no high-impedance off state (the interlock is \(interlock)); keep the protocol within ±20 V"
      )
    }
    wanted = acquisition
    level = 0
    let volts = keysightNumber(KeysightB2980Model.sourceRange)
    try connection.applyKeysight(
      ":OUTP:LOW COMM", ":SENS:CURR:RANG:AUTO 0;:SENS:VOLT:RANG:AUTO 0", ":SENS:VOLT:RANG \(volts)")
    try setCurrentRange()
    try setAperture()
    try self.acquisition.prepare()
  }

  /// Sets the range, and lets the instrument find its own zero on it: the input is open.
  private func setCurrentRange() throws(InstrumentError) {
    try connection.applyKeysight(
      ":INP:ZCOR 0", ":SENS:FUNC \"CURR\"", ":SENS:CURR:RANG \(keysightNumber(range.range.value))", ":INP:ZCOR 1")
  }

  private func setAperture() throws(InstrumentError) {
    let seconds = keysightNumber(aperture.value)
    try connection.applyKeysight(":SENS:CURR:APER \(seconds);:SENS:VOLT:APER \(seconds)")
  }

  package func setRange(_ currentRange: Amperes) throws(InstrumentError) {
    try open()
    wanted?.currentRange = currentRange
    try setCurrentRange()
  }

  package func setPeriod(_ period: Seconds) throws(InstrumentError) {
    wanted?.period = period
    try setAperture()
  }

  // MARK: Bias

  package func finish() throws(InstrumentError) -> Acquired {
    guard state != .open else { return Acquired() }
    try acquisition.end()
    let rest = try poll()
    acquisition.forget()
    return rest
  }

  package func begin(_ bias: Bias, present: Volts?, isWithinLimits: (Sample) -> Bool) throws(InstrumentError)
    -> Acquired
  {
    var ramped = Acquired()
    if case .current(let amperes) = bias, amperes != .zero {
      throw .unable(
        device: connection.name,
        reason:
          "\(amperes) cannot be held: it has no current source. Hold a voltage instead, or use a source-measure unit"
      )
    }
    try acquisition.end()
    switch bias {
    case .open:
      try open()
      return ramped
    case .current:
      if state != .rest { try rest(near: present) }
    case .voltage(let volts):
      if state != .hold {
        if let present { try hold(from: present) } else { try hold(from: measuredVoltage()) }
      }
      ramped = try ramp(to: volts.value, isWithinLimits)
    }
    settledFrom = nil
    try acquisition.begin(every: wanted?.period ?? Seconds(0.02), aperture: aperture)
    return ramped
  }

  /// Voltmeter: the source stays where it is, or goes near the cell's voltage with the input open, so that next to nothing
  /// flows to charge the input.
  private func rest(near present: Volts?) throws(InstrumentError) {
    try connection.applyKeysight(":INP OFF", ":SENS:FUNC \"VOLT\"")
    if let present, state == .open { try setLevel(present.value) }
    try connection.applyKeysight(":OUTP ON", ":INP ON")
    state = .rest
  }

  /// Ammeter: the source goes to the cell's voltage with the input open; only then the input closes.
  private func hold(from voltage: Volts) throws(InstrumentError) {
    try connection.applyKeysight(":INP OFF", ":SENS:FUNC \"CURR\"")
    try setLevel(voltage.value)
    try connection.applyKeysight(":OUTP ON", ":INP ON")
    state = .hold
  }

  private func setLevel(_ volts: Double) throws(InstrumentError) {
    try connection.applyKeysight(":SOUR:VOLT \(keysightNumber(volts))")
    level = volts
  }

  /// The voltage of a cell of which nobody knows it, at rest.
  private func measuredVoltage() throws(InstrumentError) -> Volts {
    if state != .rest { try rest(near: nil) }
    sleepThread(for: KeysightB2980Model.meterSettling)
    let row = try acquisition.readOnce().row
    guard let meter = row.voltage.value else {
      try open()
      throw .unexpected(
        device: connection.name, command: ":MEAS?", answer: "no voltage, before the ammeter is connected")
    }
    return Volts(level - meter)
  }

  /// Goes to a voltage in small steps. Each step is measured, so that no limit is passed unseen on the way.
  private func ramp(to end: Double, _ isWithinLimits: (Sample) -> Bool) throws(InstrumentError) -> Acquired {
    var acquired = Acquired()
    let start = level
    let steps = max(1, Int((abs(end - start) / Self.rampStep).rounded(.up)))
    let isSlow = range.settling > Self.longestStepWait
    for k in 1...steps {
      try setLevel(start + (end - start) * Double(k) / Double(steps))
      guard k < steps else { break }
      sleepThread(for: min(range.settling, Self.longestStepWait))
      let (row, pair) = try acquisition.readOnce()
      acquired.samples.append(sample(row, extra: isSlow ? .settling : []))
      acquired.clockPairs.append(pair)
      guard isWithinLimits(acquired.samples[acquired.samples.count - 1]) else { break }
    }
    return acquired
  }

  package func open() throws(InstrumentError) {
    // One message. The input's relay opens the cell; then the source goes off.
    try send(":INP OFF;:OUTP:OFF:MODE HIZ;:ABOR:ALL;:OUTP OFF")
    acquisition.noteEnded()
    state = .open
  }

  package func poll() throws(InstrumentError) -> Acquired {
    let (rows, pairs) = try acquisition.fetch()
    var acquired = Acquired()
    acquired.clockPairs = pairs
    let settling = state == .rest ? KeysightB2980Model.meterSettling : range.settling
    for row in rows {
      let settled = settledFrom ?? (row.stamp + settling.nanoseconds)
      settledFrom = settled
      acquired.samples.append(sample(row, extra: row.stamp < settled ? .settling : []))
    }
    return acquired
  }

  /// The stamp is the beginning of the aperture; a sample's time is its centre.
  private func sample(_ row: KeysightReading, extra: SampleFlags) -> Sample {
    // Which of the two was measured says under which function the row was taken, also after the output opened.
    let voltage: Double? =
      switch row.voltage {
      case .value(let meter): level - meter
      case .overflow: nil
      case .missing: row.current == .missing ? nil : level
      }
    let isVoltmeter = row.current == .missing && row.voltage != .missing
    return Sample(
      deviceNanoseconds: row.stamp + aperture.nanoseconds / 2, arrival: .now, voltage: voltage.map { Volts($0) },
      current: row.current.value.map { Amperes($0) }, range: range.range, aperture: aperture,
      flags: row.flags.union(extra).union(isVoltmeter ? .openCircuit : []))
  }
}
