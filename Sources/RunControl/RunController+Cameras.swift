import BiasProtocol
import ControlProtocol
import FrameIngest
import FrameRing
import JSON
import Journal
import Linux
import Pixels
import Quantities
import RunStore

/// What the cameras' threads say, and where it goes.
extension RunController {
  func heard(_ report: CameraReport, from station: CameraStation) {
    switch report {
    case .connected(let identity):
      // A sender that is only listened to has said nothing yet.
      let isHeard = identity.width != nil
      note(identity, of: station, state: isHeard ? "answers" : "not heard from yet")
      event(
        "camera", "\(words(station)) at \(identity.address) \(isHeard ? "answers" : "is listened to")", in: activeRun)
    case .identified(let identity):
      note(identity, of: station, state: "answers")
    case .disconnected(let error):
      board.failed(station.name, "\(error)")
      event("camera_lost", told("\(error)", by: station), in: activeRun, .warning)
    case .clockPair(let pair):
      let kept = station.clock.add([pair])
      if !kept.isEmpty { activeRun?.writer.put(.clockPairs(kept, device: station.name)) }
    case .readings(let readings):
      for reading in readings {
        activeRun?.writer.put(
          .reading(device: station.name, quantity: reading.quantity, value: reading.value, unit: reading.unit))
      }
    case .seriesStarted(let series):
      station.recorder.seriesStarted(series)
    case .seriesEnded(let series, let triggered, _, let refusedByRing, let unusable):
      station.recorder.seriesEnded(
        EndedSeries(series: series, triggered: triggered, refusedByRing: refusedByRing, unusable: unusable))
    case .refused(let series, let error):
      event("camera_refused", told("series \(series): \(error)", by: station), in: activeRun, .error)
      activeRun?.signals.push(.failed("\(words(station)) refused to record: \(error)"))
    case .stopped: break
    case .warning(let text):
      event("camera_warning", told(text, by: station), in: activeRun, .warning)
    }
  }

  private func note(_ identity: CameraIdentity, of station: CameraStation, state: String) {
    station.identity.update { $0 = identity }
    board.connected(station.name, "\(identity.model), serial \(identity.serial)", state: state)
    activeRun.map { put(station, in: $0) }
  }

  /// A camera has this long to answer before a run that records is refused.
  private static let answerPatience = Seconds(5)

  /// The cameras as a plan sees them: frames as large as the camera says, or else as its ring takes.
  var plannedCameras: [PlannedCamera] {
    zip(settings.plannedCameras, instruments.cameras).map { planned, station in
      var planned = planned
      guard let identity = station.identity.read({ $0 }), let width = identity.width, let height = identity.height
      else { return planned }
      (planned.width, planned.height) = (width, height)
      planned.bytesPerPixel = identity.pixelType?.bytesPerPixel ?? planned.bytesPerPixel
      return planned
    }
  }

  /// Frames are not asked of a camera that is not there, and triggers not of regions that nobody looks at: what is done to
  /// the sample cannot be done again.
  func checkCameras(_ compiled: CompiledProtocol, _ file: String) throws(ControlError) {
    for station in instruments.cameras {
      guard let step = compiled.steps.first(where: { $0.recording[station.name].runs }) else { continue }
      let end = MonotonicTime.now + Self.answerPatience
      while board[station.name]?.isConnected != true, MonotonicTime.now < end { sleepThread(for: Seconds(0.05)) }
      guard board[station.name]?.isConnected == true else {
        let why = board[station.name]?.error ?? "it has not answered yet"
        throw ControlError(
          .unavailable, "\(file):\(step.line): frames are to be recorded, and \(words(station)) is not there: \(why)",
          remedy: "Look at: insituctl devices; or take “record” out.")
      }
      let regions = station.setup.statistics.regions.count
      for step in compiled.steps {
        guard case .region(let number)? = step.recording[station.name].trigger?.statistic, number > regions else {
          continue
        }
        throw ControlError(
          .data,
          "\(file):\(step.line): the trigger looks at region \(number), and \(words(station)) has \(regions) of them",
          remedy: "Write it into statistics.regions of the camera's configuration, or name another.")
      }
    }
  }

  /// Regions that reach beyond the frames that the camera sent last.
  func regionDoubts(_ compiled: CompiledProtocol) -> [String] {
    plannedCameras.flatMap { camera in
      compiled.steps.compactMap { step in
        guard let region = step.recording[camera.name].region,
          region.left + region.width > camera.width || region.top + region.height > camera.height
        else { return nil }
        return "line \(step.line): the region reaches beyond the frames of \(camera.name), which are "
          + "\(camera.width) x \(camera.height): it is cut there"
      }
    }
  }

  /// "the camera", or "the camera diffraction".
  func words(_ station: CameraStation) -> String {
    station.name == RunCamera.first.name ? "the camera" : "the camera \(station.name)"
  }

  /// With several cameras, a sentence says which one speaks.
  private func told(_ text: String, by station: CameraStation) -> String {
    instruments.cameras.count > 1 ? "\(station.name): \(text)" : text
  }

  /// What is known of a camera goes into the record of the run.
  func put(_ station: CameraStation, in run: ActiveRun) {
    guard let identity = station.identity.read({ $0 }) else { return }
    run.writer.put(
      .device(
        kind: station.name, model: station.setup.source.model,
        identity: "\(identity.model), serial \(identity.serial)", connection: identity.address,
        details: [
          "clock": .string(identity.clock), "width": .optional(identity.width.map(Int64.init)),
          "height": .optional(identity.height.map(Int64.init)),
          "maximum_latency_s": .number(station.setup.source.maximumLatency.value),
        ]))
  }

  /// The cameras for `status`.
  var camerasJSON: JSONValue {
    .array(
      instruments.cameras.map { station in
        [
          "name": .string(station.name),
          "frames_per_second": .number((station.framesPerSecond * 10).rounded() / 10),
          "ring": [
            "slots": .integer(Int64(station.ring.slotCount)), "filled": .integer(Int64(station.recorder.waiting)),
            "path": .string(station.ring.path),
          ],
          "frame": [
            "width": .integer(Int64(station.setup.width)), "height": .integer(Int64(station.setup.height)),
            "bytes": .integer(Int64(station.setup.frameBytes)),
          ],
        ]
      })
  }
}
