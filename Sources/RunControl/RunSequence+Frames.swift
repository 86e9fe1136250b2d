import BiasProtocol
import FrameIngest
import Quantities
import RunStore

/// What a step wants of a camera itself. Which of its frames are written is the recorder's to know.
enum CameraDemand: Equatable, Sendable {
  case rest
  /// - Parameter rate: nil: as fast as its exposure allows.
  case run(rate: Hertz?)

  /// - Parameter watch: the rate at which a camera goes on that nobody needs; nil: it rests.
  init(_ recording: Recording, watch: Hertz?) {
    if recording.runs {
      self = .run(rate: recording.rate)
    } else {
      self = watch.map { .run(rate: $0) } ?? .rest
    }
  }

  /// - Parameter exposure: as it is configured; shortened where the period does not hold it.
  func command(series: UInt64, exposure: Seconds, step: UInt32) -> CameraCommand {
    // The rest of a frame period is the camera's to read out.
    let duty = 0.96
    guard case .run(let rate) = self else { return .stop }
    let period = rate.map { Seconds(1 / $0.value) } ?? exposure * (1 / duty)
    return .record(
      ExposureRequest(series: series, framePeriod: period, exposure: min(exposure, period * duty)), step: step)
  }
}

/// What a run asks of the cameras.
extension RunSequence {
  /// Begins, goes on with, or ends the series as the step wants it; frames from now on belong to it.
  mutating func record(_ step: Step) throws(Ending) {
    for station in instruments.cameras {
      let recording = step.recording[station.name]
      hasRecorded = hasRecorded || recording.runs
      let demand = CameraDemand(recording, watch: station.setup.watch)
      let isNew = demand != demands[station.name, default: .rest]
      if isNew { series += 1 }
      let command =
        isNew
        ? demand.command(series: series, exposure: station.setup.exposure, step: UInt32(step.index))
        : CameraCommand.setStep(UInt32(step.index))
      demands[station.name] = demand
      guard station.send(command) else {
        throw Ending(outcome: .failed, reason: "the camera \(station.name) does not take its commands any more")
      }
    }
  }

  /// While nobody wants frames the cameras rest, or go on as they do between runs.
  mutating func stopRecording() {
    for station in instruments.cameras {
      let demand = CameraDemand(.off, watch: station.setup.watch)
      guard demand != demands[station.name, default: .rest] else { continue }
      series += 1
      demands[station.name] = demand
      station.send(demand.command(series: series, exposure: station.setup.exposure, step: .max))
    }
  }

  /// The last seconds are kept before a step begins.
  func keepFrames(before step: Step) {
    guard let span = step.keepBefore else { return }
    for station in instruments.cameras { station.recorder.keep(last: span) }
  }
}
