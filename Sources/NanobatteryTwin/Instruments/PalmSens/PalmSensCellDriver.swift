import Quantities

/// The analogue side of the instrument: modes, ranges, cell switch, and readings with noise and steps.
final class PalmSensCellDriver {
  struct Reading {
    var value: Double
    /// 1 timing, 2 overload, 4 underload, 8 warning.
    var status: Int
    var range: Int
  }

  let hardware: PalmSensHardware
  private let cell: any CellSide
  private let settings: TwinPotentiostatSettings
  private var noise: MeterNoise
  private var voltageNoise: MeterNoise
  private var mode = 0
  private var rangeIndex: Int
  /// Indices between which the range follows the current; nil: fixed.
  private var autorange: ClosedRange<Int>?
  /// A range command came before: without one the Pico ignores `set_autoranging` (§4, quirk of firmware 1601).
  private var rangeWasSet = false
  private var window: ClosedRange<Double>
  private(set) var potential = 0.0
  private var appliedCurrent = 0.0
  private(set) var isCellOn = false
  private(set) var onSince: MonotonicTime?
  private var presented: CellTerminal?

  /// V rms of a voltage reading at 20 ms; assumed.
  private static let voltageNoise = 20e-6

  init(_ hardware: PalmSensHardware, _ settings: TwinPotentiostatSettings, cell: any CellSide) {
    self.hardware = hardware
    self.settings = settings
    self.cell = cell
    noise = MeterNoise(white: 1, flicker: 0, seed: settings.seed)
    voltageNoise = MeterNoise(white: Self.voltageNoise, flicker: 0, seed: settings.seed &+ 0x300A)
    rangeIndex = hardware.ranges.count - 1
    window = hardware.potential
  }

  var isGalvanostat: Bool { mode == 6 }
  private var range: PalmSensHardware.Range { hardware.ranges[rangeIndex] }

  func scriptBegins() {
    rangeWasSet = false
    autorange = nil
    rangeIndex = hardware.ranges.count - 1
    window = hardware.potential
    if !isCellOn { appliedCurrent = 0 }
  }

  func setMode(_ mode: Int, at now: MonotonicTime) throws(MethodScriptFault) {
    guard [0, 2, 3, 4].contains(mode) || (mode == 6 && hardware.hasGalvanostat) else {
      throw MethodScriptFault(code: 0x0021)
    }
    self.mode = mode
    if let allowed = hardware.windows[mode] { window = allowed.range }
    present(at: now)
  }

  private func index(_ type: String, for current: Double) -> Int {
    hardware.ranges.firstIndex {
      $0.nominal >= abs(current) * (1 - 1e-6) && (type == "ba" || $0.galvanostatIndex != nil)
    } ?? hardware.ranges.count - 1
  }

  func setRange(_ type: String, _ value: Double, at now: MonotonicTime) {
    guard type == "ba" || type == "db" else { return }
    rangeWasSet = true
    rangeIndex = index(type, for: value)
    present(at: now)
  }

  func setAutorange(_ type: String, _ low: Double, _ high: Double, at now: MonotonicTime) {
    guard type == "ba" || type == "db", rangeWasSet || !hardware.isFTDI else { return }
    let (first, last) = (index(type, for: low), index(type, for: high))
    autorange = first < last ? first...last : nil
    rangeIndex = min(max(rangeIndex, first), max(first, last))
    present(at: now)
  }

  func setWindow(_ type: String, _ low: Double, _ high: Double) throws(MethodScriptFault) {
    guard type == "da" else { return }
    let allowed = hardware.windows[mode]
    let bounds = allowed?.range ?? hardware.potential
    guard low <= high, low >= bounds.lowerBound - 1e-9, high <= bounds.upperBound + 1e-9,
      high - low <= (allowed?.width ?? .infinity) + 1e-9
    else { throw MethodScriptFault(code: 0x000F) }
    window = low...high
  }

  func setPotential(_ volts: Double, at now: MonotonicTime) throws(MethodScriptFault) {
    // Half a step beyond: what was measured at the very end of the window can be applied again.
    guard volts >= window.lowerBound - hardware.potentialStep, volts <= window.upperBound + hardware.potentialStep
    else { throw MethodScriptFault(code: 0x000F) }
    potential = (volts / hardware.potentialStep).rounded() * hardware.potentialStep
    present(at: now)
  }

  func setCurrent(_ amperes: Double, at now: MonotonicTime) throws(MethodScriptFault) {
    guard abs(amperes) <= range.measurable else { throw MethodScriptFault(code: 0x4205) }
    appliedCurrent = amperes
    present(at: now)
  }

  func apply(_ technique: MethodScriptTechnique, _ level: Double, at now: MonotonicTime) throws(MethodScriptFault) {
    switch technique {
    case .ocp: break
    case .cp, .lsp: try setCurrent(level, at: now)
    case .ca, .lsv, .cv: try setPotential(level, at: now)
    }
  }

  // MARK: Cell switch

  func cellOn(openCircuit: Double?, at now: MonotonicTime) throws(MethodScriptFault) {
    guard mode != 0 else { throw MethodScriptFault(code: 0x0023) }
    if let openCircuit, !isGalvanostat { try setPotential(openCircuit, at: now) }
    if !isCellOn {
      onSince = now
      cell.note("potentiostat: cell on, \(isGalvanostat ? "\(appliedCurrent) A" : "\(potential) V")", at: now)
    }
    isCellOn = true
    present(at: now)
  }

  func cellOff(at now: MonotonicTime) {
    if isCellOn { cell.note("potentiostat: cell off", at: now) }
    isCellOn = false
    onSince = nil
    present(at: now)
  }

  private func present(at now: MonotonicTime) {
    let highest = max(abs(hardware.potential.lowerBound), abs(hardware.potential.upperBound))
    let terminal: CellTerminal =
      switch (isCellOn && mode != 0, isGalvanostat) {
      case (false, _): .highImpedance
      case (true, true): .current(appliedCurrent + settings.sourceOffset, voltageLimit: highest)
      case (true, false): .voltage(potential, currentLimit: range.measurable)
      }
    guard terminal != presented else { return }
    presented = terminal
    cell.setTerminal(terminal, at: now)
  }

  // MARK: Readings

  func voltage(from begin: MonotonicTime, to end: MonotonicTime) -> Reading {
    let means = cell.means(from: begin, to: end)
    let value = means.voltage + voltageNoise.next(aperture: (end - begin).value, at: Double(end.nanoseconds) * 1e-9)
    let step = hardware.potentialStep
    let low = hardware.potential.lowerBound * 1.02
    let high = hardware.potential.upperBound * 1.02
    let bounded = min(max(value, low), high)
    // A galvanostat at its compliance reads no potential that it could go on from.
    let isLimited = bounded != value || (isCellOn && isGalvanostat && means.complianceShare > 0.5)
    return Reading(value: (bounded / step).rounded() * step, status: isLimited ? 2 : 0, range: 6)
  }

  func current(from begin: MonotonicTime, to end: MonotonicTime) -> Reading {
    let means = cell.means(from: begin, to: end)
    let unit = noise.next(aperture: (end - begin).value, at: Double(end.nanoseconds) * 1e-9)
    let onLowest = max(settings.currentNoise, hardware.leastNoise * hardware.ranges[0].nominal)
    let value = means.current + settings.measureOffset + unit * onLowest * range.nominal / hardware.ranges[0].nominal
    let measurable = range.measurable
    let share = abs(value) / measurable
    var status = 0
    // At its limit the amplifier reads its limit.
    if share >= 1 || (isCellOn && !isGalvanostat && means.complianceShare > 0.5) {
      status = 2
    } else if share > PalmSensHardware.warning {
      status = 8
    } else if share < PalmSensHardware.underload {
      status = 4
    }
    let step = hardware.currentStep * range.nominal
    let bounded = min(max(value, -measurable), measurable)
    let reading = Reading(
      value: (bounded / step).rounded() * step, status: status,
      range: isGalvanostat ? range.galvanostatIndex ?? range.index : range.index)
    follow(status, at: end)
    return reading
  }

  private func follow(_ status: Int, at now: MonotonicTime) {
    guard let autorange else { return }
    if status & 10 != 0, rangeIndex < autorange.upperBound { rangeIndex += 1 }
    if status & 4 != 0, rangeIndex > autorange.lowerBound { rangeIndex -= 1 }
    present(at: now)
  }
}
