import Quantities

/// Pairs as small numbers: x is device time since the first pair, y is how far the host's clock ran ahead of the
/// device's since then, both in s. Products of epoch-scale nanoseconds do not fit a double (clocks.md §4.1).
struct PairFrame {
  let device: Int64
  let host: Int64

  init(_ pairs: ArraySlice<ClockPair>) {
    device = pairs.first?.deviceNanoseconds ?? 0
    host = (pairs.first?.latest ?? pairs.first?.earliest)?.nanoseconds ?? 0
  }

  func x(_ pair: ClockPair) -> Double { Double(pair.deviceNanoseconds - device) * 1e-9 }

  func y(_ pair: ClockPair, _ time: MonotonicTime) -> Double {
    Double((time.nanoseconds - host) - (pair.deviceNanoseconds - device)) * 1e-9
  }

  func meanX(_ pairs: ArraySlice<ClockPair>) -> Double {
    pairs.reduce(0) { $0 + x($1) } / Double(max(1, pairs.count))
  }

  /// Root mean square distance of the middles of the pairs from the line.
  func residual(_ pairs: ArraySlice<ClockPair>, slope: Double, mean: Double, centre: Double) -> Double {
    var sum = 0.0
    for pair in pairs {
      let line = centre + slope * (x(pair) - mean)
      let first = pair.earliest ?? pair.latest
      let second = pair.latest ?? pair.earliest
      guard let first, let second else { continue }
      let distance = (y(pair, first) + y(pair, second)) / 2 - line
      sum += distance * distance
    }
    return (sum / Double(max(1, pairs.count))).squareRoot()
  }
}
