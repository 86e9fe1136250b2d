import BiasProtocol
import FrameIngest
import Quantities
import RunStore

/// What a run asks of the camera.
extension RunSequence {
  /// Begins or ends recording as the step wants it; frames from now on belong to it.
  mutating func record(_ step: Step) throws(Ending) {
    guard let camera = instruments.camera else { return }
    var command = CameraCommand.setStep(UInt32(step.index))
    if step.recording != recording {
      recording = step.recording
      hasRecorded = hasRecorded || !recording.isOff
      series += 1
      command = Self.command(step, series, settings.exposure)
    }
    guard camera.send(command) else {
      throw Ending(outcome: .failed, reason: "the camera does not take its commands any more")
    }
  }

  private static func command(_ step: Step, _ series: UInt64, _ exposure: Seconds) -> CameraCommand {
    // The rest of a frame period is the camera's to read out.
    let duty = 0.96
    let recording = step.recording[RunCamera.first.name]
    guard recording.runs else { return .stop }
    guard let rate = recording.rate else {
      return .record(
        ExposureRequest(series: series, framePeriod: exposure * (1 / duty), exposure: exposure),
        step: UInt32(step.index))
    }
    let period = Seconds(1 / rate.value)
    return .record(
      ExposureRequest(series: series, framePeriod: period, exposure: min(exposure, period * duty)),
      step: UInt32(step.index))
  }
}
