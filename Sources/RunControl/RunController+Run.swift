import Alignment
import BiasProtocol
import ControlProtocol
import FrameIngest
import JSON
import Journal
import HolderDriver
import Linux
import Pixels
import Potentiostat
import Quantities
import RunStore
import SQLite
import USB

/// Beginning and ending a run.
extension RunController {
  /// How long the camera may take to give what is under way when a run ends.
  private static let drainPatience = Seconds(5)
  /// How long a run that ends waits for the potentiostat's error queue.
  private static let notesPatience = Seconds(2)

  /// Checks everything that can be checked without touching the cell, then begins. On the desk's thread.
  /// - Returns: id, name, directory and plan of the run that has begun.
  /// - Parameter compression: "none" or a method; nil: as it is configured.
  func start(
    text: String, file: String, name: String?, compression: String? = nil, stopsBefore: UInt64, catalog: Catalog
  ) throws(ControlError) -> JSONValue {
    let method = try self.compression(named: compression)
    guard claim() else {
      let run = activeRun
      throw ControlError(
        .busy,
        run.map { "a run is going on: \($0.name) (\($0.id))" } ?? operation
          ?? "a run is going on: one is being prepared",
        remedy: "Wait for its end, or end it with: insituctl run stop")
    }
    // From here on an emergency stop holds whatever the run still wants to do; one that came while this command waited
    // has voided it.
    instruments.latch.release()
    stopWanted.update { $0 = nil }
    guard stops.read({ $0 }) == stopsBefore else {
      instruments.latch.set()
      occupation.update { $0 = .idle }
      throw ControlError(.unavailable, "a stop came after this command was given", remedy: "Give it again.")
    }
    do throws(ControlError) {
      let compiled = try compile(text, file)
      let plan = compiled.plan(cameras: plannedCameras, indexBytes: IndexRecord.byteCount)
      try checkDisk(plan)
      try connectInstruments()
      try checkCameras(compiled, file)
      let warnings = try checkAcquisition(compiled, file) + regionDoubts(compiled)
      let doubts = lookBackDoubts(compiled)
      if let reason = stopWanted.read({ $0 }) {
        throw ControlError(.unavailable, "the run does not begin: \(reason)")
      }
      let run = try create(compiled, text, name ?? compiled.name, plan, method, catalog)
      occupation.update { $0 = .running(run) }
      publisher.setRun(run.id)
      for station in instruments.cameras { put(station, in: run) }
      event("run_started", "run “\(run.name)” begins: \(plan.summary)", in: run)
      if let doseRate = beam.doseRate {
        event(
          "dose_rate", doseRate.sentence, details: beam.json(now: HostClockReading.now.unixNanoseconds).object ?? [:],
          in: run)
      }
      for warning in warnings { event("range", warning, in: run, .warning) }
      for doubt in doubts { event("look_back", doubt, in: run, .warning) }
      _ = NamedThread("run") { [self] in carryOut(run) }
      return [
        "id": .string(run.id), "name": .string(run.name), "directory": .string(run.directory.path), "plan": plan.json,
        "warnings": .array((warnings + doubts).map(JSONValue.string)),
      ]
    } catch {
      occupation.update { if case .preparing = $0 { $0 = .idle } }
      throw error
    }
  }

  /// Takes the one place there is for a run; false when it is taken.
  func claim() -> Bool {
    occupation.update { state -> Bool in
      guard case .idle = state else { return false }
      state = .preparing
      return true
    }
  }

  /// Compiles a protocol and holds it against what this laboratory has.
  func compile(_ text: String, _ file: String) throws(ControlError) -> CompiledProtocol {
    let compiled: CompiledProtocol
    do throws(ProtocolErrors) { compiled = try CompiledProtocol(parsing: text) } catch {
      throw ControlError(
        file: file,
        places: error.errors.map {
          ControlError.Place(line: $0.line, column: $0.column, message: $0.message, remedy: $0.remedy ?? "")
        })
    }
    if compiled.limits.dose != nil && beam.doseRate == nil {
      throw ControlError(
        .data, "\(file): limits.dose needs a dose rate, and this instrument has none",
        remedy:
          "Measure it with the beam on vacuum: insituctl beam calibrate; or write beam.dose_rate into the daemon's "
          + "configuration, or take the limit out.")
    }
    if settings.cameras.isEmpty, let step = compiled.steps.first(where: { !$0.recording.isOff }) {
      throw ControlError(
        .data, "\(file):\(step.line): frames are to be recorded, and this instrument has no camera",
        remedy: "Add a camera to the daemon's configuration, or take “record” out.")
    }
    try refuse(compiled.hindrances(on: settings.plannedCameras), file)
    return compiled
  }

  private func checkDisk(_ plan: Plan) throws(ControlError) {
    guard let free = FileSystem.freeBytes(at: data.path) else { return }
    let samples = Double(plan.samples) * 120  // bytes of a sample's row
    guard Double(free) < Double(plan.frames.bytes) + samples + Double(settings.keepFree) else { return }
    throw ControlError(
      .cannotCreate,
      "the run needs \(Plan.size(plan.frames.bytes)) and \(Plan.size(Int(settings.keepFree))) must stay free, but"
        + " \(data.path) has \(Plan.size(Int(free)))",
      remedy: "Free some space, record fewer frames, or move `data:` to a larger disk.")
  }

  /// Instruments that are not there are told of before anything is made or changed.
  private func connectInstruments() throws(ControlError) {
    do throws(InstrumentFailure) {
      let found = try instruments.onHolder("the holder") { station throws(InstrumentError) in try station.connect() }
      if let found {
        board.connected("holder", found.identity.description, state: found.state.name)
      }
      let identity = try instruments.onPotentiostat("the potentiostat") { station throws(InstrumentError) in
        try station.connect()
      }
      board.connected("potentiostat", identity.description)
    } catch {
      throw ControlError(
        .unavailable, "\(error)", remedy: "Switch it on, plug it in, and look at: insituctl devices")
    }
  }

  /// Holds what a protocol wants to measure against what the potentiostat can.
  /// - Returns: what is served otherwise than it was asked for.
  func checkAcquisition(_ compiled: CompiledProtocol, _ file: String) throws(ControlError) -> [String] {
    guard let instrument = plannedInstrument else { return [] }
    try refuse(compiled.hindrances(on: instrument), file)
    return compiled.doubts(on: instrument)
  }

  private func refuse(_ hindrances: [ProtocolError], _ file: String) throws(ControlError) {
    guard !hindrances.isEmpty else { return }
    throw ControlError(
      file: file,
      places: hindrances.map {
        ControlError.Place(line: $0.line, column: $0.column, message: $0.message, remedy: $0.remedy ?? "")
      })
  }

  /// The potentiostat as data; nil when it has never been reached.
  var plannedInstrument: PlannedInstrument? {
    let model = settings.potentiostat.model
    let found = instruments.potentiostat.run(within: Seconds(0.5)) { station in
      PlannedInstrument(model: model, of: station)
    }
    return found ?? nil
  }

  private func create(
    _ compiled: CompiledProtocol, _ text: String, _ name: String, _ plan: Plan, _ compression: FrameCompression?,
    _ catalog: Catalog
  ) throws(ControlError) -> ActiveRun {
    guard name != "last" else {
      throw ControlError(.usage, "a run cannot be named “last”", remedy: "“last” means the newest run.")
    }
    let run = try make(compiled, text, name, planned: plan.duration, catalog)
    endWatching()
    var recording = recorderSettings
    recording.compression = compression
    for station in instruments.cameras { station.recorder.begin(run, recording) }
    return run
  }

  /// Makes the record of a run, and its place in the catalog.
  func make(
    _ compiled: CompiledProtocol, _ text: String, _ name: String, planned: Seconds, _ catalog: Catalog
  ) throws(ControlError) -> ActiveRun {
    let clock = HostClockReading.now
    let id = ULID(unixNanoseconds: clock.unixNanoseconds)
    do throws(RunStoreError) {
      let directory = try RunDirectory.create(in: data, id: id, name: name)
      do throws(LinuxError) {
        _ = try SharedMapping.create(Self.reservePath(directory), size: Self.reserveBytes)
      } catch { throw RunStoreError(error) }
      let record = RunRecord(
        id: id, name: name, sampleID: compiled.sampleID, protocolText: text, protocolJSON: compiled.json.text,
        started: clock, software: settings.software, host: hostName(),
        cameras: instruments.cameras.map(\.camera))
      let database: RunDatabase
      do throws(DatabaseError) { database = try RunDatabase.create(in: directory, record) } catch {
        throw RunStoreError(error, in: directory.databasePath)
      }
      try catalog.set(
        CatalogEntry(
          id: id.description, name: name, sampleID: compiled.sampleID, directory: directory.name,
          startedUnixNanoseconds: clock.unixNanoseconds))
      let run = ActiveRun(
        id: id.description, name: name, directory: directory, compiled: compiled, planned: planned, at: clock,
        writer: RunWriter(database) { FileSystem.remove(Self.reservePath(directory)) })
      run.writer.onFailure { [signals = run.signals] reason in signals.push(.failed("the record: \(reason)")) }
      return run
    } catch {
      throw ControlError(.cannotCreate, "\(error)")
    }
  }

  private func compression(named name: String?) throws(ControlError) -> FrameCompression? {
    guard let name else { return settings.compression }
    if name == "none" { return nil }
    guard let method = FrameCompression(rawValue: name) else {
      let known = (["none"] + FrameCompression.allCases.map(\.rawValue)).joined(separator: ", ")
      throw ControlError(.usage, "there is no compression “\(name)”", remedy: "There are: \(known).")
    }
    return method
  }

  var recorderSettings: RecorderSettings {
    RecorderSettings(
      segmentBytes: settings.segmentBytes, keepFree: settings.keepFree, degradations: settings.degradations,
      compression: settings.compression)
  }

  /// Room that a run keeps for itself, so that its end can be recorded when the disk is full.
  private static let reserveBytes = 4 << 20
  private static func reservePath(_ directory: RunDirectory) -> String { directory.path + "/reserve" }

  // MARK: The run's thread

  private func carryOut(_ run: ActiveRun) {
    var sequence = RunSequence(
      run, instruments, settings, doseRate: beam.doseRate, stopWanted: { [self] in stopWanted.read { $0 } }
    ) { [self] kind, message, details in event(kind, message, details: details, in: run)
    }
    var (outcome, reason) = sequence.carryOut()
    if outcome == .failed { event("failed", reason, in: run, .error) }
    run.update { $0.state = .stopping }
    // The cell first, in every case; frames go on until they are drained (design §8).
    let problems = instruments.makeSafe().problems
    for problem in problems {
      event("safe_state", problem, in: run, .error)
      if outcome == .complete {
        (outcome, reason) = (.failed, "the cell could not be brought to its safe state: \(problem)")
      }
    }
    if problems.isEmpty { event("safe_state", instruments.safeWords, in: run) }
    instruments.potentiostat.run(within: Self.notesPatience) { station in station.checkConnection() }
    let unwritten = drainFrames(run)
    if let problem = unwritten.first, outcome == .complete {
      (outcome, reason) = (.failed, "frames could not be written: \(problem)")
    }
    flushSamples()
    let frames = run.progress.frames
    if outcome == .complete, sequence.hasRecorded, frames.received == 0 {
      (outcome, reason) = (.failed, "frames were to be recorded, and none came from the camera")
    }
    if outcome == .complete, frames.received > 0, frames.dropped["unusable"] == frames.received {
      (outcome, reason) = (.failed, "\(frames.received) frames came from the camera, and none could be used")
    }
    let holes = run.holes
    if holes.count > 0 {
      event(
        "holes", "\(holes.count) holes in the samples, \(holes.time) together: their charge is not counted", in: run,
        .warning)
    }
    run.writer.put(.hostClock(.now))
    let database = run.writer.end()
    if let failure = run.writer.failure, outcome == .complete {
      (outcome, reason) = (.failed, "the record is not complete: \(failure)")
    }
    if let database { close(run, database, &outcome, &reason) }
    publisher.publish(event: "run_ended", "run “\(run.name)” ended: \(outcome.rawValue), \(reason)")
    journal.log(outcome == .complete ? .info : .warning, "run \(run.id) “\(run.name)” \(outcome.rawValue): \(reason)")
    publisher.setRun(nil)
    watchBetweenRuns()
    occupation.update { $0 = .idle }
  }

  /// - Returns: what did not work, in words.
  private func drainFrames(_ run: ActiveRun) -> [String] {
    if let span = run.compiled.keepAtEnd {
      for station in instruments.cameras { station.recorder.keep(last: span) }
    }
    var problems: [String] = []
    for station in instruments.cameras { _ = station.stop(within: Self.drainPatience) }
    for station in instruments.cameras {
      let (seriesEnded, isClosed, failure) = station.recorder.end(within: Self.drainPatience)
      if let failure { problems.append("\(station.name): \(failure)") }
      if !seriesEnded {
        event(
          "camera_warning", "a series of frames of \(station.name) did not end in time; its account does not balance",
          in: run, .warning)
      }
      if !isClosed {
        problems.append("the recorder of \(station.name) did not come to its end; the disk may be stalled")
      }
    }
    return problems
  }

  /// Aligns, settles the ledger, and closes the run's record.
  func close(_ run: ActiveRun, _ database: RunDatabase, _ outcome: inout RunOutcome, _ reason: inout String) {
    let clock = HostClockReading.now
    // On a full disk this is the room for the last words; they come before the alignment, which may need more.
    FileSystem.remove(Self.reservePath(database.directory))
    do throws(DatabaseError) {
      if outcome == .complete, let unbalanced = try database.ledgers().compactMap(\.imbalance).first {
        (outcome, reason) = (.failed, "the ledger does not balance: \(unbalanced)")
      }
      try database.finish(
        outcome, reason: reason, ended: clock.raw, unixNanoseconds: clock.unixNanoseconds, charge: run.progress.charge)
    } catch { journal.log(.error, "run \(run.id): its end could not be recorded: \(error)") }
    do throws(DatabaseError) {
      _ = try RunAlignment.align(database: database.database, options: RunAlignment.Options(beam.doseRate))
    } catch { event("alignment", "frames could not be aligned: \(error)", in: nil, .error) }
    do throws(DatabaseError) { try database.close() } catch {
      journal.log(.error, "run \(run.id): its record could not be closed: \(error)")
    }
    let directory = database.directory
    let taken = desk.post { [journal] catalog in
      do throws(RunStoreError) { try catalog.set(try CatalogEntry(reading: directory)) } catch {
        journal.log(.error, "catalog: \(error)")
      }
    }
    if !taken { journal.log(.error, "catalog: too much waits already; the next start mends it") }
  }
}
