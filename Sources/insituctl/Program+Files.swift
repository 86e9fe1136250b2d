import ControlProtocol
import JSON
import Linux
import Quantities
import RunStore

extension Program {
  /// Checks a run's files; code 65 when something is wrong with them.
  func verify(_ id: String) throws(ControlError) -> Int32 {
    let directory = try RunSource(invocation).directory(id)
    var shown = MonotonicTime.now
    let redraw = invocation.quiet ? nil : console.redraw
    let report = try translated { () throws(RunStoreError) in
      try RunVerification.verify(directory) { done, total in
        let now = MonotonicTime.now
        guard let redraw, total > 0, now - shown >= FollowProgress.period else { return }
        shown = now
        redraw("checked \(Wording.bytes(.integer(done))) of \(Wording.bytes(.integer(total)))")
      }
    }
    redraw?("")
    try output(report.json) { _ in VerificationText.lines(report) }
    return report.isSound ? ExitCode.well : ExitCode.unsound
  }

  func export(_ id: String, format: String, to path: String) throws(ControlError) {
    throw ControlError(.software, "not yet")
  }
  func plot(_ id: String, to path: String) throws(ControlError) { throw ControlError(.software, "not yet") }
}
