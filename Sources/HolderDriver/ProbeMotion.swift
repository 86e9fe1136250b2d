package import Quantities
import USB

/// Where the bringing of a probe stands.
package struct MotionProgress: Equatable, Sendable {
  package enum Phase: String, Sendable {
    case retracting, extending, stepping, confirming
    /// It is over, but the tip is not known to stand.
    case stopping
    case contact, retracted, stopped, failed
    package var isOver: Bool { [.contact, .retracted, .stopped, .failed].contains(self) }
  }

  package var phase: Phase
  /// Coarse steps made so far, with their sign.
  package var steps = 0
  /// V on the fine piezo's axis.
  package var fine = 0.0
  /// Of the contact.
  package var current: Amperes?
  package var resistance: Ohms?
  package var message = ""
}

/// Brings the probe to its sample, or away from it, a little with each call (holder.md §4.5): fine extension with the
/// firmware's contact stop armed, and where that meets nothing, fine retraction, one coarse step, and again.
struct ProbeMotion {
  enum Goal: Equatable {
    case contact
    case retracted(steps: Int)
  }

  let goal: Goal
  let settings: ApproachSettings
  private let end: MonotonicTime
  private let mostSteps: Int
  private var timeOfContact: MonotonicTime?
  private var retries = 0
  private var hasMeterRange = false
  private(set) var progress = MotionProgress(phase: .retracting)

  /// A contact that is gone when it is looked at again is looked for again so often.
  private static let mostRetries = 3
  /// Relays and source need it before the tip moves; so does the baseline, which is 10 readings (docs/obh-1.md §4).
  private var baselineTime: Seconds { max(Seconds(0.05), settings.dwell * 12) }
  /// The contact is measured for so long after the meter has settled, and given up after the longer time.
  private static let confirmTime = Seconds(0.2)
  private static let longestConfirm = Seconds(5)
  private static let fineTolerance = 0.01  // V

  init(_ goal: Goal, _ settings: ApproachSettings, mostSteps: Int, now: MonotonicTime) {
    self.goal = goal
    self.settings = settings
    self.mostSteps = mostSteps
    end = now + settings.longest
  }

  private var sign: Int { settings.direction > 0 ? 1 : -1 }

  /// The contact is lost on purpose first: nothing is between tip and sample when the detection learns its baseline.
  mutating func begin(_ holder: any Holder, _ contacts: HolderContacts) throws(InstrumentError) {
    if goal == .contact {
      try holder.setMeter(range: Amperes(1e-8), aperture: settings.dwell)
      try holder.route([
        HolderChannel(contacts.working, HolderChannel.Tap.meter),
        HolderChannel(contacts.counter, HolderChannel.Tap.bias),
      ])
    }
    try holder.extend(settings.axis, to: settings.retracted, voltsPerSecond: ApproachSettings.retractSlew)
  }

  mutating func advance(_ holder: any Holder, at now: MonotonicTime) throws(InstrumentError) {
    guard !progress.phase.isOver else { return }
    if now > end {
      return finish(.failed, "no contact within \(settings.longest) (holder.approach.time)")
    }
    progress.fine = try holder.fineVoltages()[settings.axis.index]
    if progress.phase == .extending || progress.phase == .stepping, goal == .contact, try holder.contact() != nil {
      progress.phase = .confirming
      timeOfContact = now
      hasMeterRange = false
    }
    switch progress.phase {
    case .retracting: try retract(holder, now)
    case .extending:
      guard abs(progress.fine - settings.extended.value) < Self.fineTolerance else { return }
      progress.phase = .retracting
      try holder.extend(settings.axis, to: settings.retracted, voltsPerSecond: ApproachSettings.retractSlew)
      isStepDue = true
    case .stepping:
      guard try holder.remainingSteps() == 0 else { return }
      if goal == .contact { try extend(holder) } else { finish(.retracted, "") }
    case .confirming: try confirm(holder, now)
    case .stopping, .contact, .retracted, .stopped, .failed: break
    }
  }

  /// A coarse step follows the retraction that is under way.
  private var isStepDue = false
  private var detectsSince: MonotonicTime?

  private mutating func retract(_ holder: any Holder, _ now: MonotonicTime) throws(InstrumentError) {
    guard abs(progress.fine - settings.retracted.value) < Self.fineTolerance else { return }
    switch goal {
    case .retracted(let steps):
      guard steps > 0 else { return finish(.retracted, "") }
      try step(holder, by: -steps * sign)
    case .contact where isStepDue:
      guard abs(progress.steps) < mostSteps else {
        return finish(
          .failed, "no contact after \(mostSteps) coarse steps; give more with --max-steps, or look at the tip")
      }
      isStepDue = false
      // At the very end of the way out a contact may have come between question and retraction: then no step is made, and
      // the same way is gone again.
      guard try holder.contact() == nil else {
        detectsSince = nil
        return
      }
      try step(holder, by: sign)
    case .contact:
      guard let since = detectsSince else {
        detectsSince = now
        try holder.detectContact(settings)
        return try holder.setOutput(true)
      }
      if now - since >= baselineTime { try extend(holder) }
    }
  }

  private mutating func step(_ holder: any Holder, by count: Int) throws(InstrumentError) {
    progress.steps += count
    progress.phase = .stepping
    try holder.step(settings.axis, by: count, amplitude: settings.amplitude, frequency: settings.frequency)
  }

  private mutating func extend(_ holder: any Holder) throws(InstrumentError) {
    progress.phase = .extending
    try holder.extend(settings.axis, to: settings.extended, voltsPerSecond: settings.extendSlew)
  }

  /// The meter goes to the range of what flows, settles, and must still find the contact.
  private mutating func confirm(_ holder: any Holder, _ now: MonotonicTime) throws(InstrumentError) {
    guard let since = timeOfContact else { return }
    if !hasMeterRange {
      let found = try holder.contact()?.current.magnitude ?? settings.threshold
      try holder.setMeter(range: found * 2, aperture: Seconds(0.02))
      // The queue keeps its oldest: readings from the way here would be taken for those of the contact.
      _ = try holder.meterRecords(atMost: 512)
      hasMeterRange = true
      return
    }
    guard now - since >= Self.confirmTime else { return }
    let isSettling = try holder.isMeterSettling()
    guard !isSettling || now - since > Self.longestConfirm else { return }
    let records = try holder.meterRecords(atMost: 512).filter { $0.status.isDisjoint(with: [.settling, .overrange]) }
    let newest = records.suffix(5)
    if newest.isEmpty, now - since <= Self.longestConfirm { return }
    let current = newest.reduce(0) { $0 + $1.current.value } / Double(max(1, newest.count))
    if abs(current) >= settings.threshold.value {
      progress.current = Amperes(current)
      progress.resistance = Ohms(abs(settings.bias.value / current))
      return finish(
        .contact, "contact: \(Amperes(current)) at \(settings.bias), \(Ohms(abs(settings.bias.value / current)))")
    }
    retries += 1
    guard retries <= Self.mostRetries else {
      return finish(.failed, "the contact does not last: \(Amperes(current)) flowed when it was looked at again")
    }
    // From the beginning, with a detection that is armed anew: its baseline is learnt away from the sample, at rest.
    try holder.setMeter(range: Amperes(1e-8), aperture: settings.dwell)
    progress.phase = .retracting
    detectsSince = nil
    try holder.extend(settings.axis, to: settings.retracted, voltsPerSecond: ApproachSettings.retractSlew)
  }

  mutating func finish(_ phase: MotionProgress.Phase, _ message: String) {
    progress.phase = phase
    progress.message = message
  }
}
