import Glibc
import Quantities

/// What a meter's input makes of the truth: its offset, its noise, the tail that its last change leaves behind, its step,
/// and its end.
struct MeterInput {
  private var noise: MeterNoise
  /// When the range, or what is connected, changed last.
  private var changedAt: MonotonicTime?

  init(noise: MeterNoise) { self.noise = noise }

  mutating func noteChange(at time: MonotonicTime) { changedAt = time }

  /// One range of a meter.
  struct Range {
    var fullScale: Double
    var step: Double
    /// Share of full scale beyond which a reading is an overflow.
    var overRange: Double
    /// Share of full scale that a reading is off right after a change, and the time constant with which that goes, s.
    var settlingShare: Double
    var timeConstant: Double
  }

  /// A reading of `truth`, the mean over the aperture from `begin` to `end`; infinite beyond the range.
  mutating func read(_ truth: Double, on range: Range, from begin: MonotonicTime, to end: MonotonicTime) -> Double {
    var value = truth + noise.next(aperture: max((end - begin).value, 1e-6), at: Double(end.nanoseconds) * 1e-9)
    value += tail(range, begin, end)
    if abs(value) > range.fullScale * range.overRange { return value < 0 ? -.infinity : .infinity }
    return (value / range.step).rounded() * range.step
  }

  /// Mean over the aperture of the exponential that a change leaves behind.
  private func tail(_ range: Range, _ begin: MonotonicTime, _ end: MonotonicTime) -> Double {
    guard let changedAt, range.settlingShare > 0 else { return 0 }
    let from = max(0, (begin - changedAt).value) / range.timeConstant
    let to = max(0, (end - changedAt).value) / range.timeConstant
    guard to > from, from < 40 else { return 0 }
    return range.settlingShare * range.fullScale * (exp(-from) - exp(-to)) / (to - from)
  }
}
