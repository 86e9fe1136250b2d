import Alignment
import BiasProtocol
package import ControlProtocol
import HolderDriver
package import JSON
import Journal
import Linux
import Potentiostat
import Quantities
import RunStore
import USB

/// What operators ask for (docs/control-protocol.md).
extension RunController {
  package typealias Answer = @Sendable (Result<JSONValue, ControlError>) -> Void

  /// Carries a request out, or hands it to the thread that does. `answer` is called once, on any thread.
  package func handle(_ request: ControlRequest, endpoints: JSONValue, answer: @escaping Answer) {
    switch request.method {
    case .hello: answer(.success(greeting(endpoints)))
    case .status: answer(.success(status))
    case .runStop: answer(stop("stopped by the operator"))
    case .runPause: answer(signal(.pause))
    case .runResume: answer(signal(.resume))
    case .note: atDesk(answer) { [self] _ in note(request.text("text") ?? "") }
    case .emergencyStop:
      // A thread of its own: it overtakes all, and waits for nobody.
      let taken = emergency.post { [self] _ in answer(.success(emergencyStop())) }
      if !taken {
        answer(.failure(ControlError(.busy, "emergency stops wait already", remedy: "They are being carried out.")))
      }
    case .holder: holder(request, answer)
    case .beamCalibrate: calibrateBeam(request, answer)
    case .beamStop: answer(.success(stopCalibration()))
    case .beamShow: answer(.success(beam.details(now: HostClockReading.now.unixNanoseconds)))
    case .beamForget: atDesk(answer) { [self] _ in forgetBeam() }
    case .devices: atDesk(answer) { [self] _ in .success(devices) }
    case .framesKeep:
      atDesk(answer) { [self] catalog in
        Self.attempt { () throws(ControlError) in
          try keepFrames(last: request.text("last") ?? "", camera: request.text("camera"), catalog)
        }
      }
    case .framesLeft: atDesk(answer) { [self] _ in .success(framesLeft()) }
    case .framesRecover:
      atDesk(answer) { [self] catalog in Self.attempt { () throws(ControlError) in try recoverFrames(catalog) } }
    case .framesDiscard:
      atDesk(answer) { [self] _ in Self.attempt { () throws(ControlError) in try discardFrames() } }
    case .protocolCheck:
      atDesk(answer) { [self] _ in check(request.text("protocol") ?? "", request.text("file") ?? "protocol") }
    case .runStart:
      let stopsBefore = stops.read { $0 }
      atDesk(answer) { [self] catalog in
        Self.attempt { () throws(ControlError) in
          try start(
            text: request.text("protocol") ?? "", file: request.text("file") ?? "protocol",
            name: request.text("name"), compression: request.text("compression"), stopsBefore: stopsBefore,
            catalog: catalog)
        }
      }
    case .runsList:
      atDesk(answer) { catalog in
        Self.stored { () throws(RunStoreError) in ["runs": .array(try catalog.entries().map(\.json))] }
      }
    case .runsShow:
      atDesk(answer) { catalog in
        Self.stored { () throws(RunStoreError) in
          let entry = try catalog.find(request.text("id") ?? "last")
          guard let directory = catalog.directory(of: entry) else {
            throw RunStoreError(.notFound, "the directory of run \(entry.id) is gone: \(entry.directory)")
          }
          return try RunSummary(reading: directory).json
        }
      }
    }
  }

  func atDesk(
    _ answer: @escaping Answer, _ work: @escaping @Sendable (Catalog) -> Result<JSONValue, ControlError>
  ) {
    let taken = desk.post { catalog in answer(work(catalog)) }
    if !taken {
      answer(.failure(ControlError(.busy, "too many requests wait already", remedy: "Ask again in a moment.")))
    }
  }

  static func attempt(_ work: () throws(ControlError) -> JSONValue) -> Result<JSONValue, ControlError> {
    do throws(ControlError) { return .success(try work()) } catch { return .failure(error) }
  }

  private static func stored(_ work: () throws(RunStoreError) -> JSONValue) -> Result<JSONValue, ControlError> {
    do throws(RunStoreError) { return .success(try work()) } catch {
      let kind: ControlErrorKind =
        switch error.kind {
        case .notFound: .noInput
        case .ambiguous: .data
        case .busy: .busy
        case .diskFull: .cannotCreate
        case .damaged: .data
        case .failed: .io
        }
      return .failure(ControlError(kind, "\(error)"))
    }
  }

  private func greeting(_ endpoints: JSONValue) -> JSONValue {
    [
      "software": .string(settings.software), "protocol_version": .integer(ControlEndpoint.protocolVersion),
      "endpoints": endpoints, "data": .string(data.path), "pid": .integer(Int64(processID())),
    ]
  }

  private func stop(_ reason: String) -> Result<JSONValue, ControlError> {
    demandStop(reason)
    let isUnderWay = occupation.read { state in
      switch state {
      case .preparing, .operating: true
      case .idle, .running, .closed: false
      }
    }
    if isUnderWay { return .success(["accepted": true]) }
    return signal(.stop(reason: reason))
  }

  private func signal(_ signal: RunSignal) -> Result<JSONValue, ControlError> {
    guard let run = activeRun else {
      return .failure(
        ControlError(.unavailable, "no run is going on", remedy: "Begin one with: insituctl run start FILE"))
    }
    let state = run.progress.state
    switch signal {
    case .pause where state == .paused:
      return .failure(ControlError(.busy, "the run is paused already", remedy: "It goes on with: insituctl run resume"))
    case .resume where state == .running:
      return .failure(ControlError(.busy, "the run is not paused", remedy: "Nothing needs to be done."))
    default: break
    }
    run.signals.push(signal)
    return .success(["accepted": true, "run": .string(run.id)])
  }

  private func note(_ text: String) -> Result<JSONValue, ControlError> {
    guard let run = activeRun else {
      return .failure(
        ControlError(
          .unavailable, "no run is going on that the note could belong to", remedy: "Notes are kept in runs."))
    }
    let clock = HostClockReading.now
    run.writer.put(.note(text, clock))
    guard run.writer.commit(within: Seconds(3)) else {
      return .failure(
        ControlError(.io, "the note could not be stored", remedy: "Look at the daemon's log; write it down."))
    }
    publisher.publish(event: "note", text)
    return .success(["run": .string(run.id), "t_unix_ns": .integer(clock.unixNanoseconds)])
  }

  /// Safe state now. A run that is going on ends as `stopped`.
  func emergencyStop() -> JSONValue {
    demandStop("emergency stop")
    let run = activeRun
    run?.signals.push(.stop(reason: "emergency stop"))
    let problems = instruments.makeSafe().problems
    journal.log(.warning, "emergency stop")
    for problem in problems { event("safe_state", problem, in: run, .error) }
    if problems.isEmpty { event("safe_state", "emergency stop: \(instruments.safeWords)", in: run, .warning) }
    return [
      "accepted": true, "safe": .bool(problems.isEmpty), "problems": .array(problems.map(JSONValue.string)),
      "run": .optional(run?.id), "state": .string(instruments.safeWords),
    ]
  }

  private func check(_ text: String, _ file: String) -> Result<JSONValue, ControlError> {
    do throws(ControlError) {
      let compiled = try compile(text, file)
      _ = try checkAcquisition(compiled, file)
      var plan = compiled.plan(
        cameras: plannedCameras, indexBytes: IndexRecord.byteCount, instrument: plannedInstrument)
      plan.warnings += lookBackDoubts(compiled)
      return .success(["plan": plan.json, "compiled": compiled.json])
    } catch { return .failure(error) }
  }

  // MARK: Status

  /// Where everything stands. Asks nobody and waits for nobody.
  package var status: JSONValue {
    let run = activeRun
    let progress = run?.progress
    let state: String =
      occupation.read {
        switch $0 {
        case .idle, .closed: "idle"
        case .preparing: "starting"
        case .operating: "operating"
        case .running: progress?.state.rawValue ?? "running"
        }
      }
    let free = freeBytes.read { $0 }
    let cameras = camerasJSON
    let rates = instruments.cameras.map { ($0.framesPerSecond, Double($0.setup.frameBytes)) }
    let rate = rates.reduce(0) { $0 + $1.0 }
    let bytesPerSecond = rates.reduce(0) { $0 + $1.0 * $1.1 }
    return [
      "state": .string(state), "run": run.map { runStatus($0, progress) } ?? .null, "instruments": board.json,
      "voltage_V": .optional(progress?.voltage?.value), "current_A": .optional(progress?.current?.value),
      "frames_per_second": .number((rate * 10).rounded() / 10),
      "cameras": cameras, "ring": cameras.array?.first?["ring"] ?? .null,
      "streams": ["refused": .integer(Int64(clamping: publisher.refused))],
      "lost_frames": .integer(Int64(clamping: progress?.frames.lost ?? 0)),
      "disk": [
        "free_bytes": .optional(free),
        "seconds_left": bytesPerSecond > 0 && run != nil
          ? .optional(free.map { Double(max(0, $0 - settings.keepFree)) / bytesPerSecond }) : .null,
      ],
      "holder": [
        "state": .optional(board["holder"]?.state), "opens_contacts": .bool(instruments.opensContacts),
        "limitation": .optional(settings.holderLimitation),
      ],
      "frame": cameras.array?.first?["frame"] ?? .null,
      "beam": beam.json(now: HostClockReading.now.unixNanoseconds),
      "uptime_s": .number((MonotonicTime.now - started).value), "software": .string(settings.software),
    ]
  }

  private func runStatus(_ run: ActiveRun, _ progress: RunProgress?) -> JSONValue {
    guard let progress else { return .null }
    let now = MonotonicTime.now
    return [
      "id": .string(run.id), "name": .string(run.name), "outcome": "running",
      "step_index": .integer(Int64(progress.step)), "step_count": .integer(Int64(run.compiled.steps.count)),
      "sentence": .string(progress.sentence), "cycle": .integer(Int64(progress.cycle)),
      "step_elapsed_s": .number((now - progress.stepStarted).value), "step_bound_s": .number(progress.stepBound.value),
      "elapsed_s": .number((now - run.started).value), "planned_s": .number(run.planned.value),
      "charge_C": .number(progress.charge.value), "frames": progress.frames.json,
      "samples": .integer(Int64(progress.samples)),
      "waiting": progress.waiting.map { waiting in
        [
          "reason": .string(waiting.reason), "elapsed_s": .number((now - waiting.since).value),
          "limit_s": .number(waiting.longest.value),
        ]
      } ?? .null,
    ]
  }
}

extension FrameCounts {
  var json: JSONValue {
    [
      "triggered": .integer(Int64(clamping: triggered)), "received": .integer(Int64(clamping: received)),
      "written": .integer(Int64(clamping: written)), "lost_at_source": .integer(Int64(clamping: lostAtSource)),
      "skipped": .integer(Int64(clamping: skipped)), "merged": .integer(Int64(clamping: merged)),
      "dropped": .object(dropped.mapValues { .integer(Int64(clamping: $0)) }),
    ]
  }
}
