import ControlProtocol
import JSON
import Linux
import Quantities

extension Program {
  /// Until the first frame comes, and until the camera has stopped again.
  private static let cameraPatience = Seconds(30)
  private static let usualTime = Seconds(5)

  func beam(_ command: BeamCommand) throws(ControlError) -> Int32 {
    switch command {
    case .show: try ask(.beamShow, text: BeamText.show)
    case .calibrate(let camera, let time): return try calibrate(camera, time)
    case .forget: try ask(.beamForget, text: BeamText.forgotten)
    }
    return ExitCode.well
  }

  /// Waits for the result; Ctrl-C has the daemon stop the camera.
  private func calibrate(_ camera: String?, _ time: String?) throws(ControlError) -> Int32 {
    var parameters: [String: JSONValue] = [:]
    if let camera { parameters["camera"] = .string(camera) }
    if let time { parameters["time"] = .string(time) }
    let length = time.flatMap { try? Seconds(parsing: $0) } ?? Self.usualTime
    if !invocation.quiet {
      console.remark("The beam must be on vacuum, as it will be in the run, and the specimen not in it.")
      console.remark("Measuring for \(length); Ctrl-C stops.")
    }
    let signals = try signalDescriptor()
    let client = try ControlClient(invocation.endpoint, interruption: signals.number)
    do throws(ControlError) {
      let result = try client.call(.beamCalibrate, parameters, within: length + Self.cameraPatience)
      try output(result, text: BeamText.calibrated)
      return ExitCode.well
    } catch  where error.kind == .interrupted {
      // A client of its own: the first one still waits for an answer.
      let other = try ControlClient(invocation.endpoint, greeting: false)
      _ = try other.call(.beamStop)
      console.remark("the calibration is stopped, and nothing is kept")
      if invocation.json { try output(["stopped": true]) { _ in [] } }
      return ControlErrorKind.interrupted.exitCode
    }
  }
}
