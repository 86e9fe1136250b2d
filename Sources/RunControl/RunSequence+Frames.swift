import BiasProtocol
import FrameIngest
import Quantities
import RunStore

/// What a run asks of the camera.
extension RunSequence {
  /// Begins or ends recording as the step wants it; frames from now on belong to it.
  mutating func record(_ step: Step) throws(Ending) {
    guard !instruments.cameras.isEmpty else { return }
    let before = recording
    if step.recording != before {
      recording = step.recording
      hasRecorded = hasRecorded || !recording.isOff
      series += 1
    }
    for station in instruments.cameras {
      let own = step.recording[station.name]
      let command =
        own == before[station.name]
        ? CameraCommand.setStep(UInt32(step.index)) : Self.command(own, step.index, series, station.setup.exposure)
      guard station.send(command) else {
        throw Ending(outcome: .failed, reason: "the camera does not take its commands any more")
      }
    }
  }

  private static func command(
    _ recording: Recording, _ step: Int, _ series: UInt64, _ exposure: Seconds
  ) -> CameraCommand {
    // The rest of a frame period is the camera's to read out.
    let duty = 0.96
    guard recording.runs else { return .stop }
    guard let rate = recording.rate else {
      return .record(
        ExposureRequest(series: series, framePeriod: exposure * (1 / duty), exposure: exposure),
        step: UInt32(step))
    }
    let period = Seconds(1 / rate.value)
    return .record(
      ExposureRequest(series: series, framePeriod: period, exposure: min(exposure, period * duty)),
      step: UInt32(step))
  }
}
