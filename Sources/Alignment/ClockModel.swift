package import Quantities

/// How a device's clock maps to the host's: straight pieces, each with a bound that its pairs guarantee (design §4).
package struct ClockModel: Equatable, Sendable {
  /// A stretch of device time over which one line holds.
  package struct Segment: Equatable, Sendable {
    /// Device time of the first and the last pair, ns of the device's clock.
    package var fromDevice: Int64
    package var toDevice: Int64
    /// The line's anchor: the mean device time of the pairs, and the host's time then.
    package var referenceDevice: Int64
    package var referenceHost: MonotonicTime
    /// Host ns per device ns.
    package var rate: Double
    /// Half-widths of the interval that holds the true host time, s: hard bounds, not standard deviations.
    package var boundFrom: Double
    package var boundReference: Double
    package var boundTo: Double
    /// Half-width of the rate; outside the data the bound widens by it.
    package var rateBound: Double
    /// Root mean square distance of the pairs' midpoints (one-sided: of the stamps) from the line, s.
    package var residualRMS: Double
    package var pairs: Int
    /// "two-sided hull", "one-sided lower hull", "single pair" or "arrival only".
    package var method: String

    package init(
      fromDevice: Int64, toDevice: Int64, referenceDevice: Int64, referenceHost: MonotonicTime, rate: Double,
      boundFrom: Double, boundReference: Double, boundTo: Double, rateBound: Double, residualRMS: Double, pairs: Int,
      method: String
    ) {
      self.fromDevice = fromDevice
      self.toDevice = toDevice
      self.referenceDevice = referenceDevice
      self.referenceHost = referenceHost
      self.rate = rate
      self.boundFrom = boundFrom
      self.boundReference = boundReference
      self.boundTo = boundTo
      self.rateBound = rateBound
      self.residualRMS = residualRMS
      self.pairs = pairs
      self.method = method
    }
  }

  /// In order of host time.
  package let segments: [Segment]
  /// Pairs that contradict all those around them, or themselves; no segment uses them.
  package let rejectedPairs: Int
  /// Device time runs forward through all segments: an instant belongs to one of them.
  private let runsForward: Bool

  package init(segments: [Segment], rejectedPairs: Int = 0) {
    self.segments = segments
    self.rejectedPairs = rejectedPairs
    runsForward = zip(segments, segments.dropFirst()).allSatisfy { $0.toDevice <= $1.fromDevice }
  }

  /// The host's time at an instant of the device's clock, and the half-width of the interval that must hold it.
  /// Between segments the nearer one answers. After a clock that was set back an instant has several host times:
  /// - Parameter arrival: when a message with this stamp was here; tells such instants apart.
  package func host(atDevice device: Int64, arrival: MonotonicTime? = nil) -> (time: MonotonicTime, halfWidth: Seconds)?
  {
    guard !segments.isEmpty else { return nil }
    guard !runsForward, let arrival else { return segments[nearest(device)].host(atDevice: device) }
    let answers = segments.map { (segment: $0, answer: $0.host(atDevice: device)) }
    // A message cannot arrive before it was sent.
    let possible = answers.filter { $0.answer.time - $0.answer.halfWidth <= arrival }
    let among = possible.isEmpty ? answers : possible
    let delay = among.map { abs((arrival - $0.answer.time).value) }
    let shortest = delay.min() ?? 0
    let plausible = zip(among, delay).filter { $0.1 <= shortest + Self.plausibleDelay.value }
    let best = plausible.min {
      ($0.0.segment.distance(to: device), $0.1) < ($1.0.segment.distance(to: device), $1.1)
    }
    return best?.0.answer
  }

  /// Messages may be this much later than the least late of the candidates and still be taken for the same instant.
  private static let plausibleDelay = Seconds(1)

  private func nearest(_ device: Int64) -> Int {
    guard runsForward else {
      return segments.indices.min { segments[$0].distance(to: device) < segments[$1].distance(to: device) } ?? 0
    }
    var low = 0
    var high = segments.count - 1
    while low < high {
      let middle = (low + high) / 2
      if segments[middle].toDevice < device { low = middle + 1 } else { high = middle }
    }
    guard low > 0 else { return low }
    return segments[low - 1].distance(to: device) <= segments[low].distance(to: device) ? low - 1 : low
  }
}

extension ClockModel.Segment {
  /// Beyond its pairs a crystal may change its rate with temperature by this much (clocks.md §1: tens of ppm in all).
  private static let rateWander = 2e-6

  /// How far an instant is outside this segment's pairs, device ns.
  package func distance(to device: Int64) -> Int64 { max(0, fromDevice - device, device - toDevice) }

  package func host(atDevice device: Int64) -> (time: MonotonicTime, halfWidth: Seconds) {
    let elapsed = device - referenceDevice
    // rate − 1 keeps the integer part exact: a double holds 2^53 ns, a clock's epoch may be 1970.
    let correction = Int64(((rate - 1) * Double(elapsed)).rounded())
    let time = MonotonicTime(nanoseconds: referenceHost.nanoseconds + elapsed + correction)
    return (time, Seconds(halfWidth(atDevice: device)))
  }

  /// The true half-width is convex in device time, so the chords between the three stored ones are never too small.
  private func halfWidth(atDevice device: Int64) -> Double {
    if device < fromDevice || device > toDevice {
      let edge = device < fromDevice ? boundFrom : boundTo
      return edge + (rateBound + Self.rateWander) * Double(distance(to: device)) * 1e-9
    }
    let (end, bound) = device < referenceDevice ? (fromDevice, boundFrom) : (toDevice, boundTo)
    guard end != referenceDevice else { return boundReference }
    let share = Double(device - referenceDevice) / Double(end - referenceDevice)
    return boundReference + share * (bound - boundReference)
  }
}
