/// All lines y = a·x + b that stay between lower and upper bounds: a convex polygon in the plane of (a, b)
/// (clocks.md §4.2). Only the hulls of the bounds are kept, so 50,000 pairs cost what their hulls cost.
struct FeasibleLines: Sendable {
  /// Bounds are stamps rounded to nanoseconds: lines may miss each other by this much, s.
  static let rounding = 2e-9

  /// Upper bounds as they are.
  private(set) var upper = LowerHull()
  /// Lower bounds with the sign of y turned, so that both sides are lower hulls.
  private(set) var lower = LowerHull()

  mutating func append(x: Double, lowerBound: Double?, upperBound: Double?) {
    if let upperBound { upper.append(x: x, y: upperBound) }
    if let lowerBound { lower.append(x: x, y: -lowerBound) }
  }

  mutating func appendLowerBound(x: Double, _ bound: Double) { lower.append(x: x, y: -bound) }

  /// Room between highest and lowest intercept of a line with slope `a`: concave in `a`, negative when there is none.
  private func room(_ a: Double) -> (value: Double, rises: Double) {
    let highest = upper.lowestIntercept(slope: a)
    let lowest = lower.lowestIntercept(slope: -a)
    return (highest.value + lowest.value, lowest.x - highest.x)
  }

  /// The slopes of the lines that fit, within ±`limit`; nil when no line does.
  func slopes(within limit: Double) -> ClosedRange<Double>? {
    guard !upper.vertices.isEmpty, !lower.vertices.isEmpty else { return -limit...limit }
    var left = -limit
    var right = limit
    // The room's derivative falls with the slope: bisection finds its greatest value to a double's precision.
    for _ in 0..<Self.bisections where left < right {
      let middle = (left + right) / 2
      let rises = room(middle).rises
      if rises == 0 {
        left = middle
        right = middle
      } else if rises > 0 {
        left = middle
      } else {
        right = middle
      }
    }
    let best = room(left).value >= room(right).value ? left : right
    guard room(best).value >= -Self.rounding else { return nil }
    return boundary(from: best, to: -limit)...boundary(from: best, to: limit)
  }

  /// 2⁻⁶⁴ of the widest range is below the rounding of a double.
  private static let bisections = 64

  private func boundary(from inside: Double, to outside: Double) -> Double {
    if room(outside).value >= -Self.rounding { return outside }
    var inside = inside
    var outside = outside
    for _ in 0..<Self.bisections {
      let middle = (inside + outside) / 2
      if room(middle).value >= -Self.rounding { inside = middle } else { outside = middle }
    }
    return inside
  }

  /// The highest value at `x` among the lines with a slope in `range`, and the slope of that line.
  func highest(at x: Double, slopes range: ClosedRange<Double>) -> (value: Double, slope: Double) {
    Self.extreme(upper, x, range)
  }

  /// The lowest value at `x` among the lines with a slope in `range`, and the slope of that line.
  func lowest(at x: Double, slopes range: ClosedRange<Double>) -> (value: Double, slope: Double) {
    let mirrored = Self.extreme(lower, x, -range.upperBound...(-range.lowerBound))
    return (-mirrored.value, -mirrored.slope)
  }

  /// max over a of min over i of y_i + a·(x − x_i): concave in a, so the unlimited optimum (the edge over x) clamps.
  private static func extreme(_ hull: LowerHull, _ x: Double, _ range: ClosedRange<Double>)
    -> (value: Double, slope: Double)
  {
    let touching = hull.slopes(at: x)
    let least = min(max(touching.least, range.lowerBound), range.upperBound)
    let greatest = min(max(touching.greatest, range.lowerBound), range.upperBound)
    let slope = (least + greatest) / 2
    return (hull.lowestIntercept(slope: slope).value + slope * x, slope)
  }
}
