/// How insituctl ends where no error says it (those of errors: `ControlErrorKind.exitCode`).
enum ExitCode {
  static let well: Int32 = 0
  static let tripped: Int32 = 3
  static let failed: Int32 = 4
  static let stopped: Int32 = 5
  /// A run that does not stand up to `runs verify`.
  static let unsound: Int32 = 65

  /// Of `run start --follow`, by the outcome of the run.
  static func of(outcome: String) -> Int32 {
    switch outcome {
    case "complete": well
    case "tripped": tripped
    case "stopped": stopped
    default: failed
    }
  }
}
