package import FrameRing

/// Finds out from the frame numbers of one series what is missing, and why. A value; nothing is allocated for a frame
/// that follows the one before.
///
/// The counts balance by construction: `triggered = new + late + lost at source + ring full + unusable`, where
/// repeated frames do not count. What contradicts that is in `beyondTriggered`.
package struct GapDetector: Sendable {
  package enum Verdict: Equatable, Sendable {
    /// A number not seen before, behind all others.
    case new
    /// This number has been seen.
    case repeated
    /// A number that was missing: it came out of order.
    case late
  }

  /// How many missing ranges are kept apart; later ones are joined, their frames still counted.
  package static let mostRanges = 65536

  package let series: UInt64
  package private(set) var newFrames: UInt64 = 0
  package private(set) var repeatedFrames: UInt64 = 0
  package private(set) var lateFrames: UInt64 = 0
  /// Frames numbered beyond what the camera says it triggered. Not zero: the camera contradicts itself.
  package private(set) var beyondTriggered: UInt64 = 0

  /// The next number if nothing gets lost.
  private var expected: UInt64 = 0
  private var missing: [MissingRange] = []
  /// Of all ranges together.
  private var totals = MissingRange(first: 0, last: 0)
  private var refusals = Reported()
  private var unusable = Reported()

  /// - Parameter first: the first number that counts; nothing is missing before it.
  package init(series: UInt64, first: UInt64 = 0) {
    self.series = series
    expected = first
  }

  /// Distinct frames that are there.
  package var frames: UInt64 { newFrames + lateFrames }

  /// Frames missing so far for this cause.
  package func missing(_ cause: FrameLossCause) -> UInt64 { totals[cause] }

  /// What is missing so far, in order.
  package var gaps: [FrameGap] { missing.flatMap { $0.gaps(series: series) } }

  /// Takes the next slot of the ring in.
  /// - Parameter frame: of this series, with the ring's own `refusedBefore` and `unusableBefore`.
  package mutating func observe(_ frame: FrameHeader) -> Verdict {
    refusals.add(frame.refusedBefore)
    unusable.add(frame.unusableBefore)
    let number = frame.frameNumber
    guard number < UInt64.max else {
      // No number follows it; counted, so that it does not vanish.
      repeatedFrames += 1
      return .repeated
    }
    if number >= expected {
      if number > expected { appendMissing(through: number - 1) }
      expected = number + 1
      newFrames += 1
      return .new
    }
    guard fillHole(number) else {
      repeatedFrames += 1
      return .repeated
    }
    lateFrames += 1
    return .late
  }

  /// Ends the series: what is missing at its end becomes a gap as well.
  /// - Parameters:
  ///   - triggered: exposures the camera began, nil when unknown.
  ///   - refusedByRing: of the whole series, as `CameraReport.seriesEnded` says.
  ///   - unusable: of the whole series.
  /// - Returns: all gaps of the series.
  package mutating func finish(triggered: UInt64?, refusedByRing: UInt64 = 0, unusable unusableInAll: UInt64 = 0)
    -> [FrameGap]
  {
    refusals.raise(to: refusedByRing)
    unusable.raise(to: unusableInAll)
    // Without word from the camera, the frames known to have come after the last are the least that is missing.
    let end = triggered ?? expected + refusals.unplaced
    if end > expected {
      appendMissing(through: end - 1)
      expected = end
    } else {
      beyondTriggered = expected - end
    }
    return gaps
  }

  private mutating func appendMissing(through last: UInt64) {
    let frames = last - expected + 1
    var range = MissingRange(first: expected, last: last)
    range[.ringFull] = refusals.place(atMost: frames)
    range[.unusable] = unusable.place(atMost: frames - range[.ringFull])
    range[.lostAtSource] = frames - range[.ringFull] - range[.unusable]
    for cause in FrameLossCause.allCases { totals[cause] += range[cause] }
    if missing.count < Self.mostRanges {
      missing.append(range)
    } else {
      missing[missing.count - 1].join(range)
    }
  }

  /// Takes `number` out of what is missing; false when it was not missing.
  private mutating func fillHole(_ number: UInt64) -> Bool {
    var low = 0
    var high = missing.count
    while low < high {
      let middle = (low + high) / 2
      if missing[middle].last < number { low = middle + 1 } else { high = middle }
    }
    guard low < missing.count, missing[low].first <= number else { return false }
    let rest = missing[low].without(number, maySplit: missing.count < Self.mostRanges)
    for cause in FrameLossCause.allCases {
      totals[cause] = totals[cause] - missing[low][cause] + rest.reduce(0) { $0 + $1[cause] }
    }
    missing.replaceSubrange(low...low, with: rest)
    return true
  }
}

/// Frames that the ring or the camera's thread reports without their numbers.
private struct Reported: Sendable {
  private var total: UInt64 = 0
  /// Reported, and not yet explaining a gap.
  private(set) var unplaced: UInt64 = 0

  mutating func add(_ frames: UInt64) {
    total &+= frames
    unplaced &+= frames
  }

  mutating func raise(to total: UInt64) { if total > self.total { add(total - self.total) } }

  /// How many of `most` missing frames are explained by this.
  mutating func place(atMost most: UInt64) -> UInt64 {
    let placed = min(unplaced, most)
    unplaced -= placed
    return placed
  }
}
