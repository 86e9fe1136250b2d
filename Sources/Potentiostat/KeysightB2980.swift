import Linux
package import Quantities
package import USB

extension PotentiostatModel {
  static let keysightB2985A = keysightB2980("keysight-b2985a", "B2985A")
  static let keysightB2987A = keysightB2980("keysight-b2987a", "B2987A")

  private static func keysightB2980(_ name: String, _ model: String) -> PotentiostatModel {
    .overUSBTMC(name) { connection, settings, latch throws(InstrumentError) in
      try KeysightB2980(connection, settings, model: model, latch: latch)
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
/// **Zero.** Where the zero of a range is read with the holder's contacts open, that of the input is in it, and zero
/// correct stays off: neither a change of range nor a current that flows can spoil it. On other ranges the instrument's
/// zero correct is acquired before the first hold after the range was set.
///
/// The commands are those of public drivers; none of it was tried on hardware.
package final class KeysightB2980: PotentiostatDriver {
  package let identity: InstrumentIdentity
  package let abilities: PotentiostatAbilities
  let connection: SCPIConnection
  private let hasBattery: Bool
  let acquisition: KeysightAcquisition
  let latch: SafetyLatch
  private var wanted: Acquisition?
  private var state = State.open
  /// What the source is set to, V.
  private var level = 0.0
  /// The range that is set; nil while that is not known.
  private var ammeterRange: Amperes?
  /// The function is that of the ammeter.
  private var isAmmeter = false
  /// When the range, the function or the input's relay changed last: from then on the ammeter settles.
  var ammeterChanged = MonotonicTime(nanoseconds: 0)
  /// Range that the instrument's zero correct was acquired on; nil while it is off.
  var zeroCorrected: Amperes?
  /// Ranges whose zero was read with the contacts open: it is subtracted already.
  var zeroRead: Set<Amperes> = []

  private enum State { case open, rest, hold }

  /// A step of a ramp waits for the range to settle, but no longer than the nanoampere ranges need: with the reading it
  /// stays within what a step of `VoltageRamp` may take. On slower ranges the reading is marked.
  private static let longestStepWait = Seconds(13e-3)
  /// s; the timer's shortest interval.
  private static let shortestAperture = 10e-6
  /// Per cent; below it the operator is told.
  private static let lowBattery = 20

  /// Checks the identity. Changes nothing in the instrument.
  init(
    _ connection: SCPIConnection, _ settings: PotentiostatSettings, model: String, latch: SafetyLatch
  ) throws(InstrumentError) {
    self.connection = connection
    self.latch = latch
    identity = try connection.identifyKeysight(model)
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
      connection, channel: nil, shortestAperture: Self.shortestAperture, triggerIn: settings.triggerIn,
      triggerOut: settings.triggerOut)
  }

  package func close() { connection.close() }
  package func errors() throws(InstrumentError) -> [String] {
    var errors = try acquisition.errors()
    if hasBattery, let level = Int(try connection.queryKeysight(":SYST:BATT?")), level < Self.lowBattery {
      errors.append("the battery is at \(level) %: connect the mains, or charge it")
    }
    return errors
  }

  // MARK: Ranges

  package let ranges = KeysightB2980Model.ranges
  /// The timer takes 10 µs; what a host keeps up with is a choice, not tried on hardware.
  package let shortestPeriod = Seconds(0.005)
  package var range: RangeFacts { ranges.holding(wanted?.currentRange ?? .zero) }
  package var voltageAccuracy: Volts {
    let most = min(wanted?.voltageRange.value ?? KeysightB2980Model.sourceRange, KeysightB2980Model.sourceRange)
    return Volts(
      most * (KeysightB2980Model.sourceGain + KeysightB2980Model.meterGain) + KeysightB2980Model.sourceOffset
        + KeysightB2980Model.meterOffset)
  }

  // MARK: Getting ready

  package func prepare(_ acquisition: Acquisition) throws(InstrumentError) {
    try connection.clear()
    // High impedance exists in the source's 20 V range alone; in the other one this is refused, and the input relay,
    // which comes next, opens the cell all the same.
    try connection.sendKeysight(":OUTP:OFF:MODE HIZ")
    try connection.sendKeysight(":INP OFF")
    self.acquisition.forget()
    try connection.sendKeysight(":ABOR:ALL")
    try connection.sendKeysight(":OUTP OFF")
    state = .open
    try connection.sendKeysight(":SOUR:VOLT 0;:SOUR:VOLT:RANG \(scpiNumber(KeysightB2980Model.sourceRange))")
    try connection.sendKeysight(":OUTP:OFF:MODE HIZ;*CLS")
    let found = try connection.queryKeysight(":OUTP:OFF:MODE?;:INP?;:OUTP?")
    guard found == "HIZ;0;0" else {
      throw .unexpected(device: connection.name, command: ":OUTP:OFF:MODE?;:INP?;:OUTP?", answer: found)
    }
    guard acquisition.voltageRange.value <= KeysightB2980Model.sourceRange else {
      let interlock = try connection.queryKeysight(":SYST:INT:TRIP?") == "0" ? "closed" : "open"
      throw .unable(
        device: connection.name,
        reason:
          "\(acquisition.voltageRange) needs its 1000 V range, which has no high-impedance off state (the interlock is \(interlock)); keep the protocol within ±20 V"
      )
    }
    wanted = acquisition
    level = 0
    let volts = scpiNumber(KeysightB2980Model.sourceRange)
    try connection.applyKeysight(
      ":OUTP:LOW COMM", ":SENS:CURR:RANG:AUTO 0;:SENS:VOLT:RANG:AUTO 0", ":SENS:VOLT:RANG \(volts)")
    ammeterRange = nil
    zeroRead = []
    try setCurrentRange()
    try self.acquisition.setPeriod(acquisition.period)
    try self.acquisition.prepare()
  }

  private func setCurrentRange() throws(InstrumentError) {
    let range = range.range
    guard ammeterRange != range else { return }
    (ammeterRange, zeroCorrected) = (nil, nil)
    // What was found on another range says nothing of this one.
    try connection.applyKeysight(
      ":INP:ZCOR 0", ":SENS:FUNC \"CURR\"", ":SENS:CURR:RANG \(scpiNumber(range.value))")
    (ammeterRange, isAmmeter, ammeterChanged) = (range, true, .now)
  }

  package func setRange(_ currentRange: Amperes) throws(InstrumentError) {
    try open()
    wanted?.currentRange = currentRange
    try setCurrentRange()
  }

  package func setPeriod(_ period: Seconds) throws(InstrumentError) { try acquisition.setPeriod(period) }

  // MARK: Bias

  package func finish() throws(InstrumentError) -> Acquired {
    state != .open ? try acquisition.finish(poll) : Acquired()
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
      let start = state == .hold ? level : try self.start(present)
      let way = try VoltageRamp(from: start, to: volts.value, device: connection.name)
      if state != .hold { try hold(from: start) }
      ramped = try acquisition.ramping { () throws(InstrumentError) in try ramp(way, isWithinLimits) }
    }
    try acquisition.begin()
    return ramped
  }

  /// Voltmeter: the source stays where it is, or goes near the cell's voltage with the input open, so that next to nothing
  /// flows to charge the input.
  private func rest(near present: Volts?) throws(InstrumentError) {
    try connection.applyKeysight(":INP OFF", ":SENS:FUNC \"VOLT\"")
    isAmmeter = false
    if let present, state == .open { try setLevel(present.value) }
    try connection.applyKeysight(":OUTP ON", ":INP ON")
    state = .rest
  }

  /// The ammeter with its input open.
  func connectAmmeter() throws(InstrumentError) {
    try connection.applyKeysight(":INP OFF", ":SENS:FUNC \"CURR\"")
    if !isAmmeter { ammeterChanged = .now }
    (isAmmeter, state) = (true, .open)
  }

  /// Ammeter: the source goes to the cell's voltage with the input open; only then the input closes.
  func hold(from voltage: Double) throws(InstrumentError) {
    try connectAmmeter()
    try setLevel(voltage)
    try connection.applyKeysight(":OUTP ON", ":INP ON")
    state = .hold
  }

  private func setLevel(_ volts: Double) throws(InstrumentError) {
    try connection.applyKeysight(":SOUR:VOLT \(scpiNumber(volts))")
    level = volts
  }

  /// The voltage of a cell of which nobody knows it, at rest.
  func measuredVoltage() throws(InstrumentError) -> Double {
    if state != .rest { try rest(near: nil) }
    sleepThread(for: KeysightB2980Model.meterSettling)
    let row = try acquisition.readOnce().row
    guard let meter = row.voltage.value else {
      try open()
      throw .unexpected(
        device: connection.name, command: ":MEAS?", answer: "no voltage, before the ammeter is connected")
    }
    return level - meter
  }

  private func ramp(_ way: VoltageRamp, _ isWithinLimits: (Sample) -> Bool) throws(InstrumentError) -> Acquired {
    let wait = min(range.settling, Self.longestStepWait)
    let isSlow = range.settling > wait
    return try way.follow(aperture: acquisition.aperture, isWithinLimits) { level throws(InstrumentError) in
      try setLevel(level)
    } read: { () throws(InstrumentError) in
      sleepThread(for: wait)
      let (row, pair) = try acquisition.readOnce()
      return (sample(row, isSlow ? .settling : []), pair)
    }
  }

  package func open() throws(InstrumentError) {
    // One message. The input's relay opens the cell; then the source goes off.
    try connection.sendKeysight(":INP OFF;:OUTP:OFF:MODE HIZ;:ABOR:ALL;:OUTP OFF")
    acquisition.noteEnded()
    if state == .hold { ammeterChanged = .now }
    state = .open
  }

  package func poll() throws(InstrumentError) -> Acquired {
    let settling = state == .rest ? KeysightB2980Model.meterSettling : range.settling
    return try acquisition.poll(settling: settling) { sample($0, $1) }
  }

  private func sample(_ row: KeysightReading, _ flags: SampleFlags) -> Sample {
    var sample = acquisition.sample(row, range, flags)
    // Which of the two was measured says under which function the row was taken, also after the output opened.
    switch row.voltage {
    case .value(let meter): sample.voltage = Volts(level - meter)
    case .overflow: sample.voltage = nil
    case .missing: sample.voltage = row.current == .missing ? nil : Volts(level)
    }
    if row.current == .missing, row.voltage != .missing { sample.flags.insert(.openCircuit) }
    return sample
  }
}
