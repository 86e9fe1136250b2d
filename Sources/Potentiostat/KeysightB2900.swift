import Linux
package import Quantities
package import USB

extension PotentiostatModel {
  static let keysightB2901A = keysightB2900("keysight-b2901a", "B2901A")
  static let keysightB2902A = keysightB2900("keysight-b2902a", "B2902A")
  static let keysightB2911A = keysightB2900("keysight-b2911a", "B2911A")
  static let keysightB2912A = keysightB2900("keysight-b2912a", "B2912A")

  private static func keysightB2900(_ name: String, _ model: String) -> PotentiostatModel {
    .overUSBTMC(name) { connection, settings, _ throws(InstrumentError) in
      try KeysightB2900(connection, settings, model: model)
    }
  }
}

/// Keysight (Agilent) B2901A, B2902A, B2911A, B2912A source-measure units, SCPI over USBTMC (`scpi-smu.md` §0, 1, 5).
///
/// Never sends `*RST`, which would let `:INIT` switch the output on and give "off" 0 V. Commands are those of the series'
/// SCPI reference; none of it was tried on hardware. `:SOUR:FUNC:SHAP`, `:OUTP:HCAP`, `:OUTP:OFF:AUTO` and `:SENS:WAIT`
/// are there because somebody at the front panel may have left pulses, high-capacitance mode, an output that switches off
/// with the last reading, or a wait of the instrument's own before every reading.
package final class KeysightB2900: PotentiostatDriver {
  package let identity: InstrumentIdentity
  package let abilities = PotentiostatAbilities(
    fourWire: true,
    remarks: [
      "An emergency (over-temperature, interlock, over-voltage) sets the output to 0 V before its switch opens, whatever was set.",
      "The driver follows the command reference; it has not been tried on the instrument.",
    ])
  private let connection: SCPIConnection
  private let model: KeysightB2900Model
  /// 1 or 2: the suffix of every command.
  private let channel: Int
  private let fourWire: Bool
  private let acquisition: KeysightAcquisition
  private var wanted: Acquisition?
  private var source = Source.off
  private var voltageLevel = 0.0
  private var lineFrequency = 50.0

  private enum Source { case off, current, voltage }

  /// s (data sheet).
  private static let shortestAperture = 8e-6
  /// Above this the interlock has to be closed (B2900 user's guide, from memory).
  private static let interlockVoltage = 42.0
  /// Share of a range below which its compliance cannot be set, from memory of the user's guide.
  private static let leastComplianceShare = 0.01

  /// Checks the identity. Changes nothing in the instrument.
  init(
    _ connection: SCPIConnection, _ settings: PotentiostatSettings, model name: String,
    countBeforeNew: Int = KeysightAcquisition.mostReadings
  ) throws(InstrumentError) {
    self.connection = connection
    guard let model = KeysightB2900Model.all.first(where: { $0.name == name }) else {
      throw .unable(device: connection.name, reason: "no model \(name) in this series")
    }
    self.model = model
    identity = try connection.identifyKeysight(name)
    guard let channel = ["a": 1, "b": 2][settings.channel], channel <= model.channels else {
      throw .unable(
        device: connection.name,
        reason: "channel “\(settings.channel)”: a \(name) has \(model.channels == 1 ? "a alone" : "a and b")")
    }
    self.channel = channel
    fourWire = settings.fourWire
    acquisition = KeysightAcquisition(
      connection, channel: channel, shortestAperture: Self.shortestAperture, triggerIn: settings.triggerIn,
      triggerOut: settings.triggerOut, countBeforeNew: countBeforeNew)
  }

  package func close() { connection.close() }
  package func errors() throws(InstrumentError) -> [String] { try acquisition.errors() }

  // MARK: Ranges

  package var ranges: [RangeFacts] { model.ranges }
  /// The timer takes 10 or 20 µs; what a host keeps up with is a choice, not tried on hardware.
  package let shortestPeriod = Seconds(0.002)

  package var range: RangeFacts {
    model.facts(of: ranges.holding(wanted?.currentRange ?? .zero), atPowerLineCycles: powerLineCycles)
  }
  private var voltageRange: KeysightB2900Model.VoltageRange {
    let all = KeysightB2900Model.voltageRanges
    return all.first { $0.range >= (wanted?.voltageRange.value ?? 20) } ?? all[all.count - 1]
  }
  package var voltageAccuracy: Volts { Volts(voltageRange.error(atPowerLineCycles: powerLineCycles)) }

  private var powerLineCycles: Double { acquisition.aperture.value * lineFrequency }

  // MARK: Getting ready

  package func prepare(_ acquisition: Acquisition) throws(InstrumentError) {
    try connection.clear()
    // First of all `:INIT` and `:MEAS` must not switch the output on, and off must not be 0 V.
    try connection.sendKeysight(":OUTP\(channel):ON:AUTO 0")
    try connection.sendKeysight(":OUTP\(channel):OFF:MODE HIZ")
    let offMode = try connection.queryKeysight(":OUTP\(channel):OFF:MODE?")
    guard offMode == "HIZ" else {
      throw .unexpected(
        device: connection.name, command: ":OUTP:OFF:MODE?",
        answer: offMode + "; open the contacts, and choose high impedance as the output-off state at its front panel")
    }
    self.acquisition.forget()
    try connection.sendKeysight(":ABOR:ALL (@\(channel))")
    try connection.sendKeysight(":OUTP\(channel) OFF")
    source = .off
    let state = try connection.queryKeysight(":OUTP\(channel)?;:OUTP\(channel):ON:AUTO?")
    guard state == "0;0" else {
      throw .unexpected(device: connection.name, command: ":OUTP?;:OUTP:ON:AUTO?", answer: state)
    }
    try connection.sendKeysight("*CLS")
    wanted = acquisition
    try holdInterlock()
    lineFrequency = Double(try connection.queryKeysight(":SYST:LFR?")) ?? 50

    let c = channel
    try connection.applyKeysight(
      ":OUTP\(c):OFF:AUTO 0;:OUTP\(c):PROT 0;:OUTP\(c):HCAP 0",
      ":SOUR\(c):FUNC:SHAP DC;:SOUR\(c):VOLT:MODE FIX;:SOUR\(c):CURR:MODE FIX",
      ":SOUR\(c):CURR 0;:SOUR\(c):VOLT 0",
      ":SOUR\(c):CURR:RANG:AUTO 0;:SOUR\(c):VOLT:RANG:AUTO 0",
      ":SOUR\(c):VOLT:RANG \(scpiNumber(voltageRange.range))",
      ":SENS\(c):FUNC:OFF:ALL;:SENS\(c):FUNC \"VOLT\",\"CURR\"", ":SENS\(c):REM \(fourWire ? 1 : 0);:SENS\(c):WAIT 0",
      ":SENS\(c):CURR:RANG:AUTO 0;:SENS\(c):VOLT:RANG:AUTO 0",
      ":SENS\(c):VOLT:RANG \(scpiNumber(voltageRange.range))",
      ":SENS\(c):VOLT:PROT \(scpiNumber(acquisition.limits.voltageCompliance.value))")
    try setCurrentRange()
    try self.acquisition.setPeriod(acquisition.period)
    try self.acquisition.prepare()
  }

  private func holdInterlock() throws(InstrumentError) {
    guard voltageRange.range > Self.interlockVoltage else { return }
    // 0: the interlock's circuit is closed (scpi-smu.md §1.3).
    let tripped = try connection.queryKeysight(":SYST:INT:TRIP?")
    guard tripped == "0" else {
      throw .unable(
        device: connection.name,
        reason:
          "its interlock is open, and the \(voltageRange.range) V range needs it closed above ±42 V; close it, or keep the protocol within ±20 V"
      )
    }
  }

  private var currentCompliance: Double {
    let range = range.range.value
    return max(wanted?.limits.largestCurrent.value ?? range, range * Self.leastComplianceShare)
  }

  private func setCurrentRange() throws(InstrumentError) {
    let amperes = scpiNumber(range.range.value)
    try connection.applyKeysight(
      ":SOUR\(channel):CURR 0", ":SOUR\(channel):CURR:RANG \(amperes)",
      ":SENS\(channel):CURR:PROT \(scpiNumber(currentCompliance))", ":SENS\(channel):CURR:RANG \(amperes)")
  }

  package func setRange(_ currentRange: Amperes) throws(InstrumentError) {
    try open()
    wanted?.currentRange = currentRange
    try setCurrentRange()
  }

  package func setPeriod(_ period: Seconds) throws(InstrumentError) { try acquisition.setPeriod(period) }

  // MARK: Bias

  package func finish() throws(InstrumentError) -> Acquired {
    source != .off ? try acquisition.finish(poll) : Acquired()
  }

  package func begin(_ bias: Bias, present: Volts?, isWithinLimits: (Sample) -> Bool) throws(InstrumentError)
    -> Acquired
  {
    var ramped = Acquired()
    try acquisition.end()
    switch bias {
    case .open:
      try open()
      return ramped
    case .current(let amperes):
      if source != .current { try turnOn("CURR", at: 0, as: .current) }
      try connection.applyKeysight(":SOUR\(channel):CURR \(scpiNumber(amperes.value))")
    case .voltage(let volts):
      let start = source == .voltage ? voltageLevel : present?.value ?? volts.value
      let ramp = try VoltageRamp(from: start, to: volts.value, device: connection.name)
      if source != .voltage { try turnOn("VOLT", at: start, as: .voltage) }
      voltageLevel = start
      ramped = try acquisition.ramping { () throws(InstrumentError) in
        try ramp.follow(aperture: acquisition.aperture, isWithinLimits) { level throws(InstrumentError) in
          voltageLevel = level
          try connection.applyKeysight(":SOUR\(channel):VOLT \(scpiNumber(level))")
        } read: { () throws(InstrumentError) in
          let (row, pair) = try acquisition.readOnce()
          return (acquisition.sample(row, range, []), pair)
        }
      }
    }
    try acquisition.begin()
    return ramped
  }

  /// Changes the source function: with the output off (the cell rests meanwhile), and back on at `level`.
  private func turnOn(_ function: String, at level: Double, as source: Source) throws(InstrumentError) {
    try open()
    try connection.applyKeysight(
      ":SOUR\(channel):FUNC:MODE \(function)", ":SOUR\(channel):\(function) \(scpiNumber(level))")
    try connection.applyKeysight(":OUTP\(channel) ON")
    self.source = source
  }

  package func open() throws(InstrumentError) {
    // One message; the off state goes before the output: whatever was set at the front panel, off must not mean 0 V.
    try connection.sendKeysight(
      ":OUTP\(channel):ON:AUTO 0;:OUTP\(channel):OFF:MODE HIZ;:ABOR:ALL (@\(channel));:OUTP\(channel) OFF")
    acquisition.noteEnded()
    source = .off
  }

  package func poll() throws(InstrumentError) -> Acquired {
    let range = range
    return try acquisition.poll(settling: range.settling) { acquisition.sample($0, range, $1) }
  }
}
