package import Quantities

/// A B2985A or B2987A electrometer with a voltage source (`scpi-smu.md` §0, 6).
///
/// The source's HI is at the working electrode, the input at the counter electrode. A reading's time stamp is the
/// beginning of its aperture. After a reset off is NORMAL and the source's low floats: then nothing flows, whatever is
/// set. HIZ exists in the 20 V range alone.
package final class KeysightB2980: KeysightDevice {
  package struct Settings: Sendable {
    /// B2985A or B2987A.
    package var model = "B2985A"
    package var serial = "MY54320001"
    package var firmware = "1.0.1418.2216"
    package var lineFrequency = 50.0
    /// A rms of a current reading at an aperture of 20 ms, on the lowest range.
    package var currentNoise = 0.5e-15
    /// V rms at an aperture of 20 ms.
    package var voltageNoise = 5e-6
    /// A by which the current reading is off, besides what zero correct takes away.
    package var measureOffset = 0.0
    /// Of the input before zero correct, as a share of the range.
    package var zeroOffset = 5e-4
    /// V by which the voltage source is off.
    package var sourceOffset = 0.0
    /// Share of the range by which a current reading is off right after a change.
    package var settlingShare = 1e-2
    package var zeroBeforeOpening = Seconds(5e-3)
    package var isInterlockOpen = true
    /// Per cent; the B2987A has one.
    package var battery = 87
    package var seed: UInt64 = 1

    package init() {}
  }

  package let settings: Settings
  package let status = SCPIStatus()
  package let maximumMessage = 64 << 10
  let cell: any CellSide
  let clock: any InstrumentClock
  var state = KeysightState()
  var triggers = [KeysightTrigger()]

  private(set) var function = KeysightFunction.current
  package internal(set) var isInputOn = false
  private(set) var correctsZero = false
  /// What zero correct found on the present range, A.
  private var correction: Double?
  private(set) var currentRange = 20e-3
  var isAutoRange = true
  var voltageRange = 20.0
  var apertureTime = 0.1e-3

  package private(set) var isOutputOn = false
  package private(set) var outputOnSince: MonotonicTime?
  var offMode = KeysightOffMode.normal
  var isLowCommon = false
  var level = 0.0
  var sourceRange = 20.0
  private var relayOpensAt: MonotonicTime?
  private var presented: CellTerminal?

  private var currentInput: MeterInput
  private var voltageInput: MeterInput

  var lineFrequency: Double { settings.lineFrequency }
  var isInterlockOpen: Bool { settings.isInterlockOpen }

  package init(_ settings: Settings, cell: any CellSide, clock: any InstrumentClock, at now: MonotonicTime) {
    self.settings = settings
    self.cell = cell
    self.clock = clock
    currentInput = MeterInput(noise: MeterNoise(white: settings.currentNoise, flicker: 0, seed: settings.seed))
    voltageInput = MeterInput(
      noise: MeterNoise(white: settings.voltageNoise, flicker: 0, seed: settings.seed &+ 0x2985))
    reset(at: now)
  }

  var label: (model: String, serial: String) { (settings.model, settings.serial) }
  package var identity: String {
    "Keysight Technologies,\(settings.model),\(settings.serial),\(settings.firmware)"
  }

  package func reset(at now: MonotonicTime) {
    state = KeysightState(timerZero: clock.device(at: now))
    triggers = [KeysightTrigger()]
    function = .current
    isInputOn = false
    correctsZero = false
    correction = nil
    (currentRange, isAutoRange, voltageRange, apertureTime) = (20e-3, true, 20, 0.1e-3)
    setOutput(false, at: now)
    (offMode, isLowCommon, level, sourceRange) = (.normal, false, 0, 20)
    present(at: now)
  }

  // MARK: source and input

  func setOutput(_ isOn: Bool, at now: MonotonicTime) {
    let wasOn = isOutputOn
    isOutputOn = isOn
    outputOnSince = isOn ? outputOnSince ?? now : nil
    if isOn {
      relayOpensAt = nil
    } else if wasOn, offMode == .normal {
      relayOpensAt = now + settings.zeroBeforeOpening
    }
    if isOn != wasOn {
      cell.note(
        isOn
          ? "potentiostat: output on, VOLT \(SCPIText.scientific(level))"
          : "potentiostat: output off, state \(offMode.rawValue)",
        at: now)
    }
    present(at: now)
  }

  /// V at the source's HI; nil while its relay is open.
  private var sourceVoltage: Double? {
    if isOutputOn { return (level / 700e-6).rounded() * 700e-6 + settings.sourceOffset }
    return relayOpensAt != nil || offMode == .zero ? 0 : nil
  }

  /// Hands what the terminals show now to the cell, if it is anything new.
  func present(at now: MonotonicTime) {
    let terminal = terminal()
    guard terminal != presented else { return }
    presented = terminal
    cell.setTerminal(terminal, at: now)
    currentInput.noteChange(at: now)
    voltageInput.noteChange(at: now)
  }

  func setFunction(_ new: KeysightFunction, at now: MonotonicTime) {
    if new != function { currentInput.noteChange(at: now) }
    function = new
    present(at: now)
  }

  func setCurrentRange(_ range: Double, at now: MonotonicTime) {
    isAutoRange = false
    guard range != currentRange else { return }
    currentRange = range
    correction = nil
    currentInput.noteChange(at: now)
  }

  private func terminal() -> CellTerminal {
    guard isInputOn, isLowCommon, let volts = sourceVoltage else { return .highImpedance }
    switch function {
    // The 20 V range gives ±20 mA, the 1000 V range ±1 mA (from memory).
    case .current: return .voltage(volts, currentLimit: sourceRange > 20 ? 1e-3 : 20e-3)
    case .voltage: return .current(0, voltageLimit: 1000)
    }
  }

  static let currentRanges = [2e-12, 2e-11, 2e-10, 2e-9, 2e-8, 2e-7, 2e-6, 2e-5, 2e-4, 2e-3, 2e-2]

  /// Time in which a reading comes within a thousandth of its range (`scpi-smu.md` §0).
  static func settling(_ range: Double) -> Double {
    switch range {
    case ...2.1e-12: 16
    case ...2.1e-10: 1.4
    case ...2.1e-7: 13e-3
    default: 550e-6
    }
  }

  /// A by which the input is off on a range before zero correct.
  private func zero(_ range: Double) -> Double { settings.zeroOffset * range }

  /// Switching zero correct on acquires, as acquiring anew does.
  func correctZero(_ isOn: Bool, at now: MonotonicTime) {
    let wasOn = correctsZero
    correctsZero = isOn
    if !isOn { correction = nil } else if !wasOn { acquireZero(at: now) }
  }

  /// What the input reads now is taken for zero, whatever it is: a current that flows, a range that has not settled. That
  /// the next change of range drops it is an assumption, and the worse one of two.
  func acquireZero(at now: MonotonicTime) {
    let flowing = terminal() == .highImpedance ? 0 : cell.means(from: now - Seconds(apertureTime), to: now).current
    let found = currentInput.read(
      flowing + zero(currentRange), on: currentMeter, from: now - Seconds(apertureTime), to: now)
    correction = found.isFinite ? found : nil
  }

  // MARK: measuring

  private var currentMeter: MeterInput.Range {
    MeterInput.Range(
      fullScale: currentRange, step: currentRange * 5e-7, overRange: 1.05, settlingShare: settings.settlingShare,
      timeConstant: Self.settling(currentRange) / 7)
  }

  func aperture(_ channel: Int) -> Seconds { Seconds(apertureTime) }
  func willMeasure(_ channel: Int, at now: MonotonicTime) {}

  func measure(_ number: Int, from begin: MonotonicTime, to end: MonotonicTime) -> KeysightRow {
    var row = KeysightRow(stamp: clock.device(at: begin))
    row.source = level
    let means = cell.means(from: begin, to: end)
    let isConnected = terminal() != .highImpedance
    switch function {
    case .current:
      let truth = (isConnected ? means.current : 0) + settings.measureOffset + zero(currentRange)
      let corrected = correctsZero ? truth - (correction ?? 0) : truth
      row.current = currentInput.read(corrected, on: currentMeter, from: begin, to: end)
      if isConnected, means.complianceShare > 0.5 { row.status |= 2 }
    case .voltage:
      let range = MeterInput.Range(
        fullScale: voltageRange, step: voltageRange * 5e-7, overRange: 1.05, settlingShare: 1e-3, timeConstant: 5e-3)
      let across = isConnected ? (sourceVoltage ?? 0) - means.voltage : 0
      row.voltage = voltageInput.read(across, on: range, from: begin, to: end)
    }
    if row.voltage.isInfinite || row.current.isInfinite { row.status |= 1 << 13 }
    return row
  }

  package func advance(to now: MonotonicTime) {
    if let time = relayOpensAt, time <= now {
      relayOpensAt = nil
      present(at: time)
    }
    advanceTriggers(to: now)
  }

  package static var commands: [SCPICommand<KeysightB2980>] {
    [("", 1), ("1", 1)].flatMap { channelCommands($0.0, $0.1) } + electrometerCommands + systemCommands
  }
}
