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
    "status", "route", "open", "insert", "approach", "retract", "stop", "heat", "leakage", "blank", "gate",
    "waveform", "safe",
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
      let given = Given(latch: instruments.latch.now, probeStops: probeStops.read { $0 })
      atDesk(answer) { [self] _ in
        Self.outcome { () throws(ControlError) in try carryOut(action, request, given: given) }
      }
    }
  }

  private static func outcome(_ work: () throws(ControlError) -> JSONValue) -> Result<JSONValue, ControlError> {
    do throws(ControlError) { return .success(try work()) } catch { return .failure(error) }
  }

  /// What had been stopped and made safe when a command was given: what came since has voided it.
  struct Given: Sendable {
    let latch: SafetyLatch.Moment
    let probeStops: UInt64
  }

  private func carryOut(_ action: String, _ request: ControlRequest, given: Given) throws(ControlError) -> JSONValue {
    switch action {
    case "status": return try holderStatus()
    case "route":
      let text = request.text("channels") ?? ""
      guard let channels = HolderChannel.list(text), !channels.isEmpty else {
        throw ControlError(
          .usage, "“\(text)” is no list of channels",
          remedy: "Write LINE!TAP, lines 1 to 8 and taps 0 to 9, such as \"(@1!1,2!2)\".")
      }
      return try operate("routing", releasing: given) { station throws(InstrumentError) in
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
    case "heat": return try heat(request.text("value") ?? "", given: given)
    case "approach", "retract": return try move(action, request, given: given)
    case "gate": return try driveGate(request.text("value") ?? "")
    case "waveform": return try setWaveform(request.text("value") ?? "", request.text("points"))
    default:
      throw ControlError(
        .usage, "“holder” has no action “\(action)”", remedy: "Actions: \(Self.holderActions.joined(separator: ", ")).")
    }
  }

  // MARK: reaching the holder

  /// Does something beside whatever goes on.
  @discardableResult
  func reach<R: Sendable>(
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
  /// - Parameter given: of what switches something on; see `occupy`.
  @discardableResult
  func operate<R: Sendable>(
    _ what: String, releasing given: Given? = nil,
    _ work: @escaping @Sendable (HolderStation) throws(InstrumentError) -> R
  ) throws(ControlError) -> R {
    try occupy(what, releasing: given)
    defer { occupation.update { if case .operating = $0 { $0 = .idle } } }
    return try reach(what, work)
  }

  /// Takes the place that a run would have.
  ///
  /// The safety latch stays as it is for what switches nothing on: opening, insertion, leakage (measured with the contacts
  /// open), a waveform, a heater that goes off. Routing, heating, approach and retraction arm the holder, which the latch
  /// forbids: they release it, for an operator who gives such a command after a safe state means it. They do so only if nobody
  /// has made the cell safe since the command was given, whoever it was: a stop, a limit, a lost instrument. Then the command is
  /// refused and the latch stays set; the operator gives the command again, knowing of it.
  /// - Parameter given: when the command was given, of one that switches something on; nil leaves the latch.
  func occupy(_ what: String, releasing given: Given? = nil) throws(ControlError) {
    let problem = occupation.update { state -> String? in
      switch state {
      case .idle:
        state = .operating(what)
        return nil
      case .preparing: return "a run is being prepared"
      case .operating(let other): return "something else is under way: \(other)"
      case .running(let run): return "a run is going on: \(run.name) (\(run.id))"
      case .closed: return "the daemon is shutting down"
      }
    }
    if let problem {
      throw ControlError(
        .busy, "\(problem); \(what) would disturb it",
        remedy: "Wait for its end, or end it with: insituctl run stop, insituctl holder stop.")
    }
    guard let given, !instruments.latch.release(unlessSetSince: given.latch) else { return }
    occupation.update { if case .operating = $0 { $0 = .idle } }
    throw ControlError(
      .unavailable, "the cell was made safe after this command was given", remedy: "Look why, and give it again.")
  }

  /// What an operator has begun and no run may come between, in words; nil when there is nothing, or a run goes on.
  var operation: String? {
    occupation.read { if case .operating(let what) = $0 { "something is under way: \(what)" } else { nil } }
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
}
