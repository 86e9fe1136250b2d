import Linux
package import Quantities
package import USB

extension PotentiostatModel {
  static let keithley2634B = keithley(.k2634B)
  static let keithley2635B = keithley(.k2635B)
  static let keithley2636B = keithley(.k2636B)

  private static func keithley(_ model: TSPModel) -> PotentiostatModel {
    PotentiostatModel(name: model.name) { bus, settings throws(InstrumentError) in
      let connection = try SCPIConnection.open(settings.usb, on: bus, name: settings.model)
      return try takeOver(connection) { connection throws(InstrumentError) in
        try Keithley2636B(connection, model, settings)
      }
    }
  }
}

/// Keithley 2636B, 2635B and 2634B SourceMeters: lines of Lua over USBTMC (`scpi-smu.md` §4).
///
/// A resident script measures, holds the limits, and opens the output when this host is silent for `silence`. Between two
/// biases the script is ended and begun anew: for those few messages the output stays on at its level, held by the
/// source's own limits, and nobody watches for silence. Never sends `reset()` or `*RST`: the output-off mode would become
/// NORMAL, which holds 0 V and discharges a battery. Not tried on hardware.
package final class Keithley2636B: PotentiostatDriver {
  package let identity: InstrumentIdentity
  package let abilities: PotentiostatAbilities
  let connection: SCPIConnection
  private let model: TSPModel
  private let settings: PotentiostatSettings
  /// The channel as scripts name it: `smua` or `smub`.
  let smu: String
  var acquisition: Acquisition?
  private var isLoaded = false
  private var lineFrequency = 50.0
  /// What the output gives.
  var state: Source = .off
  /// Under what the present rows were measured.
  var measured: Source = .off
  private var voltageLevel = 0.0
  /// The script has been started and has not said that it ended.
  var isRunning = false
  /// Rows may be left in the instrument that were not fetched.
  var hasRest = false
  /// An answer was asked for and cut off by what was sent next; it may be there, or be the error −410.
  var hasUnread = false
  var unread = Acquired()
  var wasInterrupted = false
  /// Why the script ended by itself.
  var ending: String?

  /// When the script was asked for its rows, and when it was last seen not to have answered yet.
  var asked: MonotonicTime?
  var notYet: MonotonicTime?
  /// Number of the last row that was taken in.
  var lastRow = 0
  /// The instrument's timer when the present bias began, s.
  var sourceBegan = 0.0
  /// The last row was taken on the way to a voltage.
  var isRamping = false

  enum Source: Equatable { case off, current, voltage }

  /// A voltage set point is reached in steps of this size at most, with a reading after each.
  static let rampStep = 0.02  // V
  /// So long without a sign of life, and the script opens the output.
  static let silence = Seconds(1.5)
  /// How long an answer of the script may take beyond a reading.
  static let answerPatience = Seconds(0.3)
  static let beginPatience = Seconds(1.2)
  /// Bit 4 of the status byte: an answer can be read (scpi-smu.md §8).
  static let messageAvailable: UInt8 = 0x10
  static let mostErrors = 64

  /// Checks the identity. Changes nothing in the instrument.
  init(_ connection: SCPIConnection, _ model: TSPModel, _ settings: PotentiostatSettings) throws(InstrumentError) {
    guard model.channels.contains(settings.channel) else {
      throw .unable(
        device: settings.model,
        reason: "it has no channel “\(settings.channel)”; its channels are \(model.channels.joined(separator: ", "))")
    }
    for line in [settings.triggerIn, settings.triggerOut].compactMap({ $0 }) {
      guard model.hasLines else { throw .unable(device: settings.model, reason: "it has no digital lines") }
      guard (1...14).contains(line) else {
        throw .unable(device: settings.model, reason: "there is no digital line \(line); its lines are 1 to 14")
      }
    }
    self.connection = connection
    self.model = model
    self.settings = settings
    smu = "smu" + settings.channel
    abilities = PotentiostatAbilities(fourWire: true, remarks: model.remarks)
    try Self.awaitIdle(connection)
    let found = try connection.identify { $0.manufacturer.hasPrefix("Keithley") && $0.model.hasSuffix(model.number) }
    func trimmed(_ text: String) -> String { String(text.drop { $0 == " " }) }
    identity = InstrumentIdentity(
      manufacturer: found.manufacturer, model: trimmed(found.model), serial: trimmed(found.serial),
      firmware: trimmed(found.firmware))
  }

  package func close() { connection.close() }

  // MARK: Ranges

  package var ranges: [RangeFacts] { model.ranges }
  /// A reading of the smallest aperture that is still quiet, and what the script takes; not tried on hardware.
  package let shortestPeriod = Seconds(0.005)

  package func rangeHolding(_ currentRange: Amperes) -> Amperes { max(currentRange, TSPModel.lowestSourceRange) }

  /// The range in use: that of the source while a current is held.
  package var range: RangeFacts {
    let wanted = acquisition?.currentRange ?? .zero
    return facts(measured == .current ? rangeHolding(wanted) : wanted)
  }

  private func facts(_ current: Amperes) -> RangeFacts {
    ranges.first { $0.range >= current } ?? ranges[ranges.count - 1]
  }

  private var voltageRange: (range: Double, error: Double) {
    let wanted = acquisition?.voltageRange.value ?? 20
    return TSPModel.voltageRanges.first { $0.range >= wanted } ?? TSPModel.voltageRanges[3]
  }
  package var voltageAccuracy: Volts { Volts(voltageRange.error) }

  // MARK: Getting ready

  package func prepare(_ acquisition: Acquisition) throws(InstrumentError) {
    self.acquisition = acquisition
    try connection.clear()
    try open()
    hasRest = false
    try takeUnread()
    unread = Acquired()
    measured = .off
    try apply(["errorqueue.clear()", "localnode.prompts = 0 localnode.showerrors = 0"])
    // The queue that was cleared may have held a refusal, and off would be 0 V then (scpi-smu.md §1.1).
    for (attribute, wanted) in [("source.output", 0.0), ("source.offmode", 2.0)] {
      let found = try number("\(smu).\(attribute)")
      guard found == wanted else {
        throw .unexpected(
          device: connection.name, command: "\(smu).\(attribute)",
          answer: "\(found) instead of \(wanted); open the contacts, and look at its front panel")
      }
    }
    lineFrequency = try number("localnode.linefreq")
    if !isLoaded {
      // One epoch of the timer for this connection; its stamps are of 1 µs (scpi-smu.md §4).
      try apply(["timer.reset()", "loadscript \(ResidentScript.name)"] + scriptLines + ["endscript"])
      try apply(["\(ResidentScript.name)()"])
      isLoaded = true
    }
    try apply(["insitud_use(\(smu), \(settings.triggerIn ?? 0), \(settings.triggerOut ?? 0))"])
    lastRow = 0
    try set([
      ("source.leveli", 0), ("source.levelv", 0), ("source.autorangei", 0), ("source.autorangev", 0),
      ("measure.autorangei", 0), ("measure.autorangev", 0), ("source.rangev", voltageRange.range),
      ("measure.rangev", voltageRange.range), ("source.delay", 0), ("measure.delay", 0), ("measure.count", 1),
      ("measure.filter.enable", 0), ("source.highc", 0),
    ])
    let limits = acquisition.limits
    // The least that the instrument takes is 100 pA; tighter limits are held by the script, and on every sample here.
    let currentLimit = max(
      TSPModel.smallestCurrentLimit, limits.current.upperBound.magnitude.value,
      limits.current.lowerBound.magnitude.value)
    // A little beyond the limit, so that a charge that reaches it trips instead of silently becoming a hold.
    let voltageLimit = min(
      TSPModel.largestVoltageLimit,
      max(limits.voltage.upperBound.magnitude.value, limits.voltage.lowerBound.magnitude.value) * 1.02 + 0.02)
    try set([("source.limiti", currentLimit), ("source.limitv", voltageLimit)])
    try setRanges()
    try set([("measure.nplc", powerLineCycles)])
    try apply([
      "\(smu).sense = \(smu).SENSE_\(settings.fourWire ? "REMOTE" : "LOCAL")",
      "\(smu).measure.autozero = \(smu).AUTOZERO_ONCE",
    ])
    try prepareLines()
  }

  private var scriptLines: [String] { ResidentScript.text.split(separator: "\n").map(String.init) }

  /// Rising pulses on the output line; any rising edge on the input line (2600B manual, from memory).
  private func prepareLines() throws(InstrumentError) {
    if let line = settings.triggerOut {
      try apply(["digio.trigger[\(line)].mode = digio.TRIG_RISINGM", "digio.trigger[\(line)].pulsewidth = 1e-4"])
    }
    if let line = settings.triggerIn {
      try apply(["digio.trigger[\(line)].mode = digio.TRIG_RISINGA", "digio.trigger[\(line)].clear()"])
    }
  }

  private func setRanges() throws(InstrumentError) {
    let wanted = acquisition?.currentRange ?? .zero
    try set([
      ("source.leveli", 0), ("source.rangei", facts(rangeHolding(wanted)).range.value),
      ("measure.rangei", facts(wanted).range.value),
    ])
  }

  package func setRange(_ currentRange: Amperes) throws(InstrumentError) {
    try open()
    acquisition?.currentRange = currentRange
    measured = .off
    try setRanges()
  }

  package func setPeriod(_ period: Seconds) throws(InstrumentError) {
    acquisition?.period = period
    try set([("measure.nplc", powerLineCycles)])
  }

  /// Four fifths of the sample period; the rest is the script's. 0.001 to 25 (scpi-smu.md §4).
  private var powerLineCycles: Double {
    min(25, max(0.001, 0.8 * (acquisition?.period.value ?? 0.02) * lineFrequency))
  }
  var aperture: Seconds { Seconds(powerLineCycles / lineFrequency) }

  // MARK: Bias

  package func open() throws(InstrumentError) {
    // The script goes first, for while it runs nothing else is executed; the off mode goes before the output: whatever
    // was set at the front panel, off must not mean 0 V.
    hasRest = hasRest || isRunning
    hasUnread = hasUnread || asked != nil
    isRunning = false
    asked = nil
    ending = nil
    state = .off
    // Where `abort` fails the output is switched off all the same: it is carried out when the script ends.
    var failure: InstrumentError?
    do throws(InstrumentError) { try connection.send("abort") } catch { failure = error }
    if let failure, failure.isGone { throw failure }
    try connection.send(
      "\(smu).source.offmode = \(smu).OUTPUT_HIGH_Z \(smu).source.output = \(smu).OUTPUT_OFF")
    if let failure { throw failure }
  }

  /// The script or somebody at the front panel has opened the output.
  func outputOpened() { state = .off }

  package func finish() throws(InstrumentError) -> Acquired {
    guard state != .off || isRunning else { return Acquired() }
    var acquired = try awaitAnswer()
    try takeUnread()
    acquired += takenUnread()
    if isRunning { try connection.send("abort") }
    isRunning = false
    hasRest = false
    ending = nil
    acquired += try drained()
    acquired += try fetchRest()
    return acquired
  }

  package func begin(_ bias: Bias, present: Volts?, isWithinLimits: (Sample) -> Bool) throws(InstrumentError)
    -> Acquired
  {
    switch bias {
    case .open:
      try open()
      return Acquired()
    case .current(let amperes):
      if state != .current { try source("DCAMPS", "leveli", 0, as: .current) }
      try set([("source.leveli", amperes.value)])
      try run(amperes.value, bias)
      return Acquired()
    case .voltage(let volts):
      if state != .voltage {
        voltageLevel = present?.value ?? volts.value
        try source("DCVOLTS", "levelv", voltageLevel, as: .voltage)
      }
      let steps = (abs(volts.value - voltageLevel) / Self.rampStep).rounded(.up)
      try run(volts.value, bias)
      let ramped = try ramp(steps, isWithinLimits)
      voltageLevel = volts.value
      return ramped
    }
  }

  /// Changes the source function: only with the output off (the cell rests meanwhile), and back on at `level`.
  private func source(_ function: String, _ attribute: String, _ level: Double, as source: Source)
    throws(InstrumentError)
  {
    try open()
    try apply([
      "\(smu).source.func = \(smu).OUTPUT_\(function)", "\(smu).source.\(attribute) = \(level)",
      "\(smu).source.output = \(smu).OUTPUT_ON",
    ])
    state = source
    measured = source
  }

  package func poll() throws(InstrumentError) -> Acquired {
    if isRunning { return try ask() }
    if hasRest {
      hasRest = false
      try takeUnread()
      return try takenUnread() + fetchRest()
    }
    guard let why = ending else { return Acquired() }
    ending = nil
    let reason =
      switch why {
      case "limit": "it met a limit of the cell"
      case "silent": "its host was silent for \(Self.silence)"
      default: "its output was switched off at the instrument"
      }
    throw .unexpected(device: connection.name, command: "measuring", answer: "the output is open: \(reason)")
  }

  /// The script has ended by itself, and all its rows were told.
  func scriptEnded(_ why: String) {
    isRunning = false
    ending = why
  }
}
