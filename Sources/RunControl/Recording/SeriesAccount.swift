import FrameIngest
import FrameRing
import Linux
import Quantities
import RunStore

/// What became of the frames of one series, by step. It balances by construction: every frame that came is noted as
/// written, skipped, merged or dropped, once.
struct SeriesAccount {
  /// A choice that goes on is put down so often: that much of it may go down with the process.
  private static let choiceInterval = Seconds(1)

  /// Signed: in one step each may go below 0 when frames of it come late in the next.
  private struct Tally {
    var received: Int64 = 0
    var lost: Int64 = 0
    var written: Int64 = 0
    var skipped: Int64 = 0
    var merged: Int64 = 0
    var dropped: Int64 = 0
  }

  let camera: Int
  let series: UInt64
  private(set) var detector: GapDetector
  private(set) var isSettled = false
  /// Gaps that have been put down.
  private var told: [FrameGap] = []
  private var triggered: UInt64?
  private var tallies: [UInt32: Tally] = [:]
  private var drops: [String: UInt64] = [:]
  /// Dropped frames without a choice that explains them, as ranges.
  private var refused: [(cause: String, numbers: ClosedRange<UInt64>)] = []
  private var known: (lost: UInt64, ringFull: UInt64, unusable: UInt64) = (0, 0, 0)
  private var expected: UInt64 = 0
  private var lastStep = UInt32.max
  private var choice: ChoiceRecord?
  private var choiceSince = MonotonicTime(nanoseconds: 0)
  private var finished: [ChoiceRecord] = []

  /// Of a series that the run begins.
  init(camera: Int, series: UInt64) {
    self.init(camera: camera, series: series, from: 0)
    isPartial = false
  }

  /// Of a series that had begun before the run.
  /// - Parameter first: frames before it are not the run's.
  init(camera: Int, series: UInt64, from first: UInt64) {
    self.camera = camera
    self.series = series
    self.first = first
    detector = GapDetector(series: series, first: first)
    expected = first
  }

  private let first: UInt64
  private var isPartial = true

  /// Takes a frame in; what it shows to be missing belongs to its step.
  mutating func observe(_ frame: FrameHeader) -> GapDetector.Verdict {
    let verdict = detector.observe(frame)
    if verdict != .repeated {
      tallies[frame.step, default: Tally()].received += 1
      lastStep = frame.step
    }
    if frame.frameNumber != expected || frame.refusedBefore > 0 || frame.unusableBefore > 0 { noteMissing() }
    expected = max(expected, frame.frameNumber &+ 1)
    return verdict
  }

  /// What is missing more, or less, than at the last look goes to the last step.
  private mutating func noteMissing() {
    let now = (detector.missing(.lostAtSource), detector.missing(.ringFull), detector.missing(.unusable))
    let refused = Int64(now.1) - Int64(known.ringFull) + Int64(now.2) - Int64(known.unusable)
    tallies[lastStep, default: Tally()].lost += Int64(now.0) - Int64(known.lost)
    tallies[lastStep, default: Tally()].received += refused
    tallies[lastStep, default: Tally()].dropped += refused
    known = now
  }

  // MARK: What becomes of a frame

  mutating func noteWritten(_ frame: StoredWork, rule: String, at now: MonotonicTime) {
    let merged = frame.frames - 1
    tallies[frame.header.step, default: Tally()].written += 1
    guard merged > 0 else { return }
    tallies[frame.header.step, default: Tally()].merged += Int64(merged)
    note(rule, frame.numbers, now) { $0.merged += Int64(merged) }
  }

  mutating func noteSkipped(_ frame: FrameHeader, rule: String, at now: MonotonicTime) {
    tallies[frame.step, default: Tally()].skipped += 1
    note(rule, frame.frameNumber...frame.frameNumber, now) { $0.skipped += 1 }
  }

  /// A frame that was skipped is wanted after all.
  mutating func noteKept(_ frame: FrameHeader, rule: String, at now: MonotonicTime) {
    tallies[frame.step, default: Tally()].skipped -= 1
    note(rule, frame.frameNumber...frame.frameNumber, now) { $0.skipped -= 1 }
  }

  /// A frame that had to go for others.
  mutating func noteGivenUp(_ frame: FrameHeader, cause: String, rule: String, at now: MonotonicTime) {
    tallies[frame.step, default: Tally()].dropped += 1
    drops[cause, default: 0] += 1
    note(rule, frame.frameNumber...frame.frameNumber, now) { $0.dropped += 1 }
  }

  /// Frames that could not be written.
  mutating func noteRefused(_ numbers: ClosedRange<UInt64>, frames: UInt64, step: UInt32, cause: String) {
    tallies[step, default: Tally()].dropped += Int64(frames)
    drops[cause, default: 0] += frames
    if let last = refused.last, last.cause == cause, last.numbers.upperBound + 1 == numbers.lowerBound {
      refused[refused.count - 1].numbers = last.numbers.lowerBound...numbers.upperBound
    } else {
      refused.append((cause, numbers))
    }
  }

  private mutating func note(
    _ rule: String, _ numbers: ClosedRange<UInt64>, _ now: MonotonicTime, _ count: (inout ChoiceRecord) -> Void
  ) {
    if let open = choice, open.rule != rule || now - choiceSince > Self.choiceInterval {
      finished.append(open)
      choice = nil
    }
    if choice == nil {
      choiceSince = now
      choice = ChoiceRecord(
        camera: camera, series: series, first: numbers.lowerBound, last: numbers.upperBound, rule: rule)
    }
    choice!.first = min(choice!.first, numbers.lowerBound)
    choice!.last = max(choice!.last, numbers.upperBound)
    count(&choice!)
  }

  /// Choices that are over, or that have not been put down for a while.
  mutating func takeChoices(at now: MonotonicTime) -> [ChoiceRecord] {
    if let open = choice, now - choiceSince > Self.choiceInterval {
      finished.append(open)
      choice = nil
    }
    defer { finished.removeAll(keepingCapacity: true) }
    return finished
  }

  // MARK: The end

  /// How a series ends of which the camera will say nothing more: what is known of it is what there was, for a series that
  /// the run did not begin; nil where the camera should have said.
  var endWithoutWord: EndedSeries? {
    isPartial ? EndedSeries(series: series, triggered: expected, refusedByRing: 0, unusable: [:]) : nil
  }

  /// Ends the account, or brings it up to date: a series that goes on over a pause ends again, and frames may be kept
  /// afterwards.
  /// - Returns: the gaps and choices that have not been put down, and the account.
  mutating func settle(_ ended: EndedSeries?) -> (gaps: [GapRecord], choices: [ChoiceRecord], ledger: SeriesLedger) {
    var gaps: [GapRecord] = []
    if let ended {
      // Of the run's own frames.
      triggered = ended.triggered.map { $0 - min(first, $0) }
      let found = detector.finish(
        triggered: ended.triggered, refusedByRing: ended.refusedByRing,
        unusable: ended.unusable.values.reduce(0, +))
      noteMissing()
      gaps = found.filter { !told.contains($0) }.map {
        var record = GapRecord(
          series: $0.series, first: $0.first, last: $0.last, cause: $0.cause.rawValue, camera: camera)
        record.frames = $0.frames
        return record
      }
      told = found
    }
    if !isSettled, first > 0 {
      finished.append(
        ChoiceRecord(
          camera: camera, series: series, first: 0, last: first - 1, skipped: Int64(clamping: first),
          rule: "before the run"))
    }
    isSettled = true
    gaps += refused.map {
      GapRecord(
        series: series, first: $0.numbers.lowerBound, last: $0.numbers.upperBound, cause: $0.cause, camera: camera)
    }
    refused = []
    if let open = choice { finished.append(open) }
    choice = nil
    defer { finished = [] }
    return (gaps, finished, ledger)
  }

  private var ledger: SeriesLedger {
    let total = counts
    var ledger = SeriesLedger(
      camera: camera, series: series, triggered: triggered, received: total.received,
      lostAtSource: total.lostAtSource, written: total.written, dropped: total.dropped)
    ledger.skipped = total.skipped
    ledger.merged = total.merged
    ledger.steps = tallies.sorted { $0.key < $1.key }.map { step, tally in
      StepLedger(
        step: step == .max ? nil : step, received: tally.received, lostAtSource: tally.lost, written: tally.written,
        skipped: tally.skipped, merged: tally.merged, dropped: tally.dropped)
    }
    return ledger
  }

  /// Frames so far.
  var counts: FrameCounts {
    var counts = FrameCounts()
    let total = tallies.values.reduce(into: Tally()) {
      $0.received += $1.received
      $0.written += $1.written
      $0.skipped += $1.skipped
      $0.merged += $1.merged
    }
    counts.received = UInt64(max(0, total.received))
    counts.written = UInt64(max(0, total.written))
    counts.skipped = UInt64(max(0, total.skipped))
    counts.merged = UInt64(max(0, total.merged))
    counts.lostAtSource = detector.missing(.lostAtSource)
    counts.dropped = drops
    for (cause, frames) in [("ring_full", detector.missing(.ringFull)), ("unusable", detector.missing(.unusable))]
    where frames > 0 { counts.dropped[cause, default: 0] += frames }
    return counts
  }
}

/// A frame on its way to the file, and the frames that are in it.
struct StoredWork {
  /// As it is written.
  var header: FrameHeader
  /// Camera frames that are in it.
  var frames: UInt64
  var numbers: ClosedRange<UInt64>
  var rule: String
}
