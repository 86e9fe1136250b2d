import Glibc
import Quantities

/// One source-measure channel of a 2600B: its attributes, by the names that scripts use.
final class TSPChannel {
  static let voltageRanges = [0.2, 2, 20, 200]
  /// What a reading beyond its range shows.
  static let overflow = 9.91e37

  let name: String
  private let model: TSPModel
  private(set) var values: [String: Double] = [:]
  var onSince: MonotonicTime?
  var presented: CellTerminal?
  var rangeChangedAt: MonotonicTime?
  var currentNoise: MeterNoise
  var voltageNoise: MeterNoise

  init(_ name: String, _ settings: Keithley2636B.Settings) {
    self.name = name
    model = settings.model
    currentNoise = MeterNoise(white: settings.currentNoise, flicker: 0, seed: settings.seed)
    voltageNoise = MeterNoise(white: settings.voltageNoise, flicker: 0, seed: settings.seed &+ 0x2636)
    reset()
  }

  /// Defaults after a reset, from memory of the manual; the output-off mode is NORMAL, which holds 0 V.
  func reset() {
    values = [
      "source.func": 1, "source.levelv": 0, "source.leveli": 0, "source.rangev": 0.2, "source.rangei": 1e-7,
      "source.autorangev": 1, "source.autorangei": 1, "source.limitv": 20, "source.limiti": 0.1, "source.output": 0,
      "source.offmode": 0, "source.offfunc": 1, "source.offlimiti": 1e-3, "source.offlimitv": 40, "source.highc": 0,
      "source.delay": 0, "source.settling": 0, "source.sink": 0, "source.lowrangei": 1e-9, "source.lowrangev": 0.2,
      "measure.rangev": 0.2, "measure.rangei": 1e-7, "measure.autorangev": 1, "measure.autorangei": 1,
      "measure.lowrangei": 1e-9, "measure.lowrangev": 0.2, "measure.nplc": 1, "measure.autozero": 2,
      "measure.delay": -1, "measure.count": 1, "measure.interval": 0, "measure.filter.enable": 0,
      "measure.filter.count": 1, "measure.filter.type": 0, "sense": 0,
    ]
  }

  subscript(_ attribute: String) -> Double { values[attribute] ?? 0 }
  var isOn: Bool { self["source.output"] == 1 }
  var sourcesVoltage: Bool { self["source.func"] == 1 }

  private func scale(_ isCurrent: Bool, source: Bool = false) -> KeithleyScale {
    // The 100 pA range measures only (scpi-smu.md §4).
    let currents = source ? model.currentRanges.filter { $0 >= 1e-9 } : model.currentRanges
    return KeithleyScale(
      function: isCurrent ? .current : .voltage, ranges: isCurrent ? currents : Self.voltageRanges)
  }

  enum Refusal: Error {
    case unknown
    case tooBig
    case tooSmall
    case levelBeyondRange
  }

  func set(_ attribute: String, _ value: Double) throws(Refusal) {
    guard values[attribute] != nil else { throw .unknown }
    var value = value
    func within(_ range: ClosedRange<Double>) throws(Refusal) {
      if value > range.upperBound { throw .tooBig }
      if value < range.lowerBound { throw .tooSmall }
    }
    switch attribute {
    case "source.rangei", "source.rangev", "measure.rangei", "measure.rangev":
      let scale = scale(attribute.hasSuffix("i"), source: attribute.hasPrefix("source"))
      guard let range = scale.range(for: value) else { throw .tooBig }
      value = range
      values[attribute.replacing("range", with: "autorange")] = 0
    case "source.levelv", "source.leveli":
      let isCurrent = attribute.hasSuffix("i")
      let scale = scale(isCurrent, source: true)
      if abs(value) > scale.maximum { throw .tooBig }
      let suffix = isCurrent ? "i" : "v"
      if self["source.autorange\(suffix)"] == 1 {
        values["source.range\(suffix)"] = scale.rangeWithMargin(for: value)
      } else if abs(value) > self["source.range\(suffix)"] * 1.05 {
        throw .levelBeyondRange
      }
    case "source.limiti": try within(1e-10...1.5)
    case "source.limitv": try within(0.02...200)
    case "measure.nplc": try within(0.001...25)
    case "source.func", "sense": try within(0...1)
    case "source.offmode", "source.output", "measure.autozero": try within(0...2)
    default: break
    }
    values[attribute] = value
  }

  /// The range of a reading; the source's own for what it sources (2600B manual, from memory).
  func range(current: Bool, for value: Double = 0) -> Double {
    let suffix = current ? "i" : "v"
    if current != sourcesVoltage { return self["source.range\(suffix)"] }
    guard self["measure.autorange\(suffix)"] == 1 else { return self["measure.range\(suffix)"] }
    return scale(current).ranges.first {
      $0 >= self["measure.lowrange\(suffix)"] && abs(value) <= $0 * 1.02
    } ?? scale(current).largest
  }

  func quantized(_ value: Double, current: Bool) -> Double {
    let scale = scale(current)
    return scale.quantized(value, step: scale.readingStep(range(current: current, for: value)))
  }

  func aperture(_ lineFrequency: Double) -> Seconds { Seconds(self["measure.nplc"] / lineFrequency) }

  /// Mean over an aperture of the exponential that a change of range leaves behind, as a share.
  func settlingShare(_ range: Double, _ begin: MonotonicTime, _ end: MonotonicTime) -> Double {
    guard let changed = rangeChangedAt else { return 0 }
    let tau = scale(true).settlingTime(range)
    let from = max(0, (begin - changed).value) / tau
    let to = max(0, (end - changed).value) / tau
    guard to > from, from < 40 else { return 0 }
    return (exp(-from) - exp(-to)) / (to - from)
  }

  func terminal(sourceOffset: Double) -> CellTerminal {
    if isOn {
      let isCurrent = !sourcesVoltage
      let scale = scale(isCurrent, source: true)
      let range = self[isCurrent ? "source.rangei" : "source.rangev"]
      // 20 fA steps in the 1 nA range (2636B data sheet, from memory).
      let step = isCurrent ? range * 2e-5 : scale.sourceStep(range)
      let level = scale.quantized(self[isCurrent ? "source.leveli" : "source.levelv"], step: step)
      return isCurrent
        ? .current(level + sourceOffset, voltageLimit: self["source.limitv"])
        : .voltage(level, currentLimit: self["source.limiti"])
    }
    if self["source.output"] == 2 { return .highImpedance }
    // scpi-smu.md §§1.1, 4.
    switch self["source.offmode"] {
    case 2: return .highImpedance
    case 1: return .voltage(0, currentLimit: range(current: true))
    default: return .voltage(0, currentLimit: self["source.offlimiti"])
    }
  }
}
