package import Quantities

/// One step of an expanded protocol.
package struct Step: Hashable, Sendable {
  package enum Action: Hashable, Sendable {
    /// The source carries no current.
    case rest
    /// Constant current; positive charges the working electrode.
    case current(Amperes)
    case voltage(Volts)
  }

  /// Position in the expanded protocol, from 0.
  package var index: Int
  /// Line of the sentence in the file, from 1.
  package var line: Int
  /// Iterations of outermost repeats begun so far; 0 before the first.
  package var cycle: Int
  /// The mark in force.
  package var label: String?
  /// Marks that stand directly before this step.
  package var marks: [String]
  /// The sentence in canonical form: units in their nearest prefix, `for` before `until`.
  package var sentence: String
  package var action: Action
  /// Any one of them ends the step.
  package var until: [StopCondition]
  /// The step ends after this time whatever happens.
  package var bound: Seconds
  /// False: the sentence gives no time and the protocol's `max_step` applies.
  package var boundIsExplicit: Bool
  package var recording: StepRecording
  /// Current range for this step; nil: the one of the protocol.
  package var range: Amperes?
  /// Before the step begins, the frames of so long a time that are still in the ring are written; nil: nobody looks back.
  package var keepBefore: Seconds?

  package init(
    index: Int, line: Int, cycle: Int, label: String?, marks: [String], sentence: String, action: Action,
    until: [StopCondition], bound: Seconds, boundIsExplicit: Bool, recording: StepRecording, range: Amperes?
  ) {
    self.index = index
    self.line = line
    self.cycle = cycle
    self.label = label
    self.marks = marks
    self.sentence = sentence
    self.action = action
    self.until = until
    self.bound = bound
    self.boundIsExplicit = boundIsExplicit
    self.recording = recording
    self.range = range
  }

  /// The first condition that has been reached, or nil.
  package func end(voltage: Volts?, current: Amperes?) -> StopCondition? {
    until.first { $0.isMet(voltage: voltage, current: current) }
  }

  /// A condition already reached before the step begins, which then is skipped (design §7).
  ///
  /// Only voltages count. The current at entry still is that of the step before: after a rest, a hold that ends below
  /// 0.2 pA would never begin.
  package func skip(at voltage: Volts?, _ current: Amperes?) -> StopCondition? {
    until.first { $0.quantity == .voltage && $0.isMet(voltage: voltage, current: current) }
  }
}

/// Numbers as people write them: "400", "0.5".
enum ShortNumber {
  static func text(_ value: Double) -> String {
    let text = "\(value)"
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }
}
