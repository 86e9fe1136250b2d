import Quantities

/// Writes the script of one bias (methodscript.md §4, §6).
///
/// What every script has: a first package with the time alone, which bounds the clock; a package per reading with time,
/// potential and current, before anything is judged; the limits of the cell, held by the instrument when nobody listens;
/// an end by time; and `on_finished: cell_off`.
struct PalmSensScript {
  let model: PalmSensModel
  let acquisition: Acquisition
  let range: PalmSensModel.Range
  /// s of measuring; with a ramp before it the script is at most `deadline` long.
  var time: Double

  /// s after which a script ends whatever it is doing.
  static let deadline = 60.0
  static let longestTime = 45.0
  /// s between two readings at most, so that a script has some.
  static let longestPeriod = 10.0
  /// A voltage is reached in steps of this size at most, V.
  static let rampStep = 0.01
  /// s of the reading of the open circuit before the cell comes on.
  static let openCircuitTime = 0.02
  /// What the script says before it ends itself.
  static let limitText = "limit"
  static let deadlineText = "deadline"

  private var period: Double {
    min(max(acquisition.period.value, model.shortestPeriod), Self.longestPeriod)
  }
  var aperture: Seconds { Seconds(period) }
  var rampAperture: Seconds { Seconds(max(0.01, model.shortestPeriod)) }
  /// V/s
  var rampRate: Double { Self.rampStep / rampAperture.value }

  /// V between which the script applies potentials: the cell's limits as far as the instrument goes.
  static func window(_ model: PalmSensModel, _ limits: CellLimits) -> ClosedRange<Double>? {
    let low = max(limits.voltage.lowerBound.value, model.potential.lowerBound)
    let high = min(limits.voltage.upperBound.value, model.potential.upperBound)
    guard low < high, high - low <= model.window ?? .infinity else { return nil }
    return low...high
  }

  /// The cell stays off and its voltage is measured.
  func rest() -> [String] {
    setUp(mode: 2) + clock()
      + ["meas_loop_ocp p \(literal(period)) \(literal(time))"]
      + reading(["p"], checks: voltageChecks("p")) + ["endloop"] + ending
  }

  /// A current from 0 A on.
  func current(_ amperes: Double) -> [String] {
    let most = max(abs(model.potential.lowerBound), abs(model.potential.upperBound))
    let volts = literal(min(max(acquisition.voltageRange.value, 1), most))
    return setUp(mode: 6)
      + ["set_range ab \(volts)", "set_autoranging ab \(volts) \(volts)"]
      + ["set_range db \(nominal)", "set_autoranging db \(nominal) \(nominal)"]
      + clock() + openCircuit
      + ["set_i 0", "cell_on ocp(o)"]
      + ["meas_loop_cp p c \(literal(amperes)) \(literal(period)) \(literal(time))"]
      + reading(["p", "c"], checks: voltageChecks("p") + currentChecks) + ["endloop"] + ending
  }

  /// A voltage, ramped to from what the cell has; at once where the caller knows that the cell has it already.
  func voltage(_ volts: Double, isThere: Bool) -> [String] {
    var lines = setUp(mode: lowSpeedMode)
    if model.window != nil, let window = Self.window(model, acquisition.limits) {
      lines.append(
        "set_range_minmax da \(literal(min(window.lowerBound, volts))) \(literal(max(window.upperBound, volts)))")
    }
    lines += ["set_range ba \(nominal)", "set_autoranging ba \(nominal) \(nominal)"] + clock()
    let target = literal(volts)
    if isThere {
      lines += ["set_e \(target)", "cell_on"]
    } else {
      // A sweep without a step is an error (4029): there is none where the cell is close by.
      lines += openCircuit + ["set_e o", "cell_on", "copy_var o d", "sub_var d \(target)"]
      lines += ["if d < 0", "mul_var d -1", "endif", "if d > \(literal(Self.rampStep))"]
      lines += ["meas_loop_lsv p c o \(target) \(literal(Self.rampStep)) \(literal(rampRate))"]
      lines += reading(["p", "c"], checks: currentChecks) + ["endloop", "endif"]
    }
    lines += ["meas_loop_ca p c \(target) \(literal(period)) \(literal(time))"]
    return lines + reading(["p", "c"], checks: currentChecks) + ["endloop"] + ending
  }

  // MARK: Parts

  /// The Pico's low-speed mode has a window of 2.2 V from −1.25 V on; beyond it the maximum-range mode (§3). The other
  /// models take both as the same.
  private var lowSpeedMode: Int {
    guard model.window != nil, let window = Self.window(model, acquisition.limits) else { return 2 }
    return window.lowerBound >= -1.25 && window.upperBound - window.lowerBound <= 2.2 ? 2 : 4
  }

  private func setUp(mode: Int) -> [String] {
    // Six times the rate of readings, as the maker's templates have it.
    let bandwidth = min(5.85 / period, model.mostBandwidth)
    return ["var p", "var c", "var t", "var o", "var d", "set_pgstat_chan 0", "set_pgstat_mode \(mode)"]
      + ["set_max_bandwidth \(literal(bandwidth))"]
  }

  private func clock() -> [String] { ["timer_start"] + package([]) }

  /// The voltage that the cell has, with the cell off; beyond a limit it never comes on.
  private var openCircuit: [String] {
    ["meas \(literal(Self.openCircuitTime)) o ab"] + reading(["o"], checks: voltageChecks("o"))
  }

  private func package(_ variables: [String]) -> [String] {
    ["timer_get t", "pck_start", "pck_add t"] + variables.map { "pck_add \($0)" } + ["pck_end"]
  }

  private func reading(_ variables: [String], checks: [String]) -> [String] {
    package(variables) + checks + stop("t > \(literal(Self.deadline))", Self.deadlineText)
  }

  private func stop(_ condition: String, _ text: String) -> [String] {
    ["if \(condition)", "send_string \"\(text)\"", "abort", "endif"]
  }

  private func voltageChecks(_ variable: String) -> [String] {
    checks(variable, acquisition.limits.voltage.lowerBound.value, acquisition.limits.voltage.upperBound.value)
  }

  /// The zero of the current reading is subtracted on this side only: the instrument's limits lie further out by what
  /// the reading may be off.
  private var currentChecks: [String] {
    let error = range.facts.measureOffset.value
    return checks(
      "c", acquisition.limits.current.lowerBound.value - error, acquisition.limits.current.upperBound.value + error)
  }

  private func checks(_ variable: String, _ low: Double, _ high: Double) -> [String] {
    var lines: [String] = []
    if high.isFinite { lines += stop("\(variable) > \(literal(high, .up))", Self.limitText) }
    if low.isFinite { lines += stop("\(variable) < \(literal(low, .down))", Self.limitText) }
    return lines
  }

  private let ending = ["on_finished:", "cell_off"]

  private var nominal: String { literal(range.nominal) }
  private func literal(_ value: Double, _ rule: FloatingPointRoundingRule = .toNearestOrEven) -> String {
    MethodScriptValue.literal(value, rounding: rule)
  }

  /// - Parameter holdsCurrent: `current` is wanted of it, whose ranges may begin higher.
  init(_ model: PalmSensModel, _ acquisition: Acquisition, time: Double, holdsCurrent: Bool = false) {
    self.model = model
    self.acquisition = acquisition
    range = model.range(for: acquisition.currentRange.value, isSourced: holdsCurrent)
    self.time = max(time, min(max(acquisition.period.value, model.shortestPeriod), Self.longestPeriod))
  }
}
