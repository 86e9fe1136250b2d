package import Quantities

/// Says which voltage, current and charge belong to an exposure. Samples and exposures come in order of time; each
/// sample is looked at a fixed number of times, and only those about the last exposure are kept.
package struct FrameAligner: Sendable {
  package struct Settings: Sendable {
    /// Standard uncertainty that all readings share (calibration, offset), V and A.
    package var voltageSystematic: Double
    package var currentSystematic: Double
    /// Ticks of the two device clocks.
    package var sampleTick: Seconds
    package var frameTick: Seconds
    /// No straight line is drawn over a hole longer than this, unless samples come as rarely as that (see
    /// `FrameAligner.isHole`).
    package var longestHole: Seconds

    package init(
      voltageSystematic: Double = 0, currentSystematic: Double = 0, sampleTick: Seconds = Seconds(1e-9),
      frameTick: Seconds = Seconds(1e-9), longestHole: Seconds = Seconds(1)
    ) {
      self.voltageSystematic = voltageSystematic
      self.currentSystematic = currentSystematic
      self.sampleTick = sampleTick
      self.frameTick = frameTick
      self.longestHole = longestHole
    }
  }

  /// A sample and what had been summed up with it.
  struct Entry: Sendable {
    var sample: AlignedSample
    var start: Int64
    var end: Int64
    /// Variance of the charge by reading noise, C².
    var chargeVariance: Double
    /// Time with the source on, s: over it a wrong zero of the current adds up.
    var timeOn: Double
  }

  let settings: Settings
  private(set) var entries: [Entry] = []
  /// First entry whose aperture ends at or after the last exposure's start.
  private var cursor = 0
  private var isFinished = false
  private var hasDropped = false

  package init(_ settings: Settings) { self.settings = settings }

  /// Entries kept before the cursor, for exposures that come late, and dropped in steps.
  private static let kept = 512
  private static let dropStep = 8192

  /// Takes samples in; their centres must not run back.
  package mutating func append(_ samples: some Sequence<AlignedSample>) {
    for sample in samples {
      var variance = 0.0
      var timeOn = 0.0
      if let last = entries.last {
        let elapsed = max(0, (sample.centre - last.sample.centre).value)
        let step = sample.currentNoise * elapsed
        variance = last.chargeVariance + step * step
        if sample.bias != last.sample.bias {
          // What flowed while the bias changed was not measured: anything between nothing and the larger current.
          let unknown = max(abs(last.sample.current ?? 0), abs(sample.current ?? 0)) * elapsed
          variance += unknown * unknown / 3
        }
        timeOn = last.timeOn + (sample.outputOn ? elapsed : 0)
      }
      entries.append(
        Entry(
          sample: sample, start: sample.start.nanoseconds, end: sample.end.nanoseconds, chargeVariance: variance,
          timeOn: timeOn))
    }
    if cursor > Self.kept + Self.dropStep {
      entries.removeFirst(cursor - Self.kept)
      cursor = Self.kept
      hasDropped = true
    }
  }

  /// There are no more samples.
  package mutating func finish() { isFinished = true }

  /// More samples are needed before `value(of:)` is final.
  package func needsSamples(for exposure: Exposure) -> Bool {
    guard !isFinished else { return false }
    // One neighbour behind the exposure, and one more to tell whether the samples come as rarely as that.
    guard entries.count >= 2 else { return true }
    return entries[entries.count - 2].start <= exposure.stop.nanoseconds
  }

  /// The samples about `exposure` are no longer kept: it came out of order. Start again from the first sample.
  package func hasPassed(_ exposure: Exposure) -> Bool {
    guard hasDropped, entries.count > 1 else { return false }
    return entries[1].end >= exposure.start.nanoseconds
  }

  /// What belongs to `exposure`.
  package mutating func value(of exposure: Exposure) -> FrameValue {
    let start = exposure.start.nanoseconds
    let stop = max(start, exposure.stop.nanoseconds)
    while cursor < entries.count, entries[cursor].end < start { cursor += 1 }
    while cursor > 0, entries[cursor - 1].end >= start { cursor -= 1 }
    var end = cursor
    while end < entries.count, entries[end].start <= stop { end += 1 }
    let touching = cursor..<end

    let nearest = min(cursor, entries.count - 1)
    let sampleHalfWidth = nearest >= 0 ? entries[nearest].sample.halfWidth.value : 0
    // Hard bounds as rectangular distributions (÷√3), ticks as well (÷√12); clocks.md §6.
    let variance =
      (exposure.halfWidth.value * exposure.halfWidth.value + sampleHalfWidth * sampleHalfWidth) / 3
      + (settings.sampleTick.value * settings.sampleTick.value + settings.frameTick.value * settings.frameTick.value)
      / 12
    let timeUncertainty = variance.squareRoot()

    let voltages = Channel(
      entries: entries, reading: \.voltage, noise: \.voltageNoise, systematic: settings.voltageSystematic)
    let currents = Channel(
      entries: entries, reading: \.current, noise: \.currentNoise, systematic: settings.currentSystematic)
    let span = ExposureSpan(start: start, stop: stop, touching: touching, timeUncertainty: timeUncertainty)
    let charge = charge(at: stop, timeUncertainty)
    return FrameValue(
      samples: touching.count, timeUncertainty: Seconds(timeUncertainty),
      voltage: voltages.value(span, isHole: isHole), current: currents.value(span, isHole: isHole),
      charge: charge?.value, chargeUncertainty: charge?.uncertainty)
  }

  /// Between entry `index` and the next nothing is known: the bias was changed there, or samples are missing, which are
  /// then further apart than `longestHole` and than five times the distances beside them.
  func isHole(after index: Int) -> Bool {
    if entries.indices.contains(index), entries.indices.contains(index + 1),
      entries[index].sample.bias != entries[index + 1].sample.bias
    {
      return true
    }
    func distance(_ i: Int) -> Double {
      entries.indices.contains(i) && entries.indices.contains(i + 1)
        ? (entries[i + 1].sample.centre - entries[i].sample.centre).value : 0
    }
    let here = distance(index)
    return here > settings.longestHole.value && here > 5 * max(distance(index - 1), distance(index + 1))
  }

  /// Charge moved up to `instant`: that of the sample before, and the trapezoid of the current from there on.
  private func charge(at instant: Int64, _ timeUncertainty: Double) -> (value: Double, uncertainty: Double)? {
    guard !entries.isEmpty else { return nil }
    // Few steps: the cursor stands at the exposure.
    var next = cursor
    while next < entries.count, entries[next].sample.centre.nanoseconds <= instant { next += 1 }
    while next > 0, entries[next - 1].sample.centre.nanoseconds > instant { next -= 1 }
    guard next > 0 else { return nil }
    let before = entries[next - 1]
    let elapsed = Double(instant - before.sample.centre.nanoseconds) * 1e-9
    let from = before.sample.current ?? 0
    var charge = before.sample.charge
    var local = before.sample.currentNoise * elapsed
    var current = abs(from)
    if next < entries.count {
      guard !isHole(after: next - 1) else { return nil }
      let after = entries[next]
      let whole = (after.sample.centre - before.sample.centre).value
      let share = whole > 0 ? elapsed / whole : 0
      let to = after.sample.current ?? from
      // The trapezoid's shape, scaled to the charge that the record says had passed by the next sample.
      let missing = after.sample.charge - before.sample.charge - (from + to) / 2 * whole
      charge += from * elapsed + (to - from) / 2 * share * elapsed + share * missing
      local += abs(to - from) / 12.0.squareRoot() * min(elapsed, whole - elapsed)
      current = max(current, abs(to))
    } else {
      guard instant <= before.end else { return nil }
      charge += from * elapsed
    }
    let systematic = settings.currentSystematic * (before.timeOn + (before.sample.outputOn ? elapsed : 0))
    let timing = current * timeUncertainty
    let variance = before.chargeVariance + local * local + systematic * systematic + timing * timing
    return (charge, variance.squareRoot())
  }
}
