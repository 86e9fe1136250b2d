import JSON
import RunStore

/// What checking a run found, as a person reads it.
enum VerificationText {
  /// Findings printed; all that were kept are in the JSON.
  static let mostFindings = 50

  static func lines(_ report: VerificationReport) -> [String] {
    let checked =
      "\(report.framesChecked) frames, \(Wording.bytes(.integer(report.bytesChecked))) of pixels checked"
    guard !report.isSound else { return ["Run \(report.id) is sound: \(checked)."] }
    let count = report.findings.count + report.unlisted
    let shown = report.findings.prefix(mostFindings).map { "  \($0.kind.rawValue)  \($0.description)" }
    let rest = count - shown.count
    return ["Run \(report.id) is damaged: \(count) finding\(count == 1 ? "" : "s"); \(checked)."] + shown
      + (rest > 0 ? ["  and \(rest) more"] : [])
  }
}
