import Quantities

/// A sentence as it was read, before anything is known about limits.
struct Sentence: Equatable {
  enum Instruction: Equatable {
    case rest
    /// Sign as in `Amperes`: charging is positive.
    case current(Amperes)
    case hold(Volts)
    /// Sets what is recorded from here on.
    case record(StepRecording)
    /// Has the frames of so long a time written that are still in the ring.
    case keepLast(Seconds)
  }

  struct Condition: Equatable {
    enum Value: Equatable {
      case voltage(Volts)
      case current(Amperes)
    }
    var comparison: StopCondition.Comparison?
    var value: Value
    var offset: Int
  }

  var instruction: Instruction
  /// Where the set point stands, in characters from the start of the sentence.
  var setPointOffset = 0
  var duration: Seconds?
  var durationOffset = 0
  var conditions: [Condition] = []
}

/// What is wrong in a sentence, and at which of its characters (from 0).
struct SentenceError: Error, Equatable {
  var offset: Int
  var message: String
  var remedy: String?

  init(_ offset: Int, _ message: String, remedy: String? = nil) {
    self.offset = offset
    self.message = message
    self.remedy = remedy
  }
}
