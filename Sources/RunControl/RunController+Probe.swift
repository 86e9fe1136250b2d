import ControlProtocol
import HolderDriver
import JSON
import Journal
import Linux
import Quantities
import USB

/// The bringing of a probe, and its stop.
extension RunController {
  /// Begins a motion, which goes on by itself.
  func move(_ action: String, _ request: ControlRequest, given: Given) throws(ControlError) -> JSONValue {
    var axis: PiezoAxis?
    if let text = request.text("axis") {
      guard let known = PiezoAxis(rawValue: text) else {
        throw ControlError(.usage, "there is no axis “\(text)”", remedy: "Axes: x, y, z.")
      }
      axis = known
    }
    var steps: Int?
    if let text = request.text("steps") {
      guard let number = Int(text), 0...30_000 ~= number else {
        throw ControlError(.usage, "“\(text)” is no number of steps", remedy: "Between 0 and 30000.")
      }
      steps = number
    }
    if let kind = settings.holder?.profile.kind, !kind.hasPiezo {
      throw ControlError(
        .configuration, "the holder is configured as \(kind.rawValue), which has no probe to move",
        remedy: "Write “profile: probe” or “profile: afm” into the section “holder” if it has one.")
    }
    let (chosen, count) = (axis, steps)
    guard probeStops.read({ $0 }) == given.probeStops else {
      throw ControlError(.unavailable, "a stop came after this command was given", remedy: "Give it again.")
    }
    try occupy(action == "approach" ? "the probe approaches" : "the probe is taken back", releasing: given)
    do throws(ControlError) {
      let model = settings.holder?.model ?? "holder"
      try reach(action) { [probeStops] station throws(InstrumentError) in
        // On the thread that a stop goes to as well: it comes before, and is seen here, or afterwards, and ends the motion.
        guard probeStops.read({ $0 }) == given.probeStops else {
          throw .unable(device: model, reason: "a stop came before the probe moved")
        }
        if action == "approach" {
          try station.beginApproach(axis: chosen, mostSteps: count)
        } else {
          try station.beginRetract(axis: chosen, steps: count ?? 1)
        }
      }
    } catch {
      occupation.update { if case .operating = $0 { $0 = .idle } }
      throw error
    }
    return ["accepted": true]
  }

  /// On the thread of the emergency stop, which must be free again soon: so it waits a second at most.
  func stopMotion() throws(ControlError) -> JSONValue {
    probeStops.update { $0 += 1 }
    let stopped = instruments.holder?.run(within: Self.stopPatience, urgently: true, evenWhenLate: true) {
      station -> Result<Bool, InstrumentError> in
      let isMoving = station.isMoving
      do throws(InstrumentError) {
        try station.stopMotion()
        return .success(isMoving)
      } catch { return .failure(error) }
    }
    switch stopped {
    case .success(let wasMoving)?: return ["stopped": .bool(wasMoving)]
    case .failure(let error)?:
      throw ControlError(
        .unavailable, "\(error); stopping is tried again until the probe is known to stand",
        remedy: "Open its contacts: insituctl holder safe.")
    case nil:
      throw ControlError(
        .unavailable, "the holder has not answered within \(Self.stopPatience); the probe stops as soon as it does",
        remedy: "Open its contacts: insituctl holder safe.")
    }
  }

  private static let stopPatience = Seconds(1)

  /// A stop of any kind ends what the probe is doing.
  func stopProbe() {
    probeStops.update { $0 += 1 }
    guard operation != nil else { return }
    instruments.holder?.post(urgently: true) { station in try? station.stopMotion() }
  }

  func heard(_ progress: MotionProgress) {
    let details = motionJSON(progress).object ?? [:]
    switch progress.phase {
    case .contact: event("contact", progress.message, details: details, in: nil)
    case .stopping: event("probe", "the probe: \(progress.message)", details: details, in: nil, .error)
    case .failed: event("probe", "the probe stopped: \(progress.message)", details: details, in: nil, .warning)
    default:
      event("probe", "probe: \(progress.phase.rawValue), \(progress.steps) steps", details: details, in: nil)
    }
    if progress.phase.isOver { occupation.update { if case .operating = $0 { $0 = .idle } } }
  }
}
