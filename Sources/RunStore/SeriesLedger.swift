/// The account of the frames of one step in one series. A frame that comes late in the next step takes from this one's
/// losses: single figures may be below 0, sums over the steps are right.
package struct StepLedger: Hashable, Sendable {
  /// nil: no step asked for them.
  package var step: UInt32?
  package var received: Int64 = 0
  /// Lost before the next frame that came, which was of this step.
  package var lostAtSource: Int64 = 0
  package var written: Int64 = 0
  package var skipped: Int64 = 0
  package var merged: Int64 = 0
  package var dropped: Int64 = 0

  package init(
    step: UInt32?, received: Int64 = 0, lostAtSource: Int64 = 0, written: Int64 = 0, skipped: Int64 = 0,
    merged: Int64 = 0, dropped: Int64 = 0
  ) {
    self.step = step
    self.received = received
    self.lostAtSource = lostAtSource
    self.written = written
    self.skipped = skipped
    self.merged = merged
    self.dropped = dropped
  }

  // What a file says may be anything: nothing here traps.
  package var isBalanced: Bool { received == written &+ skipped &+ merged &+ dropped }
}

/// The account of one series of one camera: triggered = received + lost at source;
/// received = written + skipped by choice + merged into sums + dropped by cause.
package struct SeriesLedger: Hashable, Sendable {
  /// Cause of frames that were given up because the disk did not keep up.
  package static let behindCause = "disk_behind"

  /// Id of the camera in the run.
  package var camera: Int
  package var series: UInt64
  /// nil: the camera never said.
  package var triggered: UInt64?
  package var received: UInt64
  package var lostAtSource: UInt64
  package var written: UInt64
  /// Received and left out because the protocol asked for fewer.
  package var skipped: UInt64 = 0
  /// Received and in a sum, beyond the one frame that the sum is.
  package var merged: UInt64 = 0
  package var dropped: [String: UInt64]
  /// The same by step; empty in runs of earlier versions, and after a crash.
  package var steps: [StepLedger] = []

  package init(
    camera: Int = 0, series: UInt64, triggered: UInt64?, received: UInt64, lostAtSource: UInt64, written: UInt64,
    dropped: [String: UInt64] = [:]
  ) {
    self.camera = camera
    self.series = series
    self.triggered = triggered
    self.received = received
    self.lostAtSource = lostAtSource
    self.written = written
    self.dropped = dropped
  }

  // What a file says may be anything: nothing here traps.
  package var totalDropped: UInt64 { dropped.values.reduce(0, &+) }
  /// What became of the frames that were received.
  private var settled: UInt64 { written &+ skipped &+ merged &+ totalDropped }

  /// Frames unaccounted for: those of triggered (when it is known) and those of received. 0 when it balances.
  package var difference: Int64 {
    let source = triggered.map { Self.distance($0, received &+ lostAtSource) } ?? 0
    return Int64(clamping: source &+ Self.distance(received, settled))
  }

  private static func distance(_ a: UInt64, _ b: UInt64) -> UInt64 { a > b ? a - b : b - a }

  package var isBalanced: Bool { imbalance == nil }

  /// Why it does not balance, in words; nil when it does.
  package var imbalance: String? {
    var reasons: [String] = []
    if let triggered {
      if triggered != received &+ lostAtSource {
        reasons.append("\(triggered) triggered, but \(received) received + \(lostAtSource) lost at source")
      }
    } else {
      reasons.append("the camera never said how many frames it triggered")
    }
    if received != settled {
      let chosen = skipped + merged == 0 ? "" : " + \(skipped) skipped + \(merged) in sums"
      reasons.append("\(received) received, but \(written) written\(chosen) + \(totalDropped) dropped")
    }
    for step in steps where !step.isBalanced {
      let name = step.step.map { "step \($0)" } ?? "without a step"
      reasons.append("\(name): \(step.received) received are not written, skipped, in sums or dropped")
    }
    let inSteps = steps.reduce(Int64(0)) { $0 &+ $1.received }
    if !steps.isEmpty, UInt64(bitPattern: inSteps) != received {
      reasons.append("the steps have \(inSteps) frames, the series \(received)")
    }
    let name = camera == 0 ? "series \(series)" : "camera \(camera), series \(series)"
    return reasons.isEmpty ? nil : "\(name): " + reasons.joined(separator: "; ")
  }
}

/// Frames `first…last` of a series of which some are not there: `skipped` by choice, `merged` into sums, and `dropped` to
/// keep up with the camera. Below 0 where frames that had been skipped were kept afterwards.
package struct ChoiceRecord: Hashable, Sendable {
  package var camera: Int
  package var series: UInt64
  package var first: UInt64
  package var last: UInt64
  package var skipped: Int64
  package var merged: Int64
  package var dropped: Int64
  /// What was wanted, in words: "every 10th", "sums of 8".
  package var rule: String

  package init(
    camera: Int, series: UInt64, first: UInt64, last: UInt64, skipped: Int64 = 0, merged: Int64 = 0,
    dropped: Int64 = 0, rule: String
  ) {
    self.camera = camera
    self.series = series
    self.first = first
    self.last = last
    self.skipped = skipped
    self.merged = merged
    self.dropped = dropped
    self.rule = rule
  }
}

/// What was measured of the pixels of a frame that is stored.
package struct StoredStatistics: Hashable, Sendable {
  /// A value with its standard uncertainty.
  package struct Uncertain: Hashable, Sendable {
    package var value: Double
    package var uncertainty: Double
    package init(_ value: Double, _ uncertainty: Double) {
      self.value = value
      self.uncertainty = uncertainty
    }
  }

  /// Of the frame among those of its camera.
  package var position: UInt64
  package var sum: UInt64
  package var mean: Double
  package var minimum: UInt32
  package var maximum: UInt32
  package var saturated: UInt64
  package var change: Double?
  package var regionMeans: [Float]
  /// Electrons that were counted, e⁻/Å².
  package var counted: Uncertain?

  package init(
    position: UInt64, sum: UInt64, mean: Double, minimum: UInt32, maximum: UInt32, saturated: UInt64,
    change: Double? = nil, regionMeans: [Float] = [], counted: Uncertain? = nil
  ) {
    self.position = position
    self.sum = sum
    self.mean = mean
    self.minimum = minimum
    self.maximum = maximum
    self.saturated = saturated
    self.change = change
    self.regionMeans = regionMeans
    self.counted = counted
  }
}
