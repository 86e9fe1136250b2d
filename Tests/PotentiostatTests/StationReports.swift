import Linux
import Potentiostat
import Quantities

/// What a station has reported, collected.
final class StationReports: Sendable {
  /// Of the station whose reports these are.
  let latch = SafetyLatch()
  private let all = Monitor<[PotentiostatReport]>([])
  func add(_ report: PotentiostatReport) { all.update { $0.append(report) } }

  private var batches: [(samples: [Sample], pairs: [ClockPair])] {
    all.read { $0.compactMap { if case .samples(let samples, let pairs) = $0 { (samples, pairs) } else { nil } } }
  }
  var samples: [Sample] { batches.flatMap(\.samples) }
  var pairs: [ClockPair] { batches.flatMap(\.pairs) }
  var trips: [String] { all.read { $0.compactMap { if case .tripped(let text) = $0 { text } else { nil } } } }
  var notes: [String] {
    all.read { reports in
      reports.flatMap { report in if case .notes(let notes) = report { notes } else { [String]() } }
    }
  }
  /// Instruments that failed or are gone.
  var failures: [String] {
    all.read {
      $0.compactMap {
        switch $0 {
        case .failed(let text), .lost(let text): text
        default: nil
        }
      }
    }
  }
}
