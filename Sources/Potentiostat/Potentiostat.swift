package import Linux
package import Quantities
package import USB

/// What is put on the cell.
package enum Bias: Hashable, Sendable {
  /// Output off, high impedance: the cell is open.
  case open
  /// A current is held; positive charges the working electrode. `current(0)` is a rest with the voltage measured.
  case current(Amperes)
  /// A voltage is held, ramped to from the voltage the cell has.
  case voltage(Volts)
}

/// Bounds of the cell; a sample beyond them opens the output at once.
package struct CellLimits: Hashable, Sendable {
  package var voltage: ClosedRange<Volts>
  package var current: ClosedRange<Amperes>

  package init(voltage: ClosedRange<Volts>, current: ClosedRange<Amperes>) {
    self.voltage = voltage
    self.current = current
  }

  /// The larger of the two bounds, without its sign.
  var largestVoltage: Volts { max(voltage.upperBound.magnitude, voltage.lowerBound.magnitude) }
  var largestCurrent: Amperes { max(current.upperBound.magnitude, current.lowerBound.magnitude) }
  /// What a current source is kept within by itself: a little beyond the limit, so that a charge that reaches the limit
  /// trips instead of silently becoming a hold. It stays the last word when this computer is gone.
  var voltageCompliance: Volts { largestVoltage * 1.02 + Volts(0.02) }

  /// Which limit a sample is beyond, in words; nil when it is within both.
  package func violation(by sample: Sample) -> String? {
    if let v = sample.voltage, !voltage.contains(v) {
      return "voltage \(v.formatted(digits: 4)) is beyond \(voltage.lowerBound) … \(voltage.upperBound)"
    }
    if let i = sample.current, !current.contains(i) {
      return "current \(i) is beyond \(current.lowerBound) … \(current.upperBound)"
    }
    // The instrument holds a limit itself, a little further out: there nothing might ever be read beyond ours.
    if sample.flags.contains(.compliance), !sample.flags.contains(.settling) {
      let voltage = sample.voltage.map { $0.formatted(digits: 4) } ?? "unknown"
      let current = sample.current.map(\.description) ?? "unknown"
      return "the source is held at its limit: voltage \(voltage), current \(current)"
    }
    if sample.flags.contains(.overflow) { return "the reading is beyond the instrument's range" }
    return nil
  }
}

/// How samples are to be taken. Ranges do not change under load.
package struct Acquisition: Hashable, Sendable {
  package var period: Seconds
  /// The smallest current range that holds this current is used.
  package var currentRange: Amperes
  package var voltageRange: Volts
  package var limits: CellLimits

  package init(period: Seconds, currentRange: Amperes, voltageRange: Volts, limits: CellLimits) {
    self.period = period
    self.currentRange = currentRange
    self.voltageRange = voltageRange
    self.limits = limits
  }
}

/// A range of an instrument, as its data sheet has it.
package struct RangeFacts: Hashable, Sendable {
  /// Full scale, A.
  package var range: Amperes
  package var sourceResolution: Amperes
  package var measureResolution: Amperes
  /// Accuracy is gain·reading + offset.
  package var measureGain: Double
  package var measureOffset: Amperes
  /// How long a reading takes to settle after the range or the set point changed.
  package var settling = Seconds(0)

  /// Largest error of a reading of `current` on this range.
  package func accuracy(at current: Amperes) -> Amperes { current.magnitude * measureGain + measureOffset }
}

extension [RangeFacts] {
  /// The smallest range that holds `current`; the largest there is for more than that.
  func holding(_ current: Amperes) -> RangeFacts { first { $0.range >= current } ?? self[count - 1] }
}

/// What a model can do, as data.
package struct PotentiostatAbilities: Hashable, Sendable {
  /// False: the model has no current source. It rests at 0 A with the voltage measured, and holds voltages.
  package var holdsCurrent = true
  /// False: voltage and current are not measured together; a rest tells the voltage, a held voltage the current.
  package var measuresBoth = true
  package var fourWire = false
  /// What can be applied to a cell; nil where the protocol's own limits are within it in every case.
  package var voltages: ClosedRange<Volts>?
  /// What an operator must know before trusting it, in whole sentences.
  package var remarks: [String] = []

  package init(holdsCurrent: Bool = true, measuresBoth: Bool = true, fourWire: Bool = false, remarks: [String] = []) {
    self.holdsCurrent = holdsCurrent
    self.measuresBoth = measuresBoth
    self.fourWire = fourWire
    self.remarks = remarks
  }
}

/// New samples, and what they tell of the instrument's clock.
package struct Acquired: Sendable {
  package var samples: [Sample] = []
  package var clockPairs: [ClockPair] = []
  package init() {}

  static func + (a: Acquired, b: Acquired) -> Acquired {
    var sum = a
    sum += b
    return sum
  }

  static func += (a: inout Acquired, b: Acquired) {
    a.samples += b.samples
    a.clockPairs += b.clockPairs
  }
}

/// A source-measure unit or potentiostat. Owned by one thread; every call is bounded in time.
///
/// A model is one file that conforms, and one line in `PotentiostatModels.all`.
package protocol PotentiostatDriver: AnyObject {
  var identity: InstrumentIdentity { get }
  var abilities: PotentiostatAbilities { get }
  /// The ranges there are, smallest first.
  var ranges: [RangeFacts] { get }
  /// The shortest sample period that is kept up reliably.
  var shortestPeriod: Seconds { get }
  /// The range in use.
  var range: RangeFacts { get }
  /// Largest error of a voltage reading on the range in use.
  var voltageAccuracy: Volts { get }
  /// Brings the instrument from whatever state it is in to: output off at high impedance, ranges, limits and
  /// aperture set. The safe off state is set before anything else.
  func prepare(_ acquisition: Acquisition) throws(InstrumentError)
  /// Ends the measuring under the present bias, which stays on.
  /// - Returns: what was measured under it, to the last reading.
  func finish() throws(InstrumentError) -> Acquired
  /// The range that a held current is measured on when `currentRange` was asked for: some sources begin higher than
  /// their meters.
  func rangeHolding(_ currentRange: Amperes) -> Amperes
  /// Puts `bias` on the cell and begins to measure. A source that comes on begins at what the cell has: 0 A, or
  /// `present`; a voltage is ramped to.
  /// - Parameter isWithinLimits: asked for every reading of the ramp, which ends where it says no.
  /// - Returns: the readings of the ramp.
  func begin(_ bias: Bias, present: Volts?, isWithinLimits: (Sample) -> Bool) throws(InstrumentError) -> Acquired
  /// 0 V at the holder's open contacts: what is read until `open` is the zero of the range, and whoever asks for it
  /// subtracts it from what is read on this range until `prepare`.
  /// - Returns: what was read already.
  func beginZero() throws(InstrumentError) -> Acquired
  /// Changes the current range. The output opens for it and stays open until `begin`.
  func setRange(_ currentRange: Amperes) throws(InstrumentError)
  /// Changes how often is measured; with the output open.
  func setPeriod(_ period: Seconds) throws(InstrumentError)
  /// Fetches what was measured since the last call. What has to be begun anew for measuring to go on is begun here, but
  /// nothing that switches the output on while the latch is set that the driver was given.
  func poll() throws(InstrumentError) -> Acquired
  /// Output off at high impedance, whatever was set before; the shortest way there is.
  func open() throws(InstrumentError)
  /// Entries of the instrument's error queue.
  func errors() throws(InstrumentError) -> [String]
  func close()
}

extension PotentiostatDriver {
  package func rangeHolding(_ currentRange: Amperes) -> Amperes { currentRange }
  package func beginZero() throws(InstrumentError) -> Acquired {
    try begin(.voltage(.zero), present: .zero, isWithinLimits: { _ in true })
  }
}

/// Which of an instrument's sockets the holder's cable is on.
package enum Terminals: String, CaseIterable, Sendable { case rear, front }

/// Which instrument, where, and how it is wired.
package struct PotentiostatSettings: Sendable {
  package var model: String
  package var usb: USBMatch
  package var terminals: Terminals
  /// Voltage is sensed by a pair of wires of its own.
  package var fourWire = false
  /// Channel of an instrument with several: "a" or "b".
  package var channel = "a"
  /// Digital line that gets a pulse with every reading; nil for none.
  package var triggerOut: Int?
  /// Digital line whose pulse begins every reading; nil: the instrument's own timer.
  package var triggerIn: Int?

  package init(model: String, usb: USBMatch, terminals: Terminals = .rear) {
    self.model = model
    self.usb = usb
    self.terminals = terminals
  }
}

/// One model that can be named in the configuration.
package struct PotentiostatModel: Sendable {
  package let name: String
  private let make:
    @Sendable (any USBBus, PotentiostatSettings, SafetyLatch) throws(InstrumentError) -> any PotentiostatDriver

  init(
    name: String,
    _ make:
      @escaping @Sendable (any USBBus, PotentiostatSettings, SafetyLatch) throws(InstrumentError) ->
      any PotentiostatDriver
  ) {
    self.name = name
    self.make = make
  }

  /// A model that is spoken to over USBTMC.
  static func overUSBTMC(
    _ name: String,
    _ make:
      @escaping @Sendable (SCPIConnection, PotentiostatSettings, SafetyLatch) throws(InstrumentError) ->
      any PotentiostatDriver
  ) -> PotentiostatModel {
    PotentiostatModel(name: name) { bus, settings, latch throws(InstrumentError) in
      let connection = try SCPIConnection.open(settings.usb, on: bus, name: settings.model)
      do throws(InstrumentError) { return try make(connection, settings, latch) } catch {
        connection.close()
        throw error
      }
    }
  }

  /// Opens the instrument on the bus and takes it over; changes nothing in it. Throws when what answers is another one.
  /// - Parameter latch: what the driver does by itself, as beginning a script anew, switches nothing on while it is set.
  package func open(_ bus: any USBBus, _ settings: PotentiostatSettings, latch: SafetyLatch = SafetyLatch())
    throws(InstrumentError) -> any PotentiostatDriver
  {
    try make(bus, settings, latch)
  }
}

extension SafetyLatch {
  /// What is said to work that would switch an output on while the latch is set.
  static func refusal(_ device: String) -> InstrumentError {
    .unexpected(device: device, command: "switching the output on", answer: "it is held in the safe state")
  }
}

package enum PotentiostatModels {
  /// The one place where a model is registered.
  package static let all: [PotentiostatModel] = [
    .keithley2450, .keithley2460, .keithley2461, .keithley2470, .keithley2634B, .keithley2635B, .keithley2636B,
    .keysightB2901A, .keysightB2902A, .keysightB2911A, .keysightB2912A, .keysightB2985A, .keysightB2987A,
    .emStat4LR, .emStat4HR, .nexus, .emStatPico,
  ]

  package static func named(_ name: String) -> PotentiostatModel? { all.first { $0.name == name } }
}

/// A number as SCPI wants it (NR3).
func scpiNumber(_ value: Double) -> String { "\(value)".uppercased() }
