package import Quantities

/// Fits a clock model to pairs of device and host time by their bounds, so that message delay biases nothing
/// (clocks.md §4: bound fits survive one-sided delay a hundred times better than least squares).
package enum ClockFit {
  package static let twoSidedMethod = "two-sided hull"
  package static let oneSidedMethod = "one-sided lower hull"
  package static let singlePairMethod = "single pair"

  /// Fits `pairs`, which come in order of host time.
  ///
  /// Segments are at most `window` long; where no line satisfies all bounds (the clock was set, a stamp is wrong, the
  /// rate changed) the segment ends and another begins: bounds are never widened to make a line fit.
  /// - Parameters:
  ///   - maximumRateError: greatest |rate − 1| of the device's clock; 2400-like instruments need 3e-2.
  ///   - tick: the device's stamps are whole ticks, rounded down: the instant lies up to one tick after its stamp.
  ///   - maximumLatency: for pairs with a latest time only: the least delay of a message is at most this.
  /// - Returns: nil when there is no usable pair.
  package static func fit(
    pairs: [ClockPair], maximumRateError: Double = 500e-6, window: Seconds = Seconds(1200),
    tick: Seconds = Seconds(0), maximumLatency: Seconds = Seconds(0.1)
  ) -> ClockModel? {
    let rules = Rules(
      rateError: maximumRateError, window: window.value, tick: tick.value, latency: maximumLatency.value)
    var usable = pairs.filter(isUsable)
    // A wrong stamp makes a segment of its own; without it the neighbours may be one. Each round drops all it finds.
    for _ in 0..<maximumRounds {
      let ranges = segmentation(usable, rules)
      let wrong = contradicting(usable, ranges, rules)
      guard !wrong.isEmpty else {
        let segments = ranges.compactMap { segment(usable[$0], rules) }
        return segments.isEmpty ? nil : ClockModel(segments: segments, rejectedPairs: pairs.count - usable.count)
      }
      usable = usable.indices.filter { !wrong.contains($0) }.map { usable[$0] }
    }
    let segments = segmentation(usable, rules).compactMap { segment(usable[$0], rules) }
    return segments.isEmpty ? nil : ClockModel(segments: segments, rejectedPairs: pairs.count - usable.count)
  }

  struct Rules {
    var rateError: Double
    var window: Double
    var tick: Double
    var latency: Double
  }

  private static let maximumRounds = 8
  /// A segment of so few pairs between two that agree is a wrong stamp, not a clock.
  private static let isolatedPairs = 2
  /// Pairs on each side that must agree before the ones between them are called wrong.
  private static let witnesses = 8

  private static func isUsable(_ pair: ClockPair) -> Bool {
    if let earliest = pair.earliest, let latest = pair.latest { return earliest <= latest }
    return pair.latest != nil || pair.earliest != nil
  }

  private static func hostTime(_ pair: ClockPair) -> Double {
    Double((pair.latest ?? pair.earliest)?.nanoseconds ?? 0) * 1e-9
  }

  /// Cuts at clocks set back, then into windows of equal length that share their border pair, then where bounds contradict.
  private static func segmentation(_ pairs: [ClockPair], _ rules: Rules) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    var start = 0
    while start < pairs.count {
      var end = start + 1
      while end < pairs.count, pairs[end].deviceNanoseconds >= pairs[end - 1].deviceNanoseconds { end += 1 }
      for window in windows(pairs, start..<end, rules) {
        var first = window.lowerBound
        while first < window.upperBound {
          let length = longestFeasible(pairs[first..<window.upperBound], rules)
          ranges.append(first..<first + length)
          first += length
        }
      }
      start = end
    }
    return ranges
  }

  private static func windows(_ pairs: [ClockPair], _ range: Range<Int>, _ rules: Rules) -> [Range<Int>] {
    let begin = hostTime(pairs[range.lowerBound])
    let span = hostTime(pairs[range.upperBound - 1]) - begin
    let count = max(1, Int((span / rules.window).rounded(.up)))
    guard count > 1 else { return [range] }
    var result: [Range<Int>] = []
    var first = range.lowerBound
    for index in 1...count {
      let limit = begin + span * Double(index) / Double(count)
      var end = first + 1
      while end < range.upperBound, index == count || hostTime(pairs[end]) <= limit { end += 1 }
      // The border pair belongs to both, so that there is no hole between them.
      if end - first > 1 || index == 1 { result.append(first..<end) }
      first = end - 1
    }
    return result
  }

  /// How many pairs from the front some line satisfies. A longer front is never easier: bisection.
  private static func longestFeasible(_ pairs: ArraySlice<ClockPair>, _ rules: Rules) -> Int {
    if isFeasible(pairs, rules) { return pairs.count }
    var good = 1
    var bad = pairs.count
    while bad - good > 1 {
      let middle = (good + bad) / 2
      if isFeasible(pairs.prefix(middle), rules) { good = middle } else { bad = middle }
    }
    return good
  }

  private static func isFeasible(_ pairs: ArraySlice<ClockPair>, _ rules: Rules) -> Bool {
    guard pairs.count > 1 else { return true }
    return lines(PairFrame(pairs), pairs, rules).slopes(within: rules.rateError) != nil
  }

  private static func contradicting(_ pairs: [ClockPair], _ ranges: [Range<Int>], _ rules: Rules) -> Set<Int> {
    var wrong: Set<Int> = []
    guard ranges.count >= 3 else { return wrong }
    for index in 1..<ranges.count - 1 where ranges[index].count <= isolatedPairs {
      let before = pairs[ranges[index - 1]].suffix(witnesses)
      let after = pairs[ranges[index + 1]].prefix(witnesses)
      guard before.count > isolatedPairs, after.count > isolatedPairs,
        let last = before.last, let next = after.first, next.deviceNanoseconds >= last.deviceNanoseconds
      else { continue }
      let isAlone = ranges[index].lowerBound >= ranges[index - 1].upperBound
      if isAlone && isFeasible(before + after, rules) { wrong.formUnion(ranges[index]) }
    }
    return wrong
  }

  private static func lines(_ frame: PairFrame, _ pairs: ArraySlice<ClockPair>, _ rules: Rules) -> FeasibleLines {
    var lines = FeasibleLines()
    for pair in pairs {
      lines.append(
        x: frame.x(pair), lowerBound: pair.earliest.map { frame.y(pair, $0) - rules.tick },
        upperBound: pair.latest.map { frame.y(pair, $0) })
    }
    return lines
  }

  /// One segment over all of `pairs`; nil when they allow no line or have no latest time at all.
  private static func segment(_ pairs: ArraySlice<ClockPair>, _ rules: Rules) -> ClockModel.Segment? {
    guard let first = pairs.first, let last = pairs.last else { return nil }
    let frame = PairFrame(pairs)
    var lines = lines(frame, pairs, rules)
    let mean = frame.meanX(pairs)
    guard !lines.upper.vertices.isEmpty else { return nil }
    let isOneSided = lines.lower.vertices.isEmpty
    if isOneSided { assumeLatency(&lines, mean, rules.latency) }
    guard let slopes = lines.slopes(within: rules.rateError) else { return nil }

    let highest = lines.highest(at: mean, slopes: slopes)
    let lowest = lines.lowest(at: mean, slopes: slopes)
    // Centre of the feasible set at the mean: a mean of two members of a convex set is a member. One-sided, the edge of
    // the stamps' hull is the better rate (Moon–Skelly–Towsley); the assumed latency says nothing of the rate.
    let slope = isOneSided ? highest.slope : (highest.slope + lowest.slope) / 2
    let centre = (highest.value + lowest.value) / 2
    func halfWidth(_ x: Double) -> Double {
      let line = centre + slope * (x - mean)
      return max(lines.highest(at: x, slopes: slopes).value - line, line - lines.lowest(at: x, slopes: slopes).value, 0)
    }
    let referenceX = Int64((mean * 1e9).rounded())
    let offset = Int64((centre * 1e9).rounded())
    return ClockModel.Segment(
      fromDevice: first.deviceNanoseconds, toDevice: last.deviceNanoseconds,
      referenceDevice: frame.device + referenceX,
      referenceHost: MonotonicTime(nanoseconds: frame.host + referenceX + offset), rate: 1 + slope,
      boundFrom: halfWidth(frame.x(first)), boundReference: halfWidth(mean), boundTo: halfWidth(frame.x(last)),
      rateBound: max(slopes.upperBound - slope, slope - slopes.lowerBound),
      residualRMS: frame.residual(pairs, slope: slope, mean: mean, centre: centre), pairs: pairs.count,
      method: pairs.count == 1 ? singlePairMethod : isOneSided ? oneSidedMethod : twoSidedMethod)
  }

  /// Stamps on the hull are those of the least delayed messages: they are late by `latency` at most. The hull's ends are
  /// on it however late they are, so they count only where nothing else does.
  private static func assumeLatency(_ lines: inout FeasibleLines, _ mean: Double, _ latency: Double) {
    let vertices = lines.upper.vertices
    let right = vertices.firstIndex { $0.x >= mean } ?? vertices.count - 1
    let edge = max(0, right - 1)...right
    for (index, vertex) in vertices.enumerated()
    where edge.contains(index) || (index > 0 && index < vertices.count - 1) {
      lines.appendLowerBound(x: vertex.x, vertex.y - latency)
    }
  }
}
