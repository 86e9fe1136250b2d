internal import Glibc
package import Quantities

/// The clock of an instrument: it starts at `offset`, runs fast by `driftPPM`, and wanders slowly around that.
///
/// device(h) = offset + (h − origin)·(1 + drift) + Σ Aₖ·sin(2π·τ/Pₖ + φₖ), with periods Pₖ from half a minute to an
/// hour drawn from the seed. The wander's rate never exceeds `wanderPPB`, so the clock is monotone.
package struct DeviceClock: Sendable {
  private struct Wave: Sendable {
    var amplitude_ns: Double
    var period_s: Double
    var phase: Double
  }

  private let origin: MonotonicTime
  private let offset_ns: Int64
  private let rate: Double
  private let waves: [Wave]
  private let waveAtOrigin: Double

  /// - Parameters:
  ///   - offset: what the clock shows at `origin`.
  ///   - driftPPM: positive runs fast; within ±10 000.
  ///   - wanderPPB: largest rate of the wander.
  package init(
    offset: Seconds, driftPPM: Double, wanderSeed: UInt64 = 0, wanderPPB: Double = 0,
    origin: MonotonicTime = MonotonicTime(nanoseconds: 0)
  ) {
    self.origin = origin
    offset_ns = offset.nanoseconds
    rate = min(max(driftPPM, -10_000), 10_000) * 1e-6
    var random = SeededRandom(seed: wanderSeed, stream: 2)
    let periods: [ClosedRange<Double>] = [30...60, 100...200, 400...800, 1800...3600]
    let share = min(max(wanderPPB, 0), 1e6) / Double(periods.count)
    waves = periods.map { range in
      let period = range.lowerBound + (range.upperBound - range.lowerBound) * random.uniform()
      // Rate of a wave: A·2π/P, here in ns/s = ppb.
      return Wave(
        amplitude_ns: share * period / (2 * .pi), period_s: period, phase: 2 * .pi * random.uniform())
    }
    waveAtOrigin = waves.reduce(0) { $0 + $1.amplitude_ns * sin($1.phase) }
  }

  /// What the clock shows at an instant, ns.
  package func device(at host: MonotonicTime) -> Int64 {
    let elapsed = host.nanoseconds - origin.nanoseconds
    return offset_ns + elapsed + Int64(deviation(elapsed).rounded())
  }

  /// The instant at which the clock shows `device`, to 1 ns.
  package func host(at device: Int64) -> MonotonicTime {
    // The deviation changes at most 1 ns per 100 ns: each round gains two digits.
    var elapsed = device - offset_ns
    for _ in 0..<12 {
      let next = device - offset_ns - Int64(deviation(elapsed).rounded())
      if next == elapsed { break }
      elapsed = next
    }
    return MonotonicTime(nanoseconds: origin.nanoseconds + elapsed)
  }

  /// ns by which the clock is ahead of one that never errs, `elapsed` ns after the origin.
  private func deviation(_ elapsed: Int64) -> Double {
    let seconds = Double(elapsed) * 1e-9
    var sum = Double(elapsed) * rate - waveAtOrigin
    for wave in waves { sum += wave.amplitude_ns * sin(2 * .pi * seconds / wave.period_s + wave.phase) }
    return sum
  }
}
