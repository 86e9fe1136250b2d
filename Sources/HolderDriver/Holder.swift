package import Quantities
package import USB

/// Which lines of the holder the cell's electrodes are on.
package struct HolderContacts: Hashable, Sendable {
  package var working: Int
  package var counter: Int
  /// Reference electrode, on the sense tap; nil for a two-electrode cell.
  package var reference: Int?
  /// A third contact of a lamella that carries no current: at ground, or at the holder's own bias source. Nil: none.
  package var gate: Int?

  package init(working: Int, counter: Int, reference: Int? = nil, gate: Int? = nil) {
    self.working = working
    self.counter = counter
    self.reference = reference
    self.gate = gate
  }

  package var lines: [Int] { [working, counter, reference, gate].compactMap(\.self) }
}

/// Whether the holder lets current through, and why not.
package struct HolderState: Hashable, Sendable {
  /// "SAFE_OPEN", "ARMED", "ACTIVE", "INSERT", "FAULT"… as far as the model tells.
  package var name: String
  /// What made it safe last: "HOST", "HEARTBEAT", "INTERLOCK"…
  package var safeCause: String
  /// A line is at a tap from which current can reach the cell.
  package var contactsClosed: Bool

  package init(name: String, safeCause: String, contactsClosed: Bool) {
    self.name = name
    self.safeCause = safeCause
    self.contactsClosed = contactsClosed
  }

  /// Nothing can be switched on, whatever was before.
  package var isSafe: Bool { ["SAFE_OPEN", "INSERT", "FAULT", "INTERLOCK"].contains(name) }
}

/// What a model of holder can do. Everything else throws `InstrumentError.unable`.
package struct HolderAbilities: OptionSet, Hashable, Sendable {
  package let rawValue: UInt32
  package init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Relays between the cell and the potentiostat: zeros can be read, and the cell opened.
  package static let route = HolderAbilities(rawValue: 1 << 0)
  /// A voltage source of its own.
  package static let bias = HolderAbilities(rawValue: 1 << 1)
  /// A picoampere meter of its own.
  package static let meter = HolderAbilities(rawValue: 1 << 2)
  package static let piezo = HolderAbilities(rawValue: 1 << 3)
  package static let heater = HolderAbilities(rawValue: 1 << 4)
  package static let leakage = HolderAbilities(rawValue: 1 << 5)
  /// A grounded state for putting the holder into the microscope.
  package static let insert = HolderAbilities(rawValue: 1 << 6)
  /// Time stamps of edges at its trigger inputs.
  package static let edges = HolderAbilities(rawValue: 1 << 7)
  package static let blank = HolderAbilities(rawValue: 1 << 8)
  package static let auxiliary = HolderAbilities(rawValue: 1 << 9)
  package static let force = HolderAbilities(rawValue: 1 << 10)
  /// It opens the cell by itself when the host falls silent.
  package static let watchesHost = HolderAbilities(rawValue: 1 << 11)

  private static let words: [(HolderAbilities, String)] = [
    (.route, "route"), (.bias, "bias"), (.meter, "meter"), (.piezo, "piezo"), (.heater, "heater"),
    (.leakage, "leakage"), (.insert, "insert"), (.edges, "edges"), (.blank, "blank"), (.auxiliary, "aux"),
    (.force, "force"), (.watchesHost, "heartbeat"),
  ]

  /// "route", "bias", …
  package var names: [String] { Self.words.filter { contains($0.0) }.map(\.1) }
}

/// One value that the holder reads, in SI units.
package struct HolderReading: Equatable, Sendable {
  package var quantity: String
  package var value: Double
  package var unit: String

  package init(_ quantity: String, _ value: Double, _ unit: String) {
    self.quantity = quantity
    self.value = value
    self.unit = unit
  }
}

/// A contact that the holder's firmware found.
package struct ContactEvent: Hashable, Sendable {
  /// On the holder's clock, µs.
  package var time_us: UInt64
  package var current: Amperes
  /// Coarse steps made along the axis since the count was zeroed.
  package var steps: Int
}

package enum PiezoAxis: String, CaseIterable, Sendable {
  case x, y, z
  var index: Int { Self.allCases.firstIndex(of: self) ?? 2 }
}

/// What a heater is to do.
package enum HeaterSetting: Hashable, Sendable {
  case off
  case temperature(Kelvins, kelvinsPerSecond: Double)
}

/// The four-wire measurement of a heater.
package struct HeaterReading: Hashable, Sendable {
  package var resistance: Ohms
  package var temperature: Kelvins
  package var current: Amperes
  package var voltage: Volts
}

/// A biasing holder, with or without electronics. Owned by one thread; every call is bounded in time.
///
/// A model is one file that conforms, and one line in `HolderModels.all`. What is not in `abilities` need not be
/// implemented: it throws a sentence that says so.
package protocol Holder: AnyObject {
  var identity: InstrumentIdentity { get }
  var abilities: HolderAbilities { get }
  /// What an operator has to know about what it cannot do, in sentences.
  var limitations: [String] { get }

  // Every model
  func state() throws(InstrumentError) -> HolderState
  /// The safe state at once: contacts open first, then everything to zero.
  func makeSafe() throws(InstrumentError)
  func errors() throws(InstrumentError) -> [String]
  func disconnect()

  // The cell
  /// Watches over the host from now on: without `beat` within `timeout` the holder opens the cell by itself.
  func watchHost(timeout: Seconds) throws(InstrumentError)
  /// One sign of life.
  func beat() throws(InstrumentError)
  /// Clears what made the holder safe, takes the profile over and makes it ready to close contacts; the cell stays open.
  func arm(_ settings: HolderSettings) throws(InstrumentError)
  /// Connects the cell's electrodes with the potentiostat; a gate is grounded before.
  func close(_ contacts: HolderContacts) throws(InstrumentError)
  /// One comparison of the holder's clock with ours.
  func clockPair() throws(InstrumentError) -> ClockPair?

  // .route
  func route(_ channels: [HolderChannel]) throws(InstrumentError)
  func closedChannels() throws(InstrumentError) -> [HolderChannel]
  func open(_ channels: [HolderChannel]) throws(InstrumentError)
  func openAll() throws(InstrumentError)
  // .insert
  func insert(_ isOn: Bool) throws(InstrumentError)
  // .leakage
  /// Insulation of the lines at `bias`; the resistance and the current that flowed.
  func leakage(at bias: Volts) throws(InstrumentError) -> (resistance: Ohms, current: Amperes)
  // .bias
  func setOutput(_ isOn: Bool) throws(InstrumentError)
  /// Takes a line from ground to the bias source, at 0 V, and from there to a voltage.
  func drive(gate line: Int, to voltage: Volts) throws(InstrumentError)
  // .meter
  /// - Parameter range: nil keeps the range in use.
  func setMeter(range: Amperes?, aperture: Seconds) throws(InstrumentError)
  func isMeterSettling() throws(InstrumentError) -> Bool
  func meterRecords(atMost count: Int) throws(InstrumentError) -> [MeterRecord]
  // .edges
  func edges() throws(InstrumentError) -> [HolderEdge]
  // .piezo
  /// Contact detection in the firmware, which stops the tip by itself.
  func detectContact(_ settings: ApproachSettings?) throws(InstrumentError)
  func contact() throws(InstrumentError) -> ContactEvent?
  func setWaveform(_ waveform: StepWaveform) throws(InstrumentError)
  func step(_ axis: PiezoAxis, by count: Int, amplitude: Volts, frequency: Hertz) throws(InstrumentError)
  /// Coarse steps still to be made.
  func remainingSteps() throws(InstrumentError) -> Int
  /// Moves one axis to a voltage and leaves the others where they are.
  func extend(_ axis: PiezoAxis, to voltage: Volts, voltsPerSecond: Double) throws(InstrumentError)
  /// V on x, y and z now.
  func fineVoltages() throws(InstrumentError) -> [Double]
  func stopMotion() throws(InstrumentError)
  // .heater
  func heat(_ setting: HeaterSetting) throws(InstrumentError)
  func heaterReading() throws(InstrumentError) -> HeaterReading?
  // .blank
  func blank(_ isOn: Bool) throws(InstrumentError)
  /// Everything that is worth a line in the record of a run, of what is fitted.
  func readings() throws(InstrumentError) -> [HolderReading]
}
