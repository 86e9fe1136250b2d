internal import Glibc
internal import Quantities

/// Ticks of an axis and what they say.
struct PlotAxis {
  struct Tick {
    var value: Double
    var label: String
  }

  var range: ClosedRange<Double>
  var ticks: [Tick]
  /// Ticks without a label.
  var minorTicks: [Double] = []
  var isLogarithmic = false
  /// The unit with its prefix.
  var unit: String

  /// Where a value lies between the ends: 0…1, beyond them outside.
  func share(_ value: Double) -> Double {
    if isLogarithmic {
      let least = log10(range.lowerBound)
      return (log10(max(value, 1e-300)) - least) / (log10(range.upperBound) - least)
    }
    return (value - range.lowerBound) / (range.upperBound - range.lowerBound)
  }

  private static let prefixes: [(Int, String)] = [
    (-18, "a"), (-15, "f"), (-12, "p"), (-9, "n"), (-6, "µ"), (-3, "m"), (0, ""), (3, "k"),
  ]

  /// A linear axis in SI units with the prefix that suits the largest value, and room above and below.
  static func linear(_ span: ClosedRange<Double>?, unit: String, ticks count: Int) -> PlotAxis {
    var low = span?.lowerBound ?? 0
    var high = span?.upperBound ?? 1
    let largest = max(abs(low), abs(high))
    if high - low <= largest * 1e-9 {
      let room = largest > 0 ? largest * 0.1 : unit == "A" ? 1e-12 : 1
      low -= room
      high += room
    }
    let margin = (high - low) * 0.08
    low -= margin
    high += margin
    var exponent = 0
    if largest > 0 {
      exponent = min(3, max(-18, Int((log10(largest * 1.0001) / 3).rounded(.down)) * 3))
    }
    let factor = pow(10, Double(exponent))
    let prefix = prefixes.first { $0.0 == exponent }?.1 ?? ""
    let ticks = niceTicks(low / factor, high / factor, count).map {
      Tick(value: $0.value * factor, label: $0.label)
    }
    return PlotAxis(range: low...high, ticks: ticks, unit: prefix + unit)
  }

  /// Seconds, minutes, hours or days, whichever gives short numbers.
  static func time(_ duration: Double) -> PlotAxis {
    let (factor, unit) =
      duration <= 300
      ? (1.0, "s") : duration <= 3 * 3600 ? (60.0, "min") : duration <= 4 * 86400 ? (3600.0, "h") : (86400.0, "d")
    let ticks = niceTicks(0, duration / factor, 10).map { Tick(value: $0.value * factor, label: $0.label) }
    return PlotAxis(range: 0...duration, ticks: ticks, unit: unit)
  }

  /// Frames per second from `least` (the smallest rate that is not zero) to `most`; logarithmic where they are far apart.
  static func rate(least: Double, most: Double) -> PlotAxis {
    guard most > 0, most / least > 8 else {
      let top = most > 0 ? most * 1.15 : 1
      return PlotAxis(
        range: 0...top, ticks: niceTicks(0, top, 4).map { Tick(value: $0.value, label: $0.label) }, unit: "fps")
    }
    let low = least / 2.5
    let high = most * 2.2
    var ticks: [Tick] = []
    var minor: [Double] = []
    var decade = pow(10, log10(low).rounded(.down))
    while decade <= high {
      for digit in 1...9 {
        let value = decade * Double(digit)
        guard value >= low, value <= high else { continue }
        if digit == 1 { ticks.append(Tick(value: value, label: plain(value))) } else { minor.append(value) }
      }
      decade *= 10
    }
    return PlotAxis(range: low...high, ticks: ticks, minorTicks: minor, isLogarithmic: true, unit: "fps")
  }

  /// Multiples of 1, 2 or 5·10ⁿ with as many decimals as they need.
  private static func niceTicks(_ low: Double, _ high: Double, _ count: Int) -> [Tick] {
    let rough = (high - low) / Double(max(1, count))
    let power = log10(rough).rounded(.down)
    let unit = pow(10, power)
    let step = [1.0, 2, 5, 10].first { $0 * unit >= rough * 0.999 } ?? 10
    let size = step * unit
    let decimals = max(0, -Int(power) - (step == 10 ? 1 : 0))
    var ticks: [Tick] = []
    var index = (low / size - 1e-9).rounded(.up)
    while index * size <= high + size * 1e-9 {
      ticks.append(Tick(value: index * size, label: PlotSVG.typographic(fixed(index * size, decimals: decimals))))
      index += 1
    }
    return ticks
  }

  static func plain(_ value: Double) -> String {
    value >= 1 ? fixed(value, decimals: 0) : value >= 0.1 ? fixed(value, decimals: 1) : fixed(value, decimals: 3)
  }
}
