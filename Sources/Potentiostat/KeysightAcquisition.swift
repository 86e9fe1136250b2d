import Linux
import Quantities
import USB

/// Readings that a Keysight instrument takes on its own timer into its data buffer, fetched as they come, and what they
/// are as samples.
///
/// The buffer holds 100 000 readings and ends with them; it is begun anew then, and the pause that this makes is told.
/// `:SYST:DATA:QUAN?` says how many there are, `:SENS:DATA? offset,size` gives any of them (B2961A SCPI command
/// reference, SENSe subsystem; `scpi-smu.md` §6). Not tried on hardware.
final class KeysightAcquisition {
  /// Trigger count and buffer, B2900A data sheet ("Arm/trigger event: 1 to 100000").
  static let mostReadings = 100_000
  /// Rows fetched with one question.
  private static let mostPerQuestion = 1000
  /// Notes kept until somebody asks.
  private static let mostNotes = 16
  /// A reading may be counted this much later than its aperture ends; nothing is published about it.
  private static let visibilityDelay = Seconds(0.001)

  /// s; the longest aperture there is, and the share of a sample period that it takes.
  private static let longestAperture = 2.0
  private static let apertureShare = 0.8

  private let connection: SCPIConnection
  /// s; of the model.
  private let shortestAperture: Double
  /// "1" or "2" in the headers of an instrument that has channels, and the list that names it; else nothing.
  private let suffix: String
  private let list: String
  private let countBeforeNew: Int
  /// Trigger line that begins every reading; nil: the instrument's timer.
  private let triggerIn: Int?
  private let triggerOut: Int?

  private(set) var isRunning = false
  private var hasRows = false
  private var period = Seconds(0.02)
  /// The instrument's time until which readings are settling; nil: counted from the first reading to come.
  private var settledFrom: Int64?
  private var read = 0
  private var lastAsked: MonotonicTime?
  private var lastStamp: Int64?
  private var isBegunAnew = false
  private var notes: [String] = []

  /// - Parameters:
  ///   - channel: nil for an instrument without channels.
  ///   - countBeforeNew: readings after which it begins anew; tests take few.
  init(
    _ connection: SCPIConnection, channel: Int?, shortestAperture: Double, triggerIn: Int? = nil,
    triggerOut: Int? = nil,
    countBeforeNew: Int = mostReadings
  ) {
    self.connection = connection
    self.shortestAperture = shortestAperture
    suffix = channel.map { "\($0)" } ?? ""
    list = channel.map { " (@\($0))" } ?? ""
    self.triggerIn = triggerIn
    self.triggerOut = triggerOut
    self.countBeforeNew = min(countBeforeNew, Self.mostReadings)
  }

  /// Binary answers, and a timer that goes on from one acquisition to the next.
  func prepare() throws(InstrumentError) {
    try connection.applyKeysight(
      ":FORM REAL,64;:FORM:BORD SWAP", ":FORM:ELEM:SENS \(KeysightReading.elements)",
      ":SYST:TIME:TIM:COUN:RES:AUTO OFF")
    if let triggerIn { try connection.applyKeysight(":SOUR:DIG:EXT\(triggerIn):FUNC TINP") }
    if let triggerOut {
      try connection.applyKeysight(
        ":SOUR:DIG:EXT\(triggerOut):FUNC TOUT",
        ":TRIG\(suffix):ACQ:TOUT:SIGN EXT\(triggerOut);:TRIG\(suffix):ACQ:TOUT:STAT ON")
    }
  }

  var aperture: Seconds {
    Seconds(min(Self.longestAperture, max(shortestAperture, Self.apertureShare * period.value)))
  }

  /// How often is measured from the next `begin` on, and with it the aperture.
  func setPeriod(_ period: Seconds) throws(InstrumentError) {
    self.period = period
    let seconds = scpiNumber(aperture.value)
    try connection.applyKeysight(":SENS\(suffix):CURR:APER \(seconds);:SENS\(suffix):VOLT:APER \(seconds)")
  }

  /// Measures as often as a ramp wants it while `body` is on its way.
  func ramping(_ body: () throws(InstrumentError) -> Acquired) throws(InstrumentError) -> Acquired {
    let wanted = period
    guard wanted > VoltageRamp.longestPeriod else { return try body() }
    try setPeriod(VoltageRamp.longestPeriod)
    let acquired = try body()
    try setPeriod(wanted)
    return acquired
  }

  /// Only the acquire action is begun: the transient one would set the source to its triggered level.
  func begin() throws(InstrumentError) {
    let source = triggerIn.map { "EXT\($0)" } ?? "TIM"
    try connection.applyKeysight(
      ":TRIG\(suffix):ACQ:SOUR \(source);:TRIG\(suffix):ACQ:TIM \(scpiNumber(period.value))",
      ":TRIG\(suffix):ACQ:COUN \(countBeforeNew);:TRIG\(suffix):ACQ:DEL 0")
    lastStamp = nil
    settledFrom = nil
    isBegunAnew = false
    try initiate()
  }

  private func initiate() throws(InstrumentError) {
    try connection.applyKeysight(":INIT:ACQ\(list)")
    read = 0
    lastAsked = nil
    isRunning = true
    hasRows = true
  }

  /// Ends the measuring; what was measured can still be fetched.
  func end() throws(InstrumentError) {
    guard isRunning else { return }
    try connection.sendKeysight(":ABOR:ACQ\(list)")
    isRunning = false
  }

  /// Ends the measuring; `poll` fetches what is left of it.
  func finish(_ poll: () throws(InstrumentError) -> Acquired) throws(InstrumentError) -> Acquired {
    try end()
    let rest = try poll()
    forget()
    return rest
  }

  /// The measuring was ended by other means.
  func noteEnded() { isRunning = false }
  /// What is left in the buffer is of no more use.
  func forget() {
    isRunning = false
    hasRows = false
  }

  /// What has come since the last call.
  /// - Parameter settling: readings in this time after the first one are marked.
  func poll(settling: Seconds, _ sample: (KeysightReading, SampleFlags) -> Sample) throws(InstrumentError) -> Acquired {
    let (rows, pairs) = try fetch()
    var acquired = Acquired()
    acquired.clockPairs = pairs
    for row in rows {
      let settled = settledFrom ?? (row.stamp + settling.nanoseconds)
      settledFrom = settled
      acquired.samples.append(sample(row, row.stamp < settled ? .settling : []))
    }
    return acquired
  }

  /// A reading as it is. The stamp is the beginning of the aperture; a sample's time is its centre. Voltage and current
  /// are taken together (not tried on hardware).
  func sample(_ row: KeysightReading, _ range: RangeFacts, _ flags: SampleFlags) -> Sample {
    Sample(
      deviceNanoseconds: row.stamp + aperture.nanoseconds / 2, arrival: .now,
      voltage: row.voltage.value.map { Volts($0) }, current: row.current.value.map { Amperes($0) },
      range: range.range, aperture: aperture, flags: row.flags.union(flags))
  }

  /// Rows that have come since the last call, and what they tell of the instrument's clock.
  private func fetch() throws(InstrumentError) -> (rows: [KeysightReading], pairs: [ClockPair]) {
    guard hasRows else { return ([], []) }
    let asked = MonotonicTime.now
    let text = try connection.queryKeysight(":SYST:DATA:QUAN?\(list)")
    let answered = MonotonicTime.now
    guard let count = Double(text).flatMap({ Int(exactly: $0) }), (0...Self.mostReadings).contains(count) else {
      throw .unexpected(device: connection.name, command: ":SYST:DATA:QUAN?", answer: text)
    }
    var rows: [KeysightReading] = []
    var pairs: [ClockPair] = []
    while read < count {
      let size = min(count - read, Self.mostPerQuestion)
      let question = ":SENS\(suffix):DATA? \(read),\(size)"
      let batch = try connection.keysightReadings(question, within: SCPIConnection.keysightPatience)
      guard batch.count == size else {
        throw .unexpected(device: connection.name, command: question, answer: "\(batch.count) readings")
      }
      for row in [batch.first, batch.last].compactMap(\.self) {
        // Its aperture ended after the poll that did not count it, and before this one was answered.
        pairs.append(
          ClockPair(
            deviceNanoseconds: row.stamp + aperture.nanoseconds,
            earliest: lastAsked.map { $0 - Self.visibilityDelay }, latest: answered))
      }
      rows += batch
      read += size
    }
    lastAsked = asked
    tellPause(before: rows.first)
    lastStamp = rows.last?.stamp ?? lastStamp
    if isRunning, read >= countBeforeNew {
      isBegunAnew = true
      try initiate()
    }
    return (rows, pairs)
  }

  private func tellPause(before row: KeysightReading?) {
    guard isBegunAnew, let row, let lastStamp else { return }
    isBegunAnew = false
    let pause = Seconds(nanoseconds: row.stamp - lastStamp)
    if notes.count == Self.mostNotes { notes.removeFirst() }
    notes.append(
      "the buffer of \(countBeforeNew) readings was full and was begun anew: \(pause) between two readings instead of \(period)"
    )
  }

  /// The instrument's error queue, and what an operator should know of the measuring, since the last call.
  func errors() throws(InstrumentError) -> [String] {
    let errors = try connection.keysightErrors()
    defer { notes = [] }
    return errors + notes
  }

  /// One reading, taken now, with the acquisition at rest.
  func readOnce() throws(InstrumentError) -> (row: KeysightReading, pair: ClockPair) {
    let question = ":MEAS?\(list)"
    let asked = MonotonicTime.now
    let rows = try connection.keysightReadings(question, within: aperture * 4 + SCPIConnection.keysightPatience)
    guard rows.count == 1 else {
      throw .unexpected(device: connection.name, command: question, answer: "\(rows.count) readings")
    }
    return (rows[0], ClockPair(deviceNanoseconds: rows[0].stamp, earliest: asked, latest: .now))
  }
}
