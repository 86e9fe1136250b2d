package import Alignment
package import Journal
import Linux
import Quantities
package import RunStore

/// Runs that ended with their daemon: found again, completed, aligned and marked.
package enum InterruptedRuns {
  /// - Returns: the directories of those that were interrupted and could be recovered.
  package static func recover(_ catalog: Catalog, doseRate: DoseRate?, _ journal: Journal) throws(RunStoreError)
    -> [RunDirectory]
  {
    let alignment = RunAlignment.Options(doseRate)
    let reports = try RunRecovery.recoverAll(catalog, now: .now, alignment: alignment)
    for report in reports {
      let isMere = report.failure == nil && !report.wasInterrupted
      journal.log(isMere ? .info : .warning, report.summary)
    }
    return reports.filter { $0.failure == nil && $0.wasInterrupted }.compactMap {
      RunDirectory(existing: catalog.data.runsPath + "/" + $0.directory)
    }
  }
}

extension RunAlignment.Options {
  /// The dose of frames at this rate; none is told without one.
  init(_ doseRate: DoseRate?) {
    self.init()
    guard let rate = doseRate?.rate else { return }
    self.doseRate = rate.value
    doseRateUncertainty = rate.relative
  }
}
