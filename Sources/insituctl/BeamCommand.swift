import ControlProtocol
import Quantities

/// What `insituctl beam …` asks for.
enum BeamCommand: Equatable, Sendable {
  case show
  /// The time as it was written.
  case calibrate(camera: String?, time: String?)
  case forget
}

extension CommandForm {
  static let beam: [CommandForm] = [
    CommandForm(words: ["beam", "show"], summary: "the dose rate in force, where it is from, and how old it is"),
    CommandForm(
      words: ["beam", "calibrate"],
      options: [
        OptionForm(name: "--camera", value: "NAME", summary: "the camera that measures, where there are several"),
        OptionForm(name: "--time", value: "TIME", summary: "how long it measures (else 5s)"),
      ], summary: "measure the dose rate with a camera, the beam on vacuum",
      explanation: """
        The beam must be as it will be in the run, and the specimen not in it. The camera needs counts_per_electron and pixel_size
        in the daemon's configuration. Refused while a run goes on. Ctrl-C stops the camera and ends with 130; nothing is kept then.
        """),
    CommandForm(
      words: ["beam", "forget"], summary: "forget the calibration: the configured dose rate is in force again"),
  ]
}

extension CommandParser {
  static func beamCommand(_ form: CommandForm, _ values: [String: String]) throws(ControlError) -> BeamCommand {
    switch form.words[1] {
    case "calibrate":
      if let time = values["--time"] {
        do throws(QuantityError) { _ = try Seconds(parsing: time) } catch { throw usage("\(error)", form) }
      }
      return .calibrate(camera: values["--camera"], time: values["--time"])
    case "forget": return .forget
    default: return .show
    }
  }
}
