import BiasProtocol
import ControlProtocol
import FrameRing
import JSON
import Journal
import Linux
import Quantities
import RunStore
import SQLite

/// Frames that have happened already: those that the rings still hold, and those that a dead daemon left behind.
extension RunController {
  private static let longestLook = Seconds(3600)

  // MARK: Cameras between runs

  /// Cameras with `watch` go on while no run needs them, so that there is something to look back on.
  /// - Parameter stations: nil: all.
  func watchBetweenRuns(_ stations: [CameraStation]? = nil) {
    for station in stations ?? instruments.cameras where station.setup.watch != nil {
      let demand = CameraDemand(.off, watch: station.setup.watch)
      station.send(demand.command(series: 0, exposure: station.setup.exposure, step: .max))
    }
  }

  /// Ends their series before a run begins its own.
  func endWatching() {
    for station in instruments.cameras where station.setup.watch != nil { _ = station.stop(within: Seconds(2)) }
  }

  // MARK: Looking back

  /// Where a protocol looks back further than a ring reaches, in words.
  func lookBackDoubts(_ compiled: CompiledProtocol) -> [String] {
    var doubts: [String] = []
    var rates: [String: Hertz] = [:]
    func look(_ span: Seconds, _ place: String) {
      for station in instruments.cameras {
        guard let rate = rates[station.name] ?? station.setup.watch else { continue }
        let reach = Seconds(Double(station.recorder.slotsHeld) / rate.value)
        guard reach < span else { continue }
        let doubt =
          "\(place) looks back \(span), and the ring of \(station.name) holds \(reach) at \(rate.value) fps; make ring.length longer"
        if !doubts.contains(doubt) { doubts.append(doubt) }
      }
    }
    for step in compiled.steps {
      let place = step.line > 0 ? "line \(step.line)" : "step \(step.index)"
      if let span = step.keepBefore { look(span, "what is kept before \(place)") }
      for station in instruments.cameras {
        let recording = step.recording[station.name]
        if let rate = recording.rate { rates[station.name] = rate }
        if let trigger = recording.trigger { look(trigger.before, place) }
      }
    }
    if let span = compiled.keepAtEnd { look(span, "what is kept at the end") }
    return doubts
  }

  /// Writes the frames of the last seconds into the run that is going on, or into a run of their own. On the desk's thread.
  func keepFrames(last text: String, camera name: String?, _ catalog: Catalog) throws(ControlError) -> JSONValue {
    let span = try Self.span(text)
    let stations = try stations(named: name)
    if let run = activeRun {
      let answers = stations.map { ($0, $0.recorder.keep(last: span)) }
      var kept: [(CameraStation, KeptFrames)] = []
      for (station, answer) in answers {
        guard let frames = station.recorder.wait(for: answer) else {
          throw ControlError(.io, "the recorder of \(station.name) is still writing; look at: insituctl status")
        }
        kept.append((station, frames))
      }
      return told(kept, span, in: run)
    }
    return try keepInOwnRun(span, stations, catalog)
  }

  private static func span(_ text: String) throws(ControlError) -> Seconds {
    let span: Seconds
    do throws(QuantityError) { span = try Seconds(parsing: text) } catch {
      throw ControlError(.usage, "--last: \(error)", remedy: "Write for example: --last 10s")
    }
    guard span.value > 0, span <= longestLook else {
      throw ControlError(
        .usage, "--last \(text) is not possible", remedy: "Write more than 0 and at most \(longestLook).")
    }
    return span
  }

  private func stations(named name: String?) throws(ControlError) -> [CameraStation] {
    guard !instruments.cameras.isEmpty else {
      throw ControlError(
        .unavailable, "this instrument has no camera", remedy: "Add one to the daemon's configuration.")
    }
    guard let name else { return instruments.cameras }
    guard let station = instruments.cameras.first(where: { $0.name == name }) else {
      let names = instruments.cameras.map(\.name).joined(separator: ", ")
      throw ControlError(.usage, "there is no camera “\(name)”", remedy: "There are: \(names).")
    }
    return [station]
  }

  private func told(_ kept: [(CameraStation, KeptFrames)], _ span: Seconds, in run: ActiveRun) -> JSONValue {
    let now = MonotonicTime.now
    let total = kept.reduce(0) { $0 + $1.1.frames }
    event("frames_kept", "\(total) frames of the last \(span) are kept by looking back", in: run)
    return [
      "run": .string(run.id), "name": .string(run.name), "frames": .integer(Int64(clamping: total)),
      "cameras": .array(
        kept.map { station, frames in
          [
            "name": .string(station.name), "frames": .integer(Int64(clamping: frames.frames)),
            "reaches_back_s": .optional(frames.oldest.map { (now - $0).value }),
          ]
        }),
    ]
  }

  private func keepInOwnRun(_ span: Seconds, _ stations: [CameraStation], _ catalog: Catalog) throws(ControlError)
    -> JSONValue
  {
    guard stations.contains(where: { $0.holdsFrames(since: .now - span) }) else {
      let watches = stations.contains { $0.setup.watch != nil }
      throw ControlError(
        .unavailable, "no frame of the last \(span) is in the ring",
        remedy: watches
          ? "Look at: insituctl status." : "Let the camera go on between runs: camera.watch in the configuration.")
    }
    try checkRoom(
      stations.reduce(0) { $0 + Int64($1.recorder.slotsHeld) * Int64($1.setup.frameBytes) })
    let run = try occupied { () throws(ControlError) in try createFrameRun("kept frames", catalog) }
    defer { occupation.update { $0 = .idle } }
    let answers = stations.map { ($0, $0.recorder.begin(run, recorderSettings, keeping: span)) }
    var kept: [(CameraStation, KeptFrames)] = []
    for (station, answer) in answers {
      kept.append((station, station.recorder.wait(for: answer) ?? KeptFrames()))
    }
    let result = told(kept, span, in: run)
    var problem: String?
    for (station, _) in answers {
      let (_, isClosed, failure) = station.recorder.end(within: .zero, forgetsSeries: false)
      problem = problem ?? failure ?? (isClosed ? nil : "the recorder of \(station.name) stands still")
    }
    finish(run, "frames of the last \(span), kept by looking back", problem: problem)
    if let problem {
      throw ControlError(.io, "not all frames could be kept: \(problem)", remedy: "See: insituctl runs show last.")
    }
    return result
  }

  /// - Parameter bytes: that may be written.
  private func checkRoom(_ bytes: Int64) throws(ControlError) {
    guard let free = FileSystem.freeBytes(at: data.path), free < bytes + settings.keepFree else { return }
    throw ControlError(
      .cannotCreate,
      "up to \(Plan.size(Int(bytes))) may be written and \(Plan.size(Int(settings.keepFree))) must stay free, but"
        + " \(data.path) has \(Plan.size(Int(free)))",
      remedy: "Free some space first; the frames stay in memory meanwhile.")
  }

  /// Nobody may begin a run meanwhile.
  private func occupied<R>(_ work: () throws(ControlError) -> R) throws(ControlError) -> R {
    guard claim() else {
      throw ControlError(
        .busy, "a run is being prepared, or an operator is at the holder", remedy: "Try again in a moment.")
    }
    do throws(ControlError) { return try work() } catch {
      occupation.update { $0 = .idle }
      throw error
    }
  }

  /// A run that has frames and nothing else: no step, no sample, and the cell is not touched.
  private func createFrameRun(_ name: String, _ catalog: Catalog) throws(ControlError) -> ActiveRun {
    let limits = Limits(voltage: Volts(0)...Volts(0), current: .zero ... .zero, dose: nil)
    let compiled = CompiledProtocol(
      name: name, sampleID: nil, sampleArea: nil, limits: limits, samplePeriod: CompiledProtocol.defaultSamplePeriod,
      range: nil, voltageRange: nil, steps: [], text: "")
    let run = try make(compiled, "", name, planned: .zero, catalog)
    for station in instruments.cameras { put(station, in: run) }
    return run
  }

  /// - Parameter problem: why its frames could not be written.
  private func finish(_ run: ActiveRun, _ reason: String, problem: String?) {
    run.writer.put(.hostClock(.now))
    var (outcome, reason) = (RunOutcome.complete, reason)
    if let problem { (outcome, reason) = (.failed, "frames could not be written: \(problem)") }
    if let failure = run.writer.failure { (outcome, reason) = (.failed, "the record is not complete: \(failure)") }
    if let database = run.writer.end() { close(run, database, &outcome, &reason) }
    journal.log(.info, "run \(run.id) “\(run.name)” \(outcome.rawValue): \(reason)")
  }

  // MARK: What a dead daemon left

  /// What the rings of an earlier daemon still hold.
  func framesLeft() -> JSONValue {
    [
      "rings": .array(
        leftRings.read { $0 }.map { left in
          [
            "camera": .string(left.camera.name), "frames": .integer(Int64(clamping: left.frames)),
            "bytes": .integer(left.bytes), "path": .string(left.ring.path),
            "first_frame": .optional(left.first.map { Int64(clamping: $0.frameNumber) }),
            "last_frame": .optional(left.last.map { Int64(clamping: $0.frameNumber) }),
            "age_s": .optional(left.last.map { (MonotonicTime.now - $0.arrival).value }),
          ]
        })
    ]
  }

  /// Writes what they hold into a run of its own, and gives their memory back.
  func recoverFrames(_ catalog: Catalog) throws(ControlError) -> JSONValue {
    let rings = leftRings.read { $0 }
    guard !rings.isEmpty else { throw Self.nothingLeft }
    try checkRoom(rings.reduce(0) { $0 + $1.bytes })
    let run = try occupied { () throws(ControlError) in try createFrameRun("recovered frames", catalog) }
    defer { occupation.update { $0 = .idle } }
    var (written, damaged) = (UInt64(0), UInt64(0))
    var problem: String?
    for left in rings {
      let setup = instruments.cameras.first { $0.camera == left.camera }?.setup
      let session = RecordingSession(run, left.camera, recorderSettings, publisher, slots: left.ring.slotCount) {
        setup?.counted($0)
      }
      let found = left.write(into: session)
      written += found.written
      damaged += found.damaged
      problem = problem ?? session.failure
    }
    event(
      "frames_recovered",
      "\(written) frames from the rings that an earlier daemon left; \(damaged) slots were not whole", in: run)
    finish(run, "frames from the rings that an earlier daemon left", problem: problem)
    if let problem {
      throw ControlError(
        .io, "not all frames could be written: \(problem)",
        remedy: "They are still in memory; free some space and try again.")
    }
    if run.writer.failure == nil, run.progress.frames.written == written { discardLeft() }
    return [
      "run": .string(run.id), "name": .string(run.name), "frames": .integer(Int64(clamping: written)),
      "damaged": .integer(Int64(clamping: damaged)),
    ]
  }

  func discardFrames() throws(ControlError) -> JSONValue {
    guard !leftRings.read({ $0.isEmpty }) else { throw Self.nothingLeft }
    let frames = leftRings.read { $0.reduce(0) { $0 + $1.frames } }
    discardLeft()
    return ["frames": .integer(Int64(clamping: frames))]
  }

  private func discardLeft() {
    let rings = leftRings.update { rings in
      defer { rings = [] }
      return rings
    }
    for left in rings { FrameRing.remove(left.ring.path) }
  }

  private static let nothingLeft = ControlError(
    .unavailable, "no earlier daemon left frames in memory",
    remedy: "They are there after a crash, until they are recovered or discarded, or the computer is restarted.")
}
