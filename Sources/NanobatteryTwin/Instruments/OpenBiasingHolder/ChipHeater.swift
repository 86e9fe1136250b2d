import Glibc

/// What is written on a heating chip: `R(T) = R0·[1 + α(T−T0) + β(T−T0)²]` (holder.md §2).
struct HeaterChipData: Equatable {
  var resistance: Double  // Ω at `temperature`
  var temperature: Double  // K
  var alpha: Double  // 1/K
  var beta: Double  // 1/K²
  var maximumCurrent: Double  // A
  var maximumTemperature: Double  // K

  func resistance(at kelvin: Double) -> Double {
    let d = kelvin - temperature
    return resistance * (1 + alpha * d + beta * d * d)
  }

  func temperature(of ohm: Double) -> Double {
    let ratio = ohm / resistance - 1
    guard beta != 0 else { return temperature + ratio / alpha }
    return temperature + (-alpha + (alpha * alpha + 4 * beta * ratio).squareRoot()) / (2 * beta)
  }
}

/// The heater on the chip and the loop that regulates it: a heat capacity behind a thermal resistance, a PI loop on power.
struct ChipHeater {
  enum Mode: String { case off = "OFF", current = "CURR", power = "POW", temperature = "TEMP" }

  /// K; the holder's shaft.
  static let ambient = 293.15
  /// A with which an idle heater's resistance is read.
  static let probeCurrent = 10e-6
  /// 1/s; how fast the loop closes.
  private static let bandwidth = 50.0
  /// The four-wire resistance must stay within these multiples of R0 (holder.md §2).
  static let window = 0.3...5.0

  /// What the emulated chip is made of.
  var thermalResistance: Double  // K/W
  var timeConstant: Double  // s
  var isSenseOpen = false

  private(set) var kelvin = Self.ambient
  private(set) var mode = Mode.off
  var chip: HeaterChipData?
  /// K/s.
  var ramp = 100.0
  private(set) var currentSetPoint = 0.0
  private(set) var powerSetPoint = 0.0
  private(set) var temperatureSetPoint = Self.ambient
  /// Where the ramp stands, K.
  private var rampedTo = Self.ambient
  private var integral = 0.0
  private(set) var current = 0.0

  init(thermalResistance: Double, timeConstant: Double) {
    self.thermalResistance = thermalResistance
    self.timeConstant = timeConstant
  }

  var isBusy: Bool { mode != .off || kelvin - Self.ambient > 0.05 }

  /// R, T, I, V of the four-wire measurement; nil while the sense lines are open or there is no chip file.
  var reading: (resistance: Double, temperature: Double, current: Double, voltage: Double)? {
    guard let chip, !isSenseOpen else { return nil }
    let ohm = chip.resistance(at: kelvin)
    let through = mode == .off ? Self.probeCurrent : current
    return (ohm, chip.temperature(of: ohm), through, ohm * through)
  }

  mutating func setCurrent(_ value: Double) { currentSetPoint = value }
  mutating func setPower(_ value: Double) { powerSetPoint = value }
  mutating func setTemperature(_ value: Double) { temperatureSetPoint = value }

  /// Changes over without a jump: the loop begins at the power and the temperature that there are.
  mutating func enter(_ next: Mode) {
    if next == .temperature, mode != .temperature {
      rampedTo = kelvin
      integral = chip.map { current * current * $0.resistance(at: kelvin) } ?? 0
    }
    if next == .off { current = 0 }
    mode = next
  }

  /// One cycle of `span` s.
  /// - Returns: false when the sense lines are open or the resistance is out of its window: it has switched off then.
  mutating func step(_ span: Double) -> Bool {
    var isWell = true
    if mode != .off {
      if let chip, let reading, Self.window.contains(reading.resistance / chip.resistance) {
        current = wantedCurrent(chip, reading.resistance, reading.temperature, span)
      } else {
        enter(.off)
        isWell = false
      }
    }
    let power = (chip.map { $0.resistance(at: kelvin) } ?? 0) * current * current
    let final = Self.ambient + power * thermalResistance
    kelvin = final + (kelvin - final) * exp(-span / timeConstant)
    return isWell
  }

  private mutating func wantedCurrent(_ chip: HeaterChipData, _ ohm: Double, _ measured: Double, _ span: Double)
    -> Double
  {
    var wanted: Double
    switch mode {
    case .off: return 0
    case .current: wanted = currentSetPoint
    case .power: wanted = (powerSetPoint / ohm).squareRoot()
    case .temperature:
      let move = ramp * span
      rampedTo += min(max(temperatureSetPoint - rampedTo, -move), move)
      let error = rampedTo - measured
      let most = chip.maximumCurrent * chip.maximumCurrent * ohm
      integral = min(max(integral + Self.bandwidth / thermalResistance * error * span, 0), most)
      let power = integral + timeConstant * Self.bandwidth / thermalResistance * error
      wanted = (min(max(power, 0), most) / ohm).squareRoot()
    }
    wanted = min(wanted, chip.maximumCurrent)
    return wanted
  }
}
