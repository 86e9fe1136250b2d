import Linux
package import Quantities
package import USB

/// Keithley 2450 SourceMeter, in its SCPI command set over USBTMC (`scpi-smu.md` §0–2, 9).
///
/// Never sends `*RST`: it would set the output-off state to NORMAL, which holds 0 V and discharges a battery.
package final class Keithley2450: PotentiostatDriver {
  package let identity: InstrumentIdentity
  private let connection: SCPIConnection
  private let terminals: Terminals
  private var acquisition: Acquisition?
  private var state: Source = .off
  private var buffer = ReadingBuffer()
  private var lineFrequency = 50.0

  /// What is asked for of each row: source, reading, seconds and fraction of the stamp, two status words.
  private static let elements = 6
  /// Which function the rows of the instrument's buffer were taken under.
  private var buffered: Source = .off

  private enum Source: Equatable { case off, current, voltage }

  /// The slowest ramp to a voltage set point that is worth its time.
  private static let slew = 2.0  // V/s

  /// Checks the identity and the command language. Changes nothing in the instrument.
  package init(_ connection: SCPIConnection, terminals: Terminals) throws(SCPIError) {
    self.connection = connection
    self.terminals = terminals
    identity = try connection.identify { $0.manufacturer.hasPrefix("KEITHLEY") && $0.model.hasSuffix("2450") }
    let language = try connection.query("*LANG?")
    guard language == "SCPI" else {
      throw .unexpected(
        device: connection.name, command: "*LANG?",
        answer: language + "; choose SCPI in the instrument's menu under System > Settings and switch it off and on")
    }
  }

  package func close() { connection.close() }
  package func errors() throws(SCPIError) -> [String] { try connection.drainErrors() }

  // MARK: Ranges (data sheet SPEC-2450 Rev A, scpi-smu.md §0)

  package let ranges: [RangeFacts] = [
    facts(10e-9, 500e-15, 10e-15, 0.0010, 50e-12), facts(100e-9, 5e-12, 100e-15, 0.0006, 100e-12),
    facts(1e-6, 50e-12, 1e-12, 0.00025, 300e-12), facts(10e-6, 500e-12, 10e-12, 0.00025, 700e-12),
    facts(100e-6, 5e-9, 100e-12, 0.0002, 6e-9), facts(1e-3, 50e-9, 1e-9, 0.0002, 60e-9),
    facts(10e-3, 500e-9, 10e-9, 0.0002, 600e-9), facts(100e-3, 5e-6, 100e-9, 0.00025, 6e-6),
    facts(1, 50e-6, 1e-6, 0.0003, 500e-6),
  ]
  /// Full scale, and the largest error (gain·range + offset), V.
  private static let voltageRanges: [(range: Double, error: Double)] = [
    (0.02, 170e-6), (0.2, 224e-6), (2, 540e-6), (20, 4e-3), (200, 40e-3),
  ]
  private var voltageRange: (range: Double, error: Double) {
    Self.voltageRanges.first { $0.range >= (acquisition?.voltageRange.value ?? 20) } ?? Self.voltageRanges[4]
  }
  package var voltageAccuracy: Volts { Volts(voltageRange.error) }

  package var range: RangeFacts { ranges.first { $0.range >= (acquisition?.currentRange ?? .zero) } ?? ranges[0] }

  // MARK: Getting ready

  package func prepare(_ acquisition: Acquisition) throws(SCPIError) {
    self.acquisition = acquisition
    try connection.clear()
    try connection.send(":ABOR")
    // The off state is stored per source function; both, before the output is touched.
    try connection.send(":OUTP:CURR:SMOD HIMP")
    try connection.send(":OUTP:VOLT:SMOD HIMP")
    try connection.send(":OUTP OFF")
    state = .off
    buffered = .off
    try connection.send("*CLS")
    // Allowed only with the output off; rear are the triaxial sockets.
    try connection.apply(":ROUT:TERM \(terminals == .rear ? "REAR" : "FRON")")
    lineFrequency = Double(try connection.query(":SYST:LFR?")) ?? 50

    let amperes = number(range.range.value)
    let volts = number(voltageRange.range)
    let limits = acquisition.limits
    // Least and most that the instrument takes: 1 nA and 20 mV. Tighter limits are held on every sample here.
    let currentLimit = max(1e-9, limits.current.upperBound.magnitude.value, limits.current.lowerBound.magnitude.value)
    let voltageLimit = max(0.02, limits.voltage.upperBound.magnitude.value, limits.voltage.lowerBound.magnitude.value)
    try connection.apply(
      ":SOUR:CURR:RANG \(amperes);:SOUR:CURR:VLIM \(number(voltageLimit));:SOUR:CURR:READ:BACK ON;:SOUR:CURR:DEL 0",
      ":SOUR:VOLT:RANG \(volts);:SOUR:VOLT:ILIM \(number(currentLimit));:SOUR:VOLT:READ:BACK ON;:SOUR:VOLT:DEL 0",
      ":SENS:CURR:RANG \(amperes);:SENS:CURR:NPLC \(number(powerLineCycles));:SENS:CURR:AZER OFF;:SENS:CURR:RSEN OFF",
      ":SENS:VOLT:RANG \(volts);:SENS:VOLT:NPLC \(number(powerLineCycles));:SENS:VOLT:AZER OFF;:SENS:VOLT:RSEN OFF",
      ":TRAC:CLE \"defbuffer1\";:TRAC:POIN \(ReadingBuffer.size),\"defbuffer1\"")
  }

  package func setRange(_ currentRange: Amperes) throws(SCPIError) -> Acquired {
    try open()
    let before = try poll()
    acquisition?.currentRange = currentRange
    let amperes = number(range.range.value)
    try connection.apply(":SOUR:CURR:RANG \(amperes);:SENS:CURR:RANG \(amperes)")
    return before
  }

  /// Four fifths of the sample period; the rest is the instrument's overhead and the pause between readings.
  private var powerLineCycles: Double {
    min(10, max(0.01, 0.8 * (acquisition?.period.value ?? 0.02) * lineFrequency))
  }
  private var aperture: Seconds { Seconds(powerLineCycles / lineFrequency) }

  // MARK: Bias

  package func apply(_ bias: Bias, present: Volts?) throws(SCPIError) -> Acquired {
    try connection.send(":ABOR")
    let before = try poll()
    switch bias {
    case .open:
      try open()
    case .current(let amperes):
      if state != .current {
        try source("CURR", "VOLT", startingAt: 0)
        state = .current
      }
      try connection.apply(":SOUR:CURR \(number(amperes.value))")
      try sample()
    case .voltage(let volts):
      var level = volts.value
      if state != .voltage {
        level = present?.value ?? volts.value
        try source("VOLT", "CURR", startingAt: level)
        state = .voltage
        try ramp(from: level, to: volts.value)
      } else {
        try connection.apply(":SOUR:VOLT \(number(level))")
      }
      try sample()
    }
    return before
  }

  /// Changes the source function: only with the output off (the cell rests meanwhile), and back on at `level`.
  private func source(_ function: String, _ measured: String, startingAt level: Double) throws(SCPIError) {
    try connection.send(":OUTP OFF")
    state = .off
    try connection.apply(":SOUR:FUNC \(function);:SENS:FUNC \"\(measured)\"", ":SOUR:\(function) \(number(level))")
    try connection.apply(":OUTP ON")
  }

  private func ramp(from start: Double, to end: Double) throws(SCPIError) {
    let steps = max(1, Int((abs(end - start) / Self.slew / 0.005).rounded(.up)))
    for k in 1...steps {
      try connection.send(":SOUR:VOLT \(number(start + (end - start) * Double(k) / Double(steps)))")
      if k < steps { sleepThread(for: Seconds(0.005)) }
    }
    let refused = try connection.drainErrors()
    if !refused.isEmpty { throw .refused(device: connection.name, command: ":SOUR:VOLT", errors: refused) }
  }

  /// Readings one after the other into the instrument's buffer, each with a time stamp of its own clock.
  private func sample() throws(SCPIError) {
    let period = acquisition?.period.value ?? 0.02
    let pause = max(1e-6, period - aperture.value - 0.0004)
    try connection.apply(
      ":TRAC:CLE \"defbuffer1\"", ":TRIG:LOAD \"DurationLoop\",100000,\(number(pause)),\"defbuffer1\"", ":INIT")
    buffer.restart()
    buffered = state
  }

  package func open() throws(SCPIError) {
    try connection.send(":OUTP OFF")
    try connection.send(":ABOR")
    state = .off
  }

  // MARK: Samples

  package func poll() throws(SCPIError) -> Acquired {
    var acquired = Acquired()
    guard buffered != .off else { return acquired }
    let asked = MonotonicTime.now
    let answer = try connection.query(":TRAC:ACT:END? \"defbuffer1\"")
    let answered = MonotonicTime.now
    guard let end = Int(answer) else {
      throw .unexpected(device: connection.name, command: ":TRAC:ACT:END?", answer: answer)
    }
    for rows in buffer.unread(through: end) {
      let question = ":TRAC:DATA? \(rows.lowerBound),\(rows.upperBound),\"defbuffer1\",SOUR,READ,SEC,FRAC,STAT,SOURSTAT"
      let text = try connection.query(question, within: Seconds(4))
      let fields = text.split(separator: ",").map { Double($0.drop { $0 == " " }) }
      guard fields.count == Self.elements * rows.count, !fields.contains(nil) else {
        throw .unexpected(device: connection.name, command: question, answer: String(text.prefix(80)))
      }
      for row in 0..<rows.count {
        let values = fields[Self.elements * row..<Self.elements * (row + 1)].map { $0! }
        guard let seconds = Int64(exactly: values[2]), let status = Int(exactly: values[4]),
          let sourceStatus = Int(exactly: values[5]), (0..<1 << 33).contains(seconds), (0..<1).contains(values[3])
        else { throw .unexpected(device: connection.name, command: question, answer: "\(values)") }
        let stamp = seconds * 1_000_000_000 + Int64((values[3] * 1e9).rounded())
        acquired.samples.append(reading(values[0], values[1], stamp, status, sourceStatus))
        // Not there when the poll before was asked, there when this one was answered: a bound on both sides.
        if row == 0 || row == rows.count - 1 {
          acquired.clockPairs.append(
            ClockPair(deviceNanoseconds: stamp, earliest: buffer.lastAsked, latest: answered))
        }
      }
    }
    buffer.noteAsked(asked)
    return acquired
  }

  /// One row of the buffer. The stamp is taken as the end of the aperture; a sample's time is its centre.
  private func reading(_ source: Double, _ measured: Double, _ stamp: Int64, _ status: Int, _ sourceStatus: Int)
    -> Sample
  {
    var flags: SampleFlags = []
    // Reading status 1: questionable, as while settling. Source status 32: limited, 128: output on (2450 reference
    // manual, buffer status).
    if status & 1 != 0 { flags.insert(.settling) }
    if sourceStatus & 32 != 0 { flags.insert(.compliance) }
    if sourceStatus & 128 == 0 { flags.insert(.outputOff) }
    let overflow = abs(source) > 9e36 || abs(measured) > 9e36
    if overflow { flags.insert(.overflow) }
    let (volts, amperes) = buffered == .current ? (measured, source) : (source, measured)
    return Sample(
      deviceNanoseconds: stamp - aperture.nanoseconds / 2, arrival: .now,
      voltage: abs(volts) > 9e36 ? nil : Volts(volts), current: abs(amperes) > 9e36 ? nil : Amperes(amperes),
      range: range.range, aperture: aperture, flags: flags)
  }
}

private func facts(
  _ range: Double, _ source: Double, _ measure: Double, _ gain: Double, _ offset: Double
) -> RangeFacts {
  RangeFacts(
    range: Amperes(range), sourceResolution: Amperes(source), measureResolution: Amperes(measure), measureGain: gain,
    measureOffset: Amperes(offset))
}

/// A number as SCPI wants it (NR3).
private func number(_ value: Double) -> String { "\(value)".uppercased() }
