internal import JSON

/// What a client may ask of the daemon (docs/control-protocol.md lists parameters and results).
package enum ControlMethod: String, CaseIterable, Sendable {
  case hello
  case status
  case devices
  case holder
  case beamCalibrate = "beam.calibrate"
  case beamStop = "beam.stop"
  case beamShow = "beam.show"
  case beamForget = "beam.forget"
  case runStart = "run.start"
  case runStop = "run.stop"
  case runPause = "run.pause"
  case runResume = "run.resume"
  case emergencyStop = "estop"
  case note
  case framesKeep = "frames.keep"
  case framesLeft = "frames.left"
  case framesRecover = "frames.recover"
  case framesDiscard = "frames.discard"
  case protocolCheck = "protocol.check"
  case runsList = "runs.list"
  case runsShow = "runs.show"

  /// A parameter, always a text and always given by name.
  package struct Parameter: Equatable, Sendable {
    package var name: String
    package var isRequired: Bool
    /// UTF-8 bytes.
    package var limit: Int
  }

  /// The parameters this method knows; any other is refused.
  package var parameters: [Parameter] {
    switch self {
    case .hello, .status, .devices, .beamStop, .beamShow, .beamForget, .runStop, .runPause, .runResume, .emergencyStop,
      .runsList,
      .framesLeft, .framesRecover, .framesDiscard:
      []
    case .framesKeep:
      [
        Parameter(name: "last", isRequired: true, limit: 64), Parameter(name: "camera", isRequired: false, limit: 64),
      ]
    case .runStart:
      [
        Parameter(name: "protocol", isRequired: true, limit: ControlServerCodec.maximumMessageBytes),
        Parameter(name: "file", isRequired: true, limit: 4096),
        Parameter(name: "name", isRequired: false, limit: 128),
        Parameter(name: "compression", isRequired: false, limit: 16),
      ]
    case .protocolCheck:
      [
        Parameter(name: "protocol", isRequired: true, limit: ControlServerCodec.maximumMessageBytes),
        Parameter(name: "file", isRequired: true, limit: 4096),
      ]
    case .holder:
      [
        Parameter(name: "action", isRequired: true, limit: 32),
        Parameter(name: "channels", isRequired: false, limit: 256),
        Parameter(name: "value", isRequired: false, limit: 64), Parameter(name: "axis", isRequired: false, limit: 8),
        Parameter(name: "steps", isRequired: false, limit: 16),
        Parameter(name: "points", isRequired: false, limit: 16384),
      ]
    case .beamCalibrate:
      [
        Parameter(name: "camera", isRequired: false, limit: 64), Parameter(name: "time", isRequired: false, limit: 64),
      ]
    case .note: [Parameter(name: "text", isRequired: true, limit: 4096)]
    case .runsShow: [Parameter(name: "id", isRequired: true, limit: 128)]
    }
  }

  /// Nil when `given` fits this method, else what is wrong with it.
  func complaint(about given: [String: JSONValue]) -> ControlError? {
    let known = parameters
    for name in given.keys.sorted() where !known.contains(where: { $0.name == name }) {
      let names = known.map(\.name).joined(separator: ", ")
      return ControlError(
        .usage, "“\(rawValue)” has no parameter “\(name)”",
        remedy: known.isEmpty ? "It takes none." : "It takes: \(names).")
    }
    for parameter in known {
      guard let value = given[parameter.name], !value.isNull else {
        if !parameter.isRequired { continue }
        return ControlError(
          .usage, "“\(rawValue)” needs the parameter “\(parameter.name)”", remedy: "Give it as a text, by name.")
      }
      guard let text = value.string else {
        return ControlError(
          .usage, "“\(rawValue)”: the parameter “\(parameter.name)” is not a text", remedy: "Give it in quotes.")
      }
      guard text.utf8.count <= parameter.limit else {
        return ControlError(
          .usage, "“\(rawValue)”: the parameter “\(parameter.name)” has \(text.utf8.count) bytes",
          remedy: "At most \(parameter.limit) are taken.")
      }
    }
    return nil
  }
}
