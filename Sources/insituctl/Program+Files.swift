import ControlProtocol
import JSON
import Linux
import Quantities
import RunExport
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

  /// Writes a run's tables and says which files were made.
  func export(_ id: String, format: ExportFormat, to path: String) throws(ControlError) {
    guard path != "-" else {
      throw ControlError(.usage, "an export makes files", remedy: "Give a path: -o run.csv.")
    }
    let directory = try RunSource(invocation).directory(id)
    let files = try exported { () throws(ExportError) in try format.write(run: directory.path, to: path) }
    try output(["files": .array(files.map { .string($0) })]) { _ in files }
  }

  /// Draws a run; “-” is standard output.
  func plot(_ id: String, to path: String) throws(ControlError) {
    let directory = try RunSource(invocation).directory(id)
    if path == "-" {
      guard !invocation.json else {
        throw ControlError(
          .usage, "a plot and a JSON document cannot share standard output", remedy: "Give a file: -o run.svg.")
      }
      console.print(try exported { () throws(ExportError) in try PlotSVG.render(run: directory.path) })
      return
    }
    try exported { () throws(ExportError) in try PlotSVG.write(run: directory.path, to: path) }
    try output(["files": [.string(path)]]) { _ in [path] }
  }

  private func exported<R>(_ body: () throws(ExportError) -> R) throws(ControlError) -> R {
    do throws(ExportError) {
      return try body()
    } catch {
      let kind: ControlErrorKind =
        switch error {
        case .notFound: .noInput
        case .cannotWrite: .cannotCreate
        case .damaged: .data
        }
      throw ControlError(kind, error.description)
    }
  }
}
