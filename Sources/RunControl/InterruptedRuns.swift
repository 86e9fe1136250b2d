import Alignment
package import Journal
import Linux
import Quantities
package import RunStore
import SQLite

/// Runs that ended with their daemon: found again, completed, and marked.
package enum InterruptedRuns {
  /// Recovers them and aligns their frames, so that they can be used like any other.
  /// - Returns: their directories.
  package static func recover(_ catalog: Catalog, doseRate: Double?, _ journal: Journal) throws(RunStoreError)
    -> [RunDirectory]
  {
    var found: [RunDirectory] = []
    for report in try RunRecovery.recoverAll(catalog, now: .now) {
      journal.log(.warning, report.summary)
      guard report.failure == nil,
        let directory = RunDirectory(existing: catalog.data.runsPath + "/" + report.directory)
      else { continue }
      found.append(directory)
      do {
        let run = try RunDatabase.open(directory, .readWrite)
        _ = try RunAlignment.align(database: run.database, options: RunAlignment.Options(doseRate: doseRate))
        try run.close()
      } catch { journal.log(.error, "run \(report.id): its frames could not be aligned: \(error)") }
    }
    return found
  }
}
