import FrameIngest
import FrameRing
import JSON
import Journal
import Linux
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
