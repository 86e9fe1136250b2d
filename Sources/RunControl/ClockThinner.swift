import Quantities

/// Lets through of many clock pairs those that bound the clock: in each quarter of a second the pair with the tightest
/// lower and the one with the tightest upper bound. The others lie inside and say nothing more (clocks.md §4.2).
struct ClockThinner {
  /// Drift within it is far below any bound: 500 ppm make 125 µs, a crystal makes a few.
  private static let window: Int64 = 250_000_000  // ns

  private var windowStart: Int64?
  private var tightestLower: (pair: ClockPair, slack: Int64)?
  private var tightestUpper: (pair: ClockPair, slack: Int64)?

  /// The pairs of the windows that `pairs` completes.
  mutating func add(_ pairs: [ClockPair]) -> [ClockPair] {
    var through: [ClockPair] = []
    for pair in pairs {
      let device = pair.deviceNanoseconds
      if let start = windowStart, device >= start, device < start + Self.window {
        // The same window.
      } else {
        through += flush()
        windowStart = device
      }
      if let earliest = pair.earliest, earliest.nanoseconds - device > tightestLower?.slack ?? .min {
        tightestLower = (pair, earliest.nanoseconds - device)
      }
      if let latest = pair.latest, latest.nanoseconds - device < tightestUpper?.slack ?? .max {
        tightestUpper = (pair, latest.nanoseconds - device)
      }
    }
    return through
  }

  /// What the open window has.
  mutating func flush() -> [ClockPair] {
    defer {
      tightestLower = nil
      tightestUpper = nil
      windowStart = nil
    }
    let lower = tightestLower?.pair
    let upper = tightestUpper?.pair
    guard lower != upper else { return lower.map { [$0] } ?? [] }
    return [lower, upper].compactMap { $0 }.sorted { $0.deviceNanoseconds < $1.deviceNanoseconds }
  }
}
