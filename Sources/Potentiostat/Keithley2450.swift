import Linux
package import Quantities
package import USB

extension PotentiostatModel {
  static let keithley2450 = keithley(.k2450)
  static let keithley2460 = keithley(.k2460)
  static let keithley2461 = keithley(.k2461)
  static let keithley2470 = keithley(.k2470)

  private static func keithley(_ model: KeithleyModel) -> PotentiostatModel {
    .overUSBTMC("keithley-\(model.number)") { connection, settings, latch throws(InstrumentError) in
      try Keithley2450(connection, model, settings, latch: latch)
    }
  }
}

/// Keithley 2450, 2460, 2461 and 2470 SourceMeters, in their SCPI command set over USBTMC (`scpi-smu.md` §0–2, 9).
///
/// Never sends `*RST`: it would set the output-off state to NORMAL, which holds 0 V and discharges a battery.
package final class Keithley2450: PotentiostatDriver {
  package let identity: InstrumentIdentity
  package let abilities: PotentiostatAbilities
  let connection: SCPIConnection
  private let model: KeithleyModel
  private let settings: PotentiostatSettings
  private let latch: SafetyLatch
  /// Digital lines that begin readings, and that tell of them.
  let triggers: (in: Int?, out: Int?)
  private var acquisition: Acquisition?
  private var state: Source = .off
  /// The voltage that is set while the function is voltage.
  private var voltageLevel = 0.0
  private var loopBegan = MonotonicTime(nanoseconds: 0)
  var buffer = ReadingBuffer()
  private var lineFrequency = 50.0

  /// Which function the rows of the instrument's buffer were taken under.
  var buffered: Source = .off

  enum Source: Equatable { case off, current, voltage }

  /// The measuring loop is begun anew before its longest duration is over (`:TRIG:LOAD` takes 100 000 s).
  private static let loopTime = Seconds(80_000)

  /// Checks the identity and the command language. Changes nothing in the instrument.
  init(_ connection: SCPIConnection, _ model: KeithleyModel, _ settings: PotentiostatSettings, latch: SafetyLatch)
    throws(InstrumentError)
  {
    self.connection = connection
    self.model = model
    self.settings = settings
    self.latch = latch
    abilities = PotentiostatAbilities(fourWire: true, remarks: model.remarks)
    triggers = try Self.checkedTriggers(settings)
    identity = try connection.identify {
      $0.manufacturer.hasPrefix("KEITHLEY") && $0.model.hasSuffix(model.number)
    }
    let language = try connection.query("*LANG?")
    guard language == "SCPI" else {
      throw .unexpected(
        device: connection.name, command: "*LANG?",
        answer: language + "; choose SCPI in the instrument's menu under System > Settings and switch it off and on")
    }
  }

  package func close() { connection.close() }

  /// The error queue, and the warnings of the event log, which stop nothing.
  package func errors() throws(InstrumentError) -> [String] {
    var entries = try connection.drainErrors()
    for _ in 0..<Self.mostWarnings {
      let entry = try connection.query(":SYST:EVEN:NEXT? WARN")
      if entry.hasPrefix("0,") || entry.hasPrefix("+0,") { break }
      entries.append("warning " + entry)
    }
    return entries
  }
  /// Of one look into the event log.
  private static let mostWarnings = 64

  // MARK: Ranges

  package var ranges: [RangeFacts] { model.ranges }
  /// 3 ms per source-measure step is the fastest reliable (scpi-smu.md §2, streaming practice).
  package let shortestPeriod = Seconds(0.003)

  private var voltageRange: (range: Double, error: Double) {
    let wanted = acquisition?.voltageRange.value ?? 20
    return model.voltageRanges.first { $0.range >= wanted } ?? model.voltageRanges[model.voltageRanges.count - 1]
  }
  package var voltageAccuracy: Volts { Volts(voltageRange.error) }

  package var range: RangeFacts { ranges.holding(acquisition?.currentRange ?? .zero) }

  // MARK: Getting ready

  package func prepare(_ acquisition: Acquisition) throws(InstrumentError) {
    self.acquisition = acquisition
    try connection.clear()
    try connection.send(":ABOR")
    // The off state is stored per source function; both, before the output is touched.
    try connection.send(":OUTP:CURR:SMOD HIMP")
    try connection.send(":OUTP:VOLT:SMOD HIMP")
    // Asked for, because `*CLS` below would hide a refusal, and off would be 0 V then (scpi-smu.md §1.1).
    for function in ["CURR", "VOLT"] {
      let offState = try connection.query(":OUTP:\(function):SMOD?")
      guard offState == "HIMP" else {
        throw .unexpected(
          device: connection.name, command: ":OUTP:\(function):SMOD?",
          answer: offState + "; open the contacts, and choose high impedance as the output-off state at its front panel"
        )
      }
    }
    try connection.send(":OUTP OFF")
    state = .off
    buffered = .off
    try connection.send("*CLS")
    // Allowed only with the output off; rear are the triaxial sockets.
    try connection.apply(":ROUT:TERM \(settings.terminals == .rear ? "REAR" : "FRON")")
    try checkInterlock()
    lineFrequency = Double(try connection.query(":SYST:LFR?")) ?? 50

    // A level that is left over could forbid a smaller range.
    try connection.send(":SOUR:CURR 0;:SOUR:VOLT 0")
    let amperes = scpiNumber(range.range.value)
    let volts = scpiNumber(voltageRange.range)
    let limits = acquisition.limits
    // The 2450 takes 1 nA at least. Tighter current limits are held on every sample here.
    let currentLimit = max(model.smallestCurrentLimit, limits.largestCurrent.value)
    let voltageLimit = max(model.smallestVoltageLimit, limits.voltageCompliance.value)
    try connection.apply(
      ":SOUR:CURR:RANG \(amperes);:SOUR:CURR:VLIM \(scpiNumber(voltageLimit));:SOUR:CURR:READ:BACK ON;:SOUR:CURR:DEL 0",
      ":SOUR:VOLT:RANG \(volts);:SOUR:VOLT:ILIM \(scpiNumber(currentLimit));:SOUR:VOLT:READ:BACK ON;:SOUR:VOLT:DEL 0",
      ":SENS:CURR:RANG \(amperes);:SENS:CURR:NPLC \(scpiNumber(powerLineCycles));:SENS:CURR:AZER OFF",
      ":SENS:CURR:RSEN \(sensing);:SENS:VOLT:RSEN \(sensing)",
      ":SENS:VOLT:RANG \(volts);:SENS:VOLT:NPLC \(scpiNumber(powerLineCycles));:SENS:VOLT:AZER OFF",
      // Without autozero the references would be those of whoever used it last, however long ago.
      ":SENS:AZER:ONCE", ":TRAC:CLE \"defbuffer1\";:TRAC:POIN \(ReadingBuffer.size),\"defbuffer1\"")
  }

  /// Four wires for both functions, or two.
  private var sensing: String { settings.fourWire ? "ON" : "OFF" }

  /// Above 42 V the source obeys only with the interlock closed (scpi-smu.md §1.3); 1 is closed.
  private func checkInterlock() throws(InstrumentError) {
    guard voltageRange.range > KeithleyModel.interlockVoltage else { return }
    let answer = try connection.query(":OUTP:INT:TRIP?")
    guard answer != "1" else { return }
    throw .unable(
      device: connection.name,
      reason: "the \(Volts(voltageRange.range)) range works only with the interlock closed, which says “\(answer)”; "
        + "close it, or set a voltage range of 20 V")
  }

  package func setRange(_ currentRange: Amperes) throws(InstrumentError) {
    try open()
    acquisition?.currentRange = currentRange
    let amperes = scpiNumber(range.range.value)
    try connection.apply(":SOUR:CURR 0;:SOUR:CURR:RANG \(amperes);:SENS:CURR:RANG \(amperes)")
  }

  package func setPeriod(_ period: Seconds) throws(InstrumentError) {
    acquisition?.period = period
    try connection.apply(
      ":SENS:CURR:NPLC \(scpiNumber(powerLineCycles));:SENS:VOLT:NPLC \(scpiNumber(powerLineCycles))")
  }

  /// Four fifths of the sample period; the rest is the instrument's overhead and the pause between readings.
  private var powerLineCycles: Double {
    min(10, max(0.01, 0.8 * (acquisition?.period.value ?? 0.02) * lineFrequency))
  }
  var aperture: Seconds { Seconds(powerLineCycles / lineFrequency) }

  // MARK: Bias

  package func finish() throws(InstrumentError) -> Acquired {
    guard state != .off else { return Acquired() }
    try connection.send(":ABOR")
    // Not `poll`: that may begin the loop anew.
    let rest = buffered == .off ? Acquired() : try fetch()
    buffered = .off
    return rest
  }

  package func begin(_ bias: Bias, present: Volts?, isWithinLimits: (Sample) -> Bool) throws(InstrumentError)
    -> Acquired
  {
    var ramped = Acquired()
    switch bias {
    case .open:
      try open()
      return ramped
    case .current(let amperes):
      if state != .current { try source("CURR", "VOLT", startingAt: 0, as: .current) }
      try connection.apply(":SOUR:CURR \(scpiNumber(amperes.value))")
    case .voltage(let volts):
      let start = state == .voltage ? voltageLevel : present?.value ?? volts.value
      let ramp = try VoltageRamp(from: start, to: volts.value, device: connection.name)
      if state != .voltage { try source("VOLT", "CURR", startingAt: start, as: .voltage) }
      voltageLevel = start
      buffered = .voltage
      ramped = try ramp.follow(aperture: aperture, isWithinLimits) { level throws(InstrumentError) in
        voltageLevel = level
        try connection.apply(":SOUR:VOLT \(scpiNumber(level))")
      } read: { () throws(InstrumentError) in
        try readOnce()
      }
    }
    try beginLoop()
    return ramped
  }

  /// Changes the source function: only with the output off (the cell rests meanwhile), and back on at `level`.
  private func source(_ function: String, _ measured: String, startingAt level: Double, as source: Source)
    throws(InstrumentError)
  {
    try open()
    try connection.apply(":SOUR:FUNC \(function);:SENS:FUNC \"\(measured)\"", ":SOUR:\(function) \(scpiNumber(level))")
    try connection.apply(":OUTP ON")
    state = source
    buffered = source
  }

  /// Readings one after the other into the instrument's buffer, each with a time stamp of its own clock.
  private func beginLoop() throws(InstrumentError) {
    let period = acquisition?.period.value ?? 0.02
    let pause = max(1e-6, period - aperture.value - 0.0004)
    if triggers.in != nil || triggers.out != nil {
      try beginTriggeredLoop(pause: max(50e-6, pause))
    } else {
      try connection.apply(
        ":TRAC:CLE \"defbuffer1\"", ":TRIG:LOAD \"DurationLoop\",100000,\(scpiNumber(pause)),\"defbuffer1\"", ":INIT")
    }
    buffer.restart()
    buffered = state
    loopBegan = .now
  }

  package func open() throws(InstrumentError) {
    // One message. The loop ends first, for while it runs settings are refused; the off state goes before the output:
    // whatever was set at the front panel, off must not mean 0 V.
    try connection.send(":ABOR;:OUTP:CURR:SMOD HIMP;:OUTP:VOLT:SMOD HIMP;:OUTP OFF")
    state = .off
  }

  package func poll() throws(InstrumentError) -> Acquired {
    guard buffered != .off else { return Acquired() }
    var acquired = try fetch()
    // A predefined loop may switch the output on where it begins: not while somebody wants it open.
    if state != .off, MonotonicTime.now - loopBegan > Self.loopTime, !latch.isSet {
      try connection.send(":ABOR")
      acquired += try fetch()
      try beginLoop()
    }
    return acquired
  }
}
