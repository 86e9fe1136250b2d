import BiasProtocol
import FrameIngest
import Quantities
import RunStore

/// What a run asks of the camera.
extension RunSequence {
  /// Begins or ends recording as the step wants it; frames from now on belong to it.
  mutating func record(_ step: Step) throws(Ending) {
    guard !instruments.cameras.isEmpty else { return }
    let isNew = step.recording != recording
    if isNew {
      recording = step.recording
      hasRecorded = hasRecorded || recording != .off
      series += 1
    }
    for station in instruments.cameras {
      let command =
        isNew ? Self.command(step, series, station.setup.exposure) : CameraCommand.setStep(UInt32(step.index))
      guard station.send(command) else {
        throw Ending(outcome: .failed, reason: "the camera does not take its commands any more")
      }
    }
  }

  private static func command(_ step: Step, _ series: UInt64, _ exposure: Seconds) -> CameraCommand {
    // The rest of a frame period is the camera's to read out.
    let duty = 0.96
    switch step.recording {
    case .off: return .stop
    case .rate(let rate):
      let period = Seconds(1 / rate.value)
      return .record(
        ExposureRequest(series: series, framePeriod: period, exposure: min(exposure, period * duty)),
        step: UInt32(step.index))
    case .all:
      return .record(
        ExposureRequest(series: series, framePeriod: exposure * (1 / duty), exposure: exposure),
        step: UInt32(step.index))
    }
  }
}
