import Quantities

/// Holds a sentence against the protocol's limits and turns it into a step.
struct SentenceChecker {
  /// nil where the limits themselves could not be read; then only the rest is checked.
  var voltage: ClosedRange<Volts>?
  var current: ClosedRange<Amperes>?
  var voltageLine = 0
  var currentLine = 0
  var maximumStep = CompiledProtocol.defaultMaximumStep
  var samplePeriod = CompiledProtocol.defaultSamplePeriod
  /// Current range of the protocol.
  var range: Amperes?

  /// The step of a sentence, without its place in the protocol; nil for a sentence about recording.
  /// - Parameters:
  ///   - ownRange: the step's own current range.
  ///   - report: takes each error; the step is of no use when there was one.
  func step(_ sentence: Sentence, ownRange: Amperes?, report: (SentenceError) -> Void) -> Step? {
    let action: Step.Action
    switch sentence.instruction {
    case .record, .keepLast: return nil
    case .rest: action = .rest
    case .current(let value):
      action = .current(value)
      check(current: value, at: sentence.setPointOffset, range: ownRange ?? range, report)
    case .hold(let value):
      action = .voltage(value)
      check(voltage: value, at: sentence.setPointOffset, report)
    }
    if sentence.duration == nil && sentence.conditions.isEmpty {
      report(
        SentenceError(0, "the step says neither how long nor until when", remedy: "add for example “for 1 h”"))
    }
    check(duration: sentence.duration, at: sentence.durationOffset, report)
    var until: [StopCondition] = []
    for condition in sentence.conditions {
      guard let stop = stopCondition(condition, action, report) else { continue }
      if until.contains(stop) {
        report(SentenceError(condition.offset, "the condition stands there twice", remedy: "remove one"))
      } else {
        until.append(stop)
      }
    }
    return Step(
      index: 0, line: 0, cycle: 0, label: nil, marks: [],
      sentence: Self.canonical(action, duration: sentence.duration, until: until), action: action, until: until,
      bound: sentence.duration ?? maximumStep, boundIsExplicit: sentence.duration != nil, recording: .off,
      range: ownRange)
  }

  // MARK: - Set points

  private func check(current value: Amperes, at offset: Int, range: Amperes?, _ report: (SentenceError) -> Void) {
    if let limit = current, !limit.contains(value) {
      let remedy = Self.smaller(value, within: limit).map { "did you mean \($0.drop { $0 == "-" })?" }
      report(
        SentenceError(
          offset, "\(value.exactText) is beyond limits.current \(limit.text) (line \(currentLine))",
          remedy: remedy ?? "lower the current, or widen the limit if the cell bears it"))
    } else if let range, value.magnitude > range {
      report(
        SentenceError(
          offset, "\(value.exactText) does not fit into the range of \(range.exactText)",
          remedy: "choose a larger range, here or in “acquire”"))
    }
  }

  private func check(voltage value: Volts, at offset: Int, _ report: (SentenceError) -> Void) {
    guard let limit = voltage, !limit.contains(value) else { return }
    let remedy = Self.smaller(value, within: limit).map { "did you mean \($0)?" }
    report(
      SentenceError(
        offset, "\(value.exactText) is beyond limits.voltage \(limit.text) (line \(voltageLine))",
        remedy: remedy ?? "hold another voltage, or widen the limit if the cell bears it"))
  }

  /// The same number with the next smaller prefix that is within the limit, 2 pA for 2 mA; nil for a value so near to
  /// the limit that the prefix hardly is the mistake.
  private static func smaller<Q: PhysicalQuantity>(_ value: Q, within limit: ClosedRange<Q>) -> String? {
    guard value.magnitude.value >= 10 * max(abs(limit.lowerBound.value), abs(limit.upperBound.value)) else {
      return nil
    }
    let text = value.exactText
    let units = ["k", "", "m", "u", "n", "p", "f"].map { $0 + Q.symbol }
    guard let space = text.firstIndex(of: " "),
      let index = units.firstIndex(of: String(text[text.index(after: space)...]))
    else { return nil }
    return units[(index + 1)...].lazy.map { text[...space] + $0 }
      .first { (try? Q(parsing: $0)).map(limit.contains) ?? false }
  }

  // MARK: - Time

  private func check(duration: Seconds?, at offset: Int, _ report: (SentenceError) -> Void) {
    guard let duration else { return }
    if duration.value <= 0 {
      report(SentenceError(offset, "a step of \(duration.exactText) has no effect", remedy: "remove the step"))
    } else if duration < samplePeriod {
      report(
        SentenceError(
          offset, "\(duration.exactText) is shorter than one sample (\(samplePeriod.exactText))",
          remedy: "lengthen the step, or shorten “acquire.sample”"))
    } else if duration > maximumStep {
      report(
        SentenceError(
          offset, "\(duration.exactText) is longer than max_step (\(maximumStep.exactText))",
          remedy: "write “max_step: \(duration.exactText)” at the top if it is meant"))
    }
  }

  // MARK: - Conditions

  private func stopCondition(
    _ condition: Sentence.Condition, _ action: Step.Action, _ report: (SentenceError) -> Void
  ) -> StopCondition? {
    switch condition.value {
    case .voltage(let threshold): voltageCondition(condition, threshold, action, report)
    case .current(let threshold): currentCondition(condition, threshold, action, report)
    }
  }

  private func voltageCondition(
    _ condition: Sentence.Condition, _ threshold: Volts, _ action: Step.Action, _ report: (SentenceError) -> Void
  ) -> StopCondition? {
    if let limit = voltage, !limit.contains(threshold) {
      report(
        SentenceError(
          condition.offset,
          "“until \(threshold.exactText)” is beyond limits.voltage \(limit.text) (line \(voltageLine)): the limit would"
            + " trip first", remedy: "choose a voltage within the limit"))
      return nil
    }
    let comparison: StopCondition.Comparison
    switch action {
    case .voltage:
      report(
        SentenceError(
          condition.offset, "Hold sets the voltage; it cannot wait for one",
          remedy: "wait for a current, for example “until 0.2 pA”, or a time"))
      return nil
    case .rest:
      guard let given = condition.comparison else {
        report(
          SentenceError(
            condition.offset, "at rest the voltage may rise or fall to \(threshold.exactText)",
            remedy: "write “until > \(threshold.exactText)” or “until < \(threshold.exactText)”"))
        return nil
      }
      comparison = given
    case .current(let current):
      comparison = condition.comparison ?? Self.usual(current)
    }
    return StopCondition(.voltage, comparison, threshold.value)
  }

  private func currentCondition(
    _ condition: Sentence.Condition, _ threshold: Amperes, _ action: Step.Action, _ report: (SentenceError) -> Void
  ) -> StopCondition? {
    guard case .voltage = action else {
      report(
        SentenceError(
          condition.offset, "the current is set in this step; it cannot wait for one",
          remedy: "wait for a voltage or a time"))
      return nil
    }
    guard threshold.value > 0 else {
      report(
        SentenceError(
          condition.offset, "the current is compared without its sign; \(threshold.exactText) is never reached",
          remedy: "write a current above 0"))
      return nil
    }
    if let limit = current, threshold > max(limit.lowerBound.magnitude, limit.upperBound.magnitude) {
      report(
        SentenceError(
          condition.offset,
          "“until \(threshold.exactText)” is beyond limits.current \(limit.text) (line \(currentLine))",
          remedy: Self.smaller(threshold, within: limit).map { "did you mean \($0)?" }))
      return nil
    }
    return StopCondition(.current, condition.comparison ?? .below, threshold.value, magnitude: true)
  }

  /// PyBaMM's defaults: charging ends above a voltage, discharging below it.
  private static func usual(_ current: Amperes) -> StopCondition.Comparison { current.value > 0 ? .above : .below }

  // MARK: - Canonical text

  /// "Charge at 2 pA for 1 h or until 4.2 V or < 3 V": PyBaMM's order, exact values, a sign only where it is not the
  /// usual one.
  static func canonical(_ action: Step.Action, duration: Seconds?, until: [StopCondition]) -> String {
    var text =
      switch action {
      case .rest: "Rest"
      case .current(let value): "\(value.value > 0 ? "Charge" : "Discharge") at \(value.magnitude.exactText)"
      case .voltage(let value): "Hold at \(value.exactText)"
      }
    if let duration { text += " for \(duration.exactText)" }
    for (index, stop) in until.enumerated() {
      let isUsual =
        switch action {
        case .rest: false
        case .current(let value): stop.comparison == usual(value)
        case .voltage: stop.comparison == .below
        }
      let opening = index > 0 ? " or " : duration == nil ? " until " : " or until "
      text += opening + (isUsual ? "" : stop.symbol + " ") + stop.thresholdText
    }
    return text
  }
}

extension ClosedRange where Bound: PhysicalQuantity {
  /// "[-100 pA, 100 pA]".
  var text: String { "[\(lowerBound.exactText), \(upperBound.exactText)]" }
}
