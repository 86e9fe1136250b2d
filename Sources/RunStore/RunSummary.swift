import Quantities
import SQLite

/// What a stored run is and holds, for `runs show`, reports and the catalog.
package struct RunSummary: Sendable {
  package struct Step: Sendable {
    package var index: Int64
    package var cycle: Int64
    package var label: String?
    package var sentence: String
    package var startedUnixNanoseconds: Int64
    package var endedUnixNanoseconds: Int64?
    package var endedBy: String?
    package var charge_C: Double?
    package var duration_s: Double?
  }

  /// How well frames and samples are placed in time.
  package struct Alignment: Sendable {
    package struct Device: Sendable {
      package var device: String
      /// How much faster than the host's the device's clock runs, 10⁻⁶.
      package var rate_ppm: Double
      /// Largest bound on its error inside the model's range.
      package var bound_s: Double
      package var pairs: Int64
      package var method: String
    }

    /// 95th percentile of the frames' standard uncertainty, of many frames over every n-th (`TimeUncertainty`); nil when no frame has been aligned.
    package var uncertainty_s: Double?
    package var largestUncertainty_s: Double?
    package var framesWithSamples: UInt64
    package var devices: [Device]
  }

  package struct TimedText: Sendable {
    package var unixNanoseconds: Int64
    /// Empty for a note.
    package var kind: String
    package var text: String
  }

  package struct Device: Sendable {
    package var kind: String
    package var model: String
    package var identity: String
    package var connection: String
  }

  package var id: String
  package var name: String
  package var sampleID: String?
  package var outcome: RunOutcome
  package var reason: String?
  package var startedUnixNanoseconds: Int64
  package var endedUnixNanoseconds: Int64?
  package var duration_s: Double?
  package var currentSign: String
  package var software: String
  package var steps: [Step]
  package var samples: UInt64
  package var charge_C: Double
  /// Rows of `frame`.
  package var framesWritten: UInt64
  package var ledgers: [SeriesLedger]
  package var cameras: [RunCamera]
  package var alignment: Alignment
  package var gaps: [GapRecord]
  package var notes: [TimedText]
  package var events: [TimedText]
  package var devices: [Device]
  package var files: [(path: String, bytes: Int64)]
  package var directory: RunDirectory

  /// Reads a run that is over or still going on.
  package init(reading directory: RunDirectory) throws(RunStoreError) {
    let run = try RunDatabase.open(directory, .readOnly)
    let files = try directory.files()
    do throws(DatabaseError) {
      // One transaction: everything is of the same moment even while the run goes on.
      self = try run.snapshot { () throws(DatabaseError) in try RunSummary(run, files) }
    } catch {
      throw RunStoreError(error, in: directory.databasePath)
    }
  }
}

extension RunDatabase {
  /// Reads with `body` from one state of the file.
  func snapshot<R>(_ body: () throws(DatabaseError) -> R) throws(DatabaseError) -> R {
    try database.execute("BEGIN")
    do throws(DatabaseError) {
      let result = try body()
      try database.execute("COMMIT")
      return result
    } catch {
      try? database.execute("ROLLBACK")
      throw error
    }
  }
}
