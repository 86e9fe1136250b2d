import Linux
package import Quantities
package import USB

extension PotentiostatModel {
  static let keithley2634B = keithley(.k2634B)
  static let keithley2635B = keithley(.k2635B)
  static let keithley2636B = keithley(.k2636B)

  private static func keithley(_ model: TSPModel) -> PotentiostatModel {
    .overUSBTMC(model.name) { connection, settings, _ throws(InstrumentError) in
      try Keithley2636B(connection, model, settings)
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
  let model: TSPModel
  let settings: PotentiostatSettings
  /// The channel as scripts name it: `smua` or `smub`.
  let smu: String
  var acquisition: Acquisition?
  var isLoaded = false
  var lineFrequency = 50.0
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
  /// Why the script ended by itself, until somebody was told.
  var ending: String?
  /// That this script has ended by itself was noticed: it says so in every answer from then on.
  var isEndingKnown = false
  /// Endings that nobody was told otherwise, for `errors()`.
  var notes: [String] = []

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

  /// So long without a sign of life, and the script opens the output.
  static let silence = Seconds(1.5)
  /// How long an answer of the script may take beyond a reading.
  static let answerPatience = Seconds(0.3)
  static let beginPatience = Seconds(1.2)
  /// Bit 4 of the status byte: an answer can be read (scpi-smu.md §8).
  static let messageAvailable: UInt8 = 0x10
  static let mostErrors = 64
  static let mostNotes = 16

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
    return ranges.holding(measured == .current ? rangeHolding(wanted) : wanted)
  }

  var voltageRange: (range: Double, error: Double) {
    let wanted = acquisition?.voltageRange.value ?? 20
    return TSPModel.voltageRanges.first { $0.range >= wanted } ?? TSPModel.voltageRanges[3]
  }
  package var voltageAccuracy: Volts { Volts(voltageRange.error) }

  // MARK: Bias

  package func open() throws(InstrumentError) {
    // The script goes first, for while it runs nothing else is executed; the off mode goes before the output: whatever
    // was set at the front panel, off must not mean 0 V.
    hasRest = hasRest || isRunning
    hasUnread = hasUnread || asked != nil
    isRunning = false
    asked = nil
    noteEnding()
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
    acquired += try drained()
    acquired += try fetchRest()
    return acquired
  }

  package func begin(_ bias: Bias, present: Volts?, isWithinLimits: (Sample) -> Bool) throws(InstrumentError)
    -> Acquired
  {
    if bias != .open { try tellEnding() }
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
      let start = state == .voltage ? voltageLevel : present?.value ?? volts.value
      let ramp = try VoltageRamp(from: start, to: volts.value, device: connection.name)
      if state != .voltage { try source("DCVOLTS", "levelv", start, as: .voltage) }
      voltageLevel = start
      try run(volts.value, bias)
      let ramped = try follow(ramp, isWithinLimits)
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
    try tellEnding()
    return Acquired()
  }

  // MARK: Scripts that end by themselves

  /// The script has ended by itself, and all its rows were told.
  func scriptEnded(_ why: String) {
    isRunning = false
    guard !isEndingKnown else { return }
    isEndingKnown = true
    ending = why
  }

  /// Says why the output is open that nobody here has opened: nothing goes on as if it had been on.
  func tellEnding() throws(InstrumentError) {
    guard let why = ending else { return }
    ending = nil
    throw .unexpected(device: connection.name, command: "measuring", answer: Self.words(why))
  }

  /// The output is opened anyway; the record still has to say that it was open before.
  func noteEnding() {
    guard let why = ending else { return }
    ending = nil
    if notes.count < Self.mostNotes { notes.append(Self.words(why)) }
  }

  private static func words(_ why: String) -> String {
    let reason =
      switch why {
      case "limit": "it met a limit of the cell"
      case "silent": "its host was silent for \(silence)"
      default: "its output was switched off at the instrument"
      }
    return "the output is open: \(reason)"
  }
}
