import ControlProtocol
import HolderDriver
import JSON
import Journal
import Linux
import Quantities
import USB

/// What operators ask of the holder (docs/control-protocol.md, method `holder`).
extension RunController {
  static let holderActions = [
    "status", "route", "open", "insert", "approach", "retract", "stop", "heat", "leakage", "blank", "safe",
  ]
  /// Leakage and insertion may take their second.
  private static let holderPatience = Seconds(10)

  func holder(_ request: ControlRequest, _ answer: @escaping Answer) {
    let action = request.text("action") ?? ""
    guard settings.holder != nil else {
      return answer(
        .failure(
          ControlError(
            .configuration, "no holder is configured",
            remedy: "Write a section “holder” into the daemon's configuration; without electronics: model: passive.")))
    }
    switch action {
    case "safe":
      // The one order there is, the potentiostat first: as an emergency stop.
      let taken = emergency.post { [self] _ in answer(.success(emergencyStop())) }
      if !taken {
        answer(.failure(ControlError(.busy, "emergency stops wait already", remedy: "They are being carried out.")))
      }
    case "stop":
      // Beside the desk, which may wait for an instrument.
      let taken = emergency.post { [self] _ in
        answer(Self.outcome { () throws(ControlError) in try stopMotion() })
      }
      if !taken { answer(.failure(ControlError(.busy, "too many requests wait already", remedy: "Ask again."))) }
    default:
      let stopsBefore = probeStops.read { $0 }
      atDesk(answer) { [self] _ in
        Self.outcome { () throws(ControlError) in try carryOut(action, request, stopsBefore: stopsBefore) }
      }
    }
  }

  private static func outcome(_ work: () throws(ControlError) -> JSONValue) -> Result<JSONValue, ControlError> {
    do throws(ControlError) { return .success(try work()) } catch { return .failure(error) }
  }

  private func carryOut(_ action: String, _ request: ControlRequest, stopsBefore: UInt64) throws(ControlError)
    -> JSONValue
  {
    switch action {
    case "status": return try holderStatus()
    case "route":
      let text = request.text("channels") ?? ""
      guard let channels = HolderChannel.list(text), !channels.isEmpty else {
        throw ControlError(
          .usage, "“\(text)” is no list of channels",
          remedy: "Write LINE!TAP, lines 1 to 8 and taps 0 to 9, such as \"(@1!1,2!2)\".")
      }
      return try operate("routing") { station throws(InstrumentError) in
        ["channels": .string(HolderChannel.text(try station.route(channels)))]
      }
    case "open":
      return try operate("opening the contacts") { station throws(InstrumentError) in
        try station.openAll()
        return ["channels": .string(HolderChannel.text(try station.closedChannels()))]
      }
    case "insert":
      let isOn = try flag(request, action)
      let result = try operate("insertion") { station throws(InstrumentError) -> JSONValue in
        try station.insert(isOn)
        return ["inserting": .bool(isOn), "state": .optional(station.state?.name)]
      }
      event("holder", isOn ? "all contacts are grounded for insertion" : "insertion is over, contacts open", in: nil)
      return result
    case "leakage": return try leakage(request.text("value"))
    case "blank":
      let isOn = try flag(request, action)
      try reach("the beam blanker") { station throws(InstrumentError) in try station.blank(isOn) }
      event("beam_blanked", isOn ? "beam blanked" : "beam on", details: ["blanked": .bool(isOn)], in: activeRun)
      return ["blanked": .bool(isOn)]
    case "heat": return try heat(request.text("value") ?? "")
    case "approach", "retract": return try move(action, request, stopsBefore: stopsBefore)
    default:
      throw ControlError(
        .usage, "“holder” has no action “\(action)”", remedy: "Actions: \(Self.holderActions.joined(separator: ", ")).")
    }
  }

  // MARK: reaching the holder

  /// Does something beside whatever goes on.
  @discardableResult
  private func reach<R: Sendable>(
    _ what: String, _ work: @escaping @Sendable (HolderStation) throws(InstrumentError) -> R
  ) throws(ControlError) -> R {
    do throws(InstrumentFailure) {
      let result = try instruments.onHolder(what, within: Self.holderPatience) { station throws(InstrumentError) -> R in
        _ = try station.connect()
        return try work(station)
      }
      if let result { return result }
      throw InstrumentFailure(description: "no holder is configured")
    } catch {
      throw ControlError(.unavailable, "\(error)", remedy: "What the holder is and can do: insituctl holder status.")
    }
  }

  /// Does something that no run may come between.
  private func operate<R: Sendable>(
    _ what: String, _ work: @escaping @Sendable (HolderStation) throws(InstrumentError) -> R
  ) throws(ControlError) -> R {
    try occupy(what)
    defer { occupation.update { if case .operating = $0 { $0 = .idle } } }
    return try reach(what, work)
  }

  /// Takes the place that a run would have.
  private func occupy(_ what: String) throws(ControlError) {
    let problem = occupation.update { state -> String? in
      switch state {
      case .idle:
        state = .operating(what)
        return nil
      case .preparing: return "a run is being prepared"
      case .operating(let other): return "the holder is busy: \(other)"
      case .running(let run): return "a run is going on: \(run.name) (\(run.id))"
      case .closed: return "the daemon is shutting down"
      }
    }
    if let problem {
      throw ControlError(
        .busy, "\(problem); \(what) would disturb it",
        remedy: "Wait for its end, or end it with: insituctl run stop, insituctl holder stop.")
    }
    // As at the beginning of a run: an earlier safe state is over when an operator begins something new.
    instruments.latch.release()
  }

  /// What the holder is used for just now, in words; nil when it is free or a run has it.
  var operation: String? {
    occupation.read { if case .operating(let what) = $0 { "the holder is in use: \(what)" } else { nil } }
  }

  private func flag(_ request: ControlRequest, _ action: String) throws(ControlError) -> Bool {
    switch request.text("value") {
    case "on": return true
    case "off": return false
    case let other:
      throw ControlError(
        .usage, "“\(action)” is on or off, not “\(other ?? "")”", remedy: "Say: insituctl holder \(action) on.")
    }
  }

  // MARK: heater, leakage

  private func heat(_ text: String) throws(ControlError) -> JSONValue {
    var temperature: Kelvins?
    if text != "off" {
      do throws(QuantityError) { temperature = try Kelvins(parsing: text) } catch {
        throw ControlError(.usage, "\(error)", remedy: "Say for example: insituctl holder heat 350 C, or: heat off.")
      }
    }
    let wanted = temperature
    let work: @Sendable (HolderStation) throws(InstrumentError) -> HeaterReading? = {
      station throws(InstrumentError) in
      try station.heat(to: wanted)
      return try station.heaterReading()
    }
    // In a run the holder is armed and may be heated; without one it is armed for it.
    let isRunning = activeRun != nil
    let reading = isRunning ? try reach("the heater", work) : try operate("heating", work)
    let words = wanted.map { "heater to \($0)" } ?? "heater off"
    event("heater", words, details: ["temperature_K": .optional(wanted?.value)], in: activeRun)
    return [
      "set_K": .optional(wanted?.value), "temperature_K": .optional(reading?.temperature.value),
      "resistance_Ohm": .optional(reading?.resistance.value),
    ]
  }

  private func leakage(_ text: String?) throws(ControlError) -> JSONValue {
    let bias: Volts
    do throws(QuantityError) {
      bias = try text.map { text throws(QuantityError) in try Volts(parsing: text) } ?? Volts(1)
    } catch {
      throw ControlError(.usage, "\(error)", remedy: "Say for example: insituctl holder leakage 1 V.")
    }
    guard (0.01...10).contains(bias.value.magnitude) else {
      throw ControlError(.usage, "leakage is not measured at \(bias)", remedy: "Between 10 mV and 10 V, either sign.")
    }
    let found = try operate("measuring leakage") { station throws(InstrumentError) in
      let (resistance, current) = try station.leakage(at: bias)
      return (resistance, current)
    }
    let limit = settings.holder?.profile.leakageLimit ?? Amperes(1e-10)
    let isWithin = found.1.magnitude <= limit
    event(
      "leakage", "leakage at \(bias): \(found.1), \(found.0)", in: nil, isWithin ? .info : .warning)
    return [
      "bias_V": .number(bias.value), "resistance_Ohm": .number(found.0.value), "current_A": .number(found.1.value),
      "limit_A": .number(limit.value), "within_limit": .bool(isWithin),
    ]
  }

  // MARK: probe

  /// - Parameter stopsBefore: stops of the probe when the command was given: one that came since has voided it.
  private func move(_ action: String, _ request: ControlRequest, stopsBefore: UInt64) throws(ControlError) -> JSONValue
  {
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
    guard probeStops.read({ $0 }) == stopsBefore else {
      throw ControlError(.unavailable, "a stop came after this command was given", remedy: "Give it again.")
    }
    try occupy(action == "approach" ? "the probe approaches" : "the probe is taken back")
    do throws(ControlError) {
      let model = settings.holder?.model ?? "holder"
      try reach(action) { [probeStops] station throws(InstrumentError) in
        // On the thread that a stop goes to as well: it comes before, and is seen here, or afterwards, and ends the motion.
        guard probeStops.read({ $0 }) == stopsBefore else {
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
  private func stopMotion() throws(ControlError) -> JSONValue {
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
      throw ControlError(.unavailable, "\(error)", remedy: "Open its contacts: insituctl holder safe.")
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
    case .failed: event("probe", "the probe stopped: \(progress.message)", details: details, in: nil, .warning)
    default:
      event("probe", "probe: \(progress.phase.rawValue), \(progress.steps) steps", details: details, in: nil)
    }
    if progress.phase.isOver { occupation.update { if case .operating = $0 { $0 = .idle } } }
  }

  // MARK: status

  private func motionJSON(_ motion: MotionProgress) -> JSONValue {
    [
      "phase": .string(motion.phase.rawValue), "over": .bool(motion.phase.isOver),
      "steps": .integer(Int64(motion.steps)), "fine_V": .number(motion.fine),
      "current_A": .optional(motion.current?.value), "resistance_Ohm": .optional(motion.resistance?.value),
      "message": .string(motion.message),
    ]
  }

  private struct HolderView: Sendable {
    var identity: String
    var state: HolderState?
    var abilities: [String]
    var limitations: [String]
    var channels: [HolderChannel]
    var readings: [HolderReading]
    var motion: MotionProgress?
    var isMoving: Bool
  }

  private func holderStatus() throws(ControlError) -> JSONValue {
    let view = try reach("the holder") { station throws(InstrumentError) in
      HolderView(
        identity: station.identity?.description ?? "", state: station.state, abilities: station.abilities.names,
        limitations: station.limitations, channels: try station.closedChannels(), readings: station.readings,
        motion: station.lastMotion, isMoving: station.isMoving)
    }
    return [
      "model": .optional(settings.holder?.model), "identity": .string(view.identity),
      "profile": .optional(settings.holder?.profile.kind?.rawValue), "state": .optional(view.state?.name),
      "safe_cause": .optional(view.state?.safeCause), "contacts_closed": .bool(view.state?.contactsClosed ?? false),
      "channels": .string(HolderChannel.text(view.channels)),
      "abilities": .array(view.abilities.map(JSONValue.string)),
      "limitations": .array(view.limitations.map(JSONValue.string)),
      "readings": .array(
        view.readings.map {
          ["quantity": .string($0.quantity), "value": .number($0.value), "unit": .string($0.unit)]
        }),
      "motion": view.motion.map(motionJSON) ?? .null, "moving": .bool(view.isMoving),
    ]
  }
}
