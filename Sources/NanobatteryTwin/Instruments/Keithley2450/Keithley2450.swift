package import Quantities

/// A Keithley 2450, 2460, 2461 or 2470 source-measure unit, in its SCPI mode (scpi-smu.md §§0–2, 8, 9).
///
/// A reading is the mean over its aperture; its time stamp is the END of that aperture on the instrument's own clock,
/// and the reading is in the buffer from that instant on. (The manuals do not say which instant of the aperture the
/// stamp means: this is a choice.)
package final class Keithley2450: SCPIDevice {
  package struct Settings: Sendable {
    package var model = KeithleyModel.k2450
    package var serial = "04412345"
    package var firmware = "1.7.12b"
    package var lineFrequency = 50.0
    /// A rms of a current reading at an aperture of 20 ms; goes with 1/√aperture.
    package var currentNoise = 50e-15
    /// A rms of 1/f noise, on top.
    package var currentFlicker = 0.0
    /// V rms at an aperture of 20 ms.
    package var voltageNoise = 1e-6
    /// A by which the current source is off, and V by which the voltage source is.
    package var sourceOffset = 0.0
    package var sourceVoltageOffset = 0.0
    /// A and V by which readings are off.
    package var measureOffset = 0.0
    package var measureVoltageOffset = 0.0
    /// A/s by which the zero of the current reading runs away without autozero.
    package var zeroDrift = 0.0
    /// Share of the range by which a current or voltage reading is off right after a change of range.
    package var settlingShare = 1e-3
    /// Between the end of one aperture and the beginning of the next delay.
    package var overhead = Seconds(0.4e-3)
    /// Apertures spent on zero and reference for each reading with autozero on. 0: autozero costs no time.
    package var autozeroApertures = 0.0
    /// The terminals that the cable to the holder is at; nil: both.
    package var wiredTerminals: KeithleyTerminals? = .rear
    /// The safety interlock: open, the source gives no more than 42 V (§1.3).
    package var isInterlockClosed = true
    package var seed: UInt64 = 1

    package init() {}
  }

  struct SourceSettings {
    var level = 0.0
    var range: Double
    var isAutoRange = true
    /// `VLIM` of the current source, `ILIM` of the voltage source.
    var limit: Double
    var readsBack = true
    var delay = 0.0
    var isAutoDelay = true
    var offState = OutputOffState.normal
  }

  struct SenseSettings {
    var range: Double
    var isAutoRange = true
    var lowestAutoRange: Double
    var cycles = 1.0
    var isAutozero = true
    var isFourWire = false
    var averageCount = 10
    var averages = false
    var averageIsMoving = false
  }

  package let settings: Settings
  package let status = SCPIStatus()
  package let maximumMessage = 64 << 10
  let cell: any CellSide
  let clock: any InstrumentClock

  var sourceFunction = KeithleyFunction.voltage
  var sources: [KeithleyFunction: SourceSettings] = [:]
  var senseFunction = KeithleyFunction.current
  var senses: [KeithleyFunction: SenseSettings] = [:]
  var terminals = KeithleyTerminals.front
  var precision = 0
  package private(set) var isOutputOn = false
  package private(set) var outputOnSince: MonotonicTime?
  private var presented: CellTerminal?

  var buffers: [String: ReadingBuffer] = [:]
  var loop: LoadedLoop?
  var running: RunningLoop?
  /// A trigger model made of blocks, by their numbers; it is used while `loop` is nil.
  var program: [Int: TriggerBlock] = [:]
  var blockRun: BlockRun?
  var lines: [Int: DigitalLine] = [:]
  /// Edges that no wait block has used yet, by line.
  var events: [Int: MonotonicTime] = [:]

  package struct OutputPulse: Equatable, Sendable {
    package var line: Int
    package var time: MonotonicTime
    package var width: Seconds
  }
  static let mostPulsesKept = 10_000
  /// What came out of the digital lines, oldest first.
  package internal(set) var outputPulses: [OutputPulse] = []
  /// Entries of the event log that are no errors.
  var warnings: [SCPIError] = []

  var currentNoise: MeterNoise
  var voltageNoise: MeterNoise
  /// When the last change of range or level was, and when readings are settled again.
  var changedAt: MonotonicTime?
  var rangeChangedAt: MonotonicTime?
  var settledAt = MonotonicTime(nanoseconds: .min)
  var zeroedAt: MonotonicTime

  package init(_ settings: Settings, cell: any CellSide, clock: any InstrumentClock, at now: MonotonicTime) {
    self.settings = settings
    self.cell = cell
    self.clock = clock
    currentNoise = MeterNoise(white: settings.currentNoise, flicker: settings.currentFlicker, seed: settings.seed)
    voltageNoise = MeterNoise(white: settings.voltageNoise, flicker: 0, seed: settings.seed &+ 0x2450)
    zeroedAt = now
    reset(at: now)
  }

  package var identity: String { "KEITHLEY INSTRUMENTS,MODEL \(settings.model.number),\(settings.serial),\(settings.firmware)" }

  package func describe(_ error: SCPIError, at now: MonotonicTime) -> String {
    if error == .none { return "0,\"No error;0;0 0\"" }
    return entry(error, kind: 1, at: now)
  }

  /// An entry of the event log; kind 1 is an error, 2 a warning.
  func entry(_ error: SCPIError, kind: Int, at now: MonotonicTime) -> String {
    let (date, time) = KeithleyTime.text(clock.device(at: now), decimals: 3, separator: "/", yearFirst: true)
    return "\(error.code),\"\(error.text);\(kind);\(date) \(time)\""
  }

  // MARK: output

  var source: SourceSettings {
    get { sources[sourceFunction] ?? SourceSettings(range: 1, limit: 1) }
    set { sources[sourceFunction] = newValue }
  }

  /// Reset, which switches the output off and its state back to NORMAL: 0 V. On a cell that is a discharge.
  package func reset(at now: MonotonicTime) {
    running = nil
    loop = nil
    program = [:]
    blockRun = nil
    lines = [:]
    events = [:]
    sourceFunction = .voltage
    senseFunction = .current
    // Defaults as far as they are known; the limits are the data sheet's from memory.
    sources = [
      .voltage: SourceSettings(range: scale(.voltage).ranges[0], limit: 1.05e-4),
      .current: SourceSettings(range: scale(.current).ranges[0], limit: 21),
    ]
    senses = [
      .voltage: SenseSettings(range: 20, lowestAutoRange: scale(.voltage).ranges[0]),
      .current: SenseSettings(range: 1e-4, lowestAutoRange: scale(.current).ranges[0]),
    ]
    terminals = .front
    precision = 0
    buffers = ["defbuffer1": ReadingBuffer(), "defbuffer2": ReadingBuffer()]
    setOutput(false, at: now)
  }

  func setOutput(_ isOn: Bool, at now: MonotonicTime) {
    let changed = isOn != isOutputOn
    isOutputOn = isOn
    outputOnSince = isOn ? outputOnSince ?? now : nil
    if changed {
      let level = SCPIText.scientific(source.level)
      cell.note(
        isOn
          ? "potentiostat: output on, \(sourceFunction.short) \(level)"
          : "potentiostat: output off, state \(source.offState.rawValue)", at: now)
    }
    present(at: now)
  }

  /// Hands what the terminals show now to the cell, if it is anything new.
  func present(at now: MonotonicTime) {
    let terminal = terminal()
    guard terminal != presented else { return }
    presented = terminal
    cell.setTerminal(terminal, at: now)
    changedAt = now
    let settling = scale(sourceFunction).settlingTime(sourceRange(sourceFunction))
    settledAt = max(settledAt, now + Seconds(5 * settling))
  }

  func noteRangeChange(_ function: KeithleyFunction, _ range: Double, at now: MonotonicTime) {
    rangeChangedAt = now
    settledAt = max(settledAt, now + Seconds(5 * scale(function).settlingTime(range)))
  }

  private func terminal() -> CellTerminal {
    if let wired = settings.wiredTerminals, wired != terminals { return .highImpedance }
    let source = source
    let range = sourceRange(sourceFunction)
    if isOutputOn {
      let scale = scale(sourceFunction)
      let level = scale.quantized(source.level, step: scale.sourceStep(range))
      switch sourceFunction {
      case .voltage:
        // An open interlock keeps the source below 42 V (§1.3).
        let level = settings.isInterlockClosed ? level : min(42, max(-42, level))
        return .voltage(level + settings.sourceVoltageOffset, currentLimit: source.limit)
      case .current: return .current(level + settings.sourceOffset, voltageLimit: source.limit)
      }
    }
    // scpi-smu.md §1.1. The shares of the range are the 2450 manual's from memory.
    let currentRange = sourceFunction == .current ? range : senseRange(.current)
    let voltageRange = sourceFunction == .voltage ? range : senseRange(.voltage)
    switch source.offState {
    case .normal: return .voltage(0, currentLimit: 0.1 * currentRange)
    case .zero: return .voltage(0, currentLimit: sourceFunction == .voltage ? source.limit : currentRange)
    case .guarded: return .current(0, voltageLimit: 0.1 * voltageRange)
    case .highImpedance: return .highImpedance
    }
  }

  func scale(_ function: KeithleyFunction) -> KeithleyScale {
    KeithleyScale(
      function: function,
      ranges: function == .voltage ? settings.model.voltageRanges : settings.model.currentRanges)
  }

  /// The range that the source works in.
  func sourceRange(_ function: KeithleyFunction) -> Double {
    guard let source = sources[function] else { return scale(function).ranges[0] }
    return source.isAutoRange ? scale(function).rangeWithMargin(for: source.level) : source.range
  }

  /// The range of a measurement: that of the source for its own function, else what `:SENS` says.
  func senseRange(_ function: KeithleyFunction, for value: Double? = nil) -> Double {
    if function == sourceFunction { return sourceRange(function) }
    guard let sense = senses[function] else { return scale(function).ranges[0] }
    guard sense.isAutoRange else { return sense.range }
    return max(sense.lowestAutoRange, scale(function).rangeWithMargin(for: value ?? sense.range))
  }

  package func operationsEnd(at now: MonotonicTime) -> MonotonicTime? { isRunning ? nil : now }

  package func trigger(at now: MonotonicTime) { noteEvent(0, at: now) }

  /// Puts a warning into the event log, as the instrument does for what is no error.
  package func warn(_ warning: SCPIError) {
    if warnings.count < SCPIStatus.maximumErrors { warnings.append(warning) }
  }

  package static var commands: [SCPICommand<Keithley2450>] {
    systemCommands + outputCommands + KeithleyFunction.allCases.flatMap { sourceCommands($0) + senseCommands($0) }
      + measurementCommands + bufferCommands + triggerCommands + blockCommands + digitalLineCommands
  }
}
