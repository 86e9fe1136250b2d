import Alignment
import Quantities

/// A device clock behind a request/reply link, as in the table of clocks.md §4.2.
struct SimulatedLink {
  /// Device ahead of the host by offset, fast by rate (host s per device s = 1 + rate).
  var rate = 37e-6
  var offset = 3.7
  var tick = 1e-6
  /// Delay each way, s: fixed + exponential + uniform.
  var fixed = 60e-6
  var exponential = 40e-6
  var uniform = 125e-6
  var extraReturn = 0.0
  var latencyTimer = 0.0

  /// Host time (s) → device ns; the device stamps in whole ticks.
  func device(_ host: Double) -> Int64 {
    let time = offset + host / (1 + rate)
    return Int64((time / tick).rounded(.down) * tick * 1e9)
  }

  func truth(_ device: Int64) -> Double { (Double(device) * 1e-9 - offset) * (1 + rate) }

  func pair(at host: Double, _ chance: inout Chance) -> ClockPair {
    let forward = fixed + chance.exponential(exponential) + chance.uniform() * uniform
    let back =
      fixed + chance.exponential(exponential) + chance.uniform() * uniform + extraReturn
      + chance.uniform() * latencyTimer
    return ClockPair(
      deviceNanoseconds: device(host + forward), earliest: MonotonicTime(nanoseconds: Int64(host * 1e9)),
      latest: MonotonicTime(nanoseconds: Int64((host + forward + back) * 1e9)))
  }

  func pairs(seconds: Double, period: Double = 1, from: Double = 1000, seed: UInt64) -> [ClockPair] {
    var chance = Chance(seed: seed)
    return stride(from: from, to: from + seconds, by: period).map { pair(at: $0, &chance) }
  }
}
