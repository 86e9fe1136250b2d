/// A quantity over time, thinned to what a plot can show: with few points all of them, else smallest, greatest and
/// mean of each of `binCount` stretches, so that a spike of one sample in a day stays visible.
struct Trace {
  static let binCount = 600
  /// Up to this many points are drawn one by one.
  static let mostPoints = 1500

  struct Point {
    var time: Double
    var value: Double
  }

  struct Bin {
    var minimum = Double.infinity
    var maximum = -Double.infinity
    var sum = 0.0
    var count = 0
    var mean: Double { sum / Double(count) }
  }

  private(set) var bins: [Bin]
  /// Unbroken stretches of single points; empty where bins are used.
  private(set) var lines: [[Point]] = []
  let duration: Double
  private let keepsPoints: Bool
  /// No line is drawn over a hole longer than this, s.
  private let longestGap: Double
  private var isBroken = true
  private var last = 0.0

  /// - Parameter expected: how many points will come.
  init(duration: Double, expected: Int) {
    self.duration = max(duration, 1e-9)
    keepsPoints = expected <= Self.mostPoints
    bins = Array(repeating: Bin(), count: Self.binCount)
    longestGap = 5 * self.duration / Double(max(1, expected)) + 0.5
  }

  /// Points come in order of time; nil breaks the line: there was no reading.
  mutating func append(_ time: Double, _ value: Double?) {
    guard let value, value.isFinite, time >= 0, time <= duration else {
      isBroken = true
      return
    }
    if keepsPoints {
      if isBroken || time - last > longestGap { lines.append([]) }
      lines[lines.count - 1].append(Point(time: time, value: value))
    }
    isBroken = false
    last = time
    let index = min(Self.binCount - 1, Int(time / duration * Double(Self.binCount)))
    bins[index].minimum = min(bins[index].minimum, value)
    bins[index].maximum = max(bins[index].maximum, value)
    bins[index].sum += value
    bins[index].count += 1
  }

  var usesBins: Bool { !keepsPoints }

  func time(_ bin: Int) -> Double { (Double(bin) + 0.5) * duration / Double(Self.binCount) }

  /// Unbroken stretches of bins.
  var stretches: [Range<Int>] {
    let allowed = max(1, Int((longestGap / duration * Double(Self.binCount)).rounded(.up)))
    var result: [Range<Int>] = []
    for index in bins.indices where bins[index].count > 0 {
      if let last = result.last, index - last.upperBound < allowed {
        result[result.count - 1] = last.lowerBound..<index + 1
      } else {
        result.append(index..<index + 1)
      }
    }
    return result
  }

  /// What an axis should span that leaves out spikes: nil unless a handful of bins would flatten all the others.
  var spanWithoutSpikes: ClosedRange<Double>? {
    let lows = bins.filter { $0.count > 0 }.map(\.minimum).sorted()
    let highs = bins.filter { $0.count > 0 }.map(\.maximum).sorted()
    guard lows.count > 20 * Self.mostSpikes else { return nil }
    let low = lows[Self.mostSpikes]
    let high = highs[highs.count - 1 - Self.mostSpikes]
    let usual = high - low
    guard usual > 0, highs[highs.count - 1] - lows[0] > 4 * usual else { return nil }
    return max(lows[0], low - usual / 4)...min(highs[highs.count - 1], high + usual / 4)
  }

  /// Bins that a spike may fill. More of them are a signal.
  private static let mostSpikes = 3

  var extremes: ClosedRange<Double>? {
    let filled = bins.filter { $0.count > 0 }
    guard let least = filled.map(\.minimum).min(), let most = filled.map(\.maximum).max() else { return nil }
    return least...most
  }
}
