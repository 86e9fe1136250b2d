import Quantities
import YAML

/// A step of the file, before `repeat` is written out.
indirect enum ProtocolElement {
  case step(Step, ownRecording: StepRecording?)
  case mark(String, YAMLMark)
  case recording(StepRecording, YAMLMark)
  /// The frames of so long a time that are still in the ring are written.
  case keepLast(Seconds, YAMLMark)
  case loop(Int, [ProtocolElement], YAMLMark)

  var isStep: Bool { if case .step = self { true } else { false } }

  /// Steps after expansion; stays at the ends of `Int` rather than overflow.
  var expandedSteps: Int {
    switch self {
    case .step: 1
    case .mark, .recording, .keepLast: 0
    case .loop(let count, let elements, _):
      count.multipliedReportingOverflow(by: elements.expandedSteps).overflow
        ? .max : count * elements.expandedSteps
    }
  }
}

extension [ProtocolElement] {
  var expandedSteps: Int {
    reduce(0) { sum, element in
      let (total, overflow) = sum.addingReportingOverflow(element.expandedSteps)
      return overflow ? .max : total
    }
  }
}

/// Writes repeats out and carries marks and recording to the steps they hold for.
struct Expansion {
  private(set) var steps: [Step] = []
  /// A look back that no step follows; the longest where several meet.
  private(set) var keepLast: Seconds?
  /// Marks and recordings that reached a step.
  private var effective: Set<YAMLMark> = []
  private var cycle = 0
  private var label: String?
  private var recording = StepRecording.off
  private var pendingMarks: [(String, YAMLMark)] = []
  private var pendingRecording: YAMLMark?

  init(_ elements: [ProtocolElement]) { append(elements, depth: 0) }

  private mutating func append(_ elements: [ProtocolElement], depth: Int) {
    for element in elements {
      switch element {
      case .mark(let name, let place): pendingMarks.append((name, place))
      case .recording(let value, let place): (recording, pendingRecording) = (value, place)
      case .keepLast(let time, _): keepLast = max(time, keepLast ?? time)
      case .loop(let count, let body, _):
        for _ in 0..<count {
          if depth == 0 { cycle += 1 }
          append(body, depth: depth + 1)
        }
      case .step(var step, let ownRecording):
        step.index = steps.count
        step.cycle = cycle
        step.marks = pendingMarks.map(\.0)
        label = step.marks.last ?? label
        step.label = label
        step.recording = ownRecording ?? recording
        step.keepBefore = keepLast
        keepLast = nil
        effective.formUnion(pendingMarks.map(\.1))
        if let place = pendingRecording { effective.insert(place) }
        pendingMarks = []
        pendingRecording = nil
        steps.append(step)
      }
    }
  }

  /// Marks and recordings that no step follows. “Stop recording” at the end does no harm.
  func errors(in elements: [ProtocolElement]) -> [ProtocolError] {
    elements.flatMap { element -> [ProtocolError] in
      switch element {
      case .mark(let name, let place) where !effective.contains(place):
        [ProtocolError(at: place, "the mark “\(name)” has no effect: no step follows", remedy: "remove it")]
      case .recording(let value, let place) where !value.isOff && !effective.contains(place):
        [
          ProtocolError(
            at: place,
            "recording \(value == .all ? "all frames" : "\(value)") has no effect: no step follows before"
              + " the recording changes or the protocol ends", remedy: "remove it, or put it before the step")
        ]
      case .loop(_, let body, _): errors(in: body)
      default: []
      }
    }
  }
}
