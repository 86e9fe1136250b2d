package import JSON

/// A run as the catalog lists it.
package struct CatalogEntry: Hashable, Sendable {
  package var id: String
  package var name: String
  package var sampleID: String?
  /// Name of the run's directory below `runs/`.
  package var directory: String
  package var outcome: RunOutcome
  package var reason: String?
  package var startedUnixNanoseconds: Int64
  package var endedUnixNanoseconds: Int64?
  package var samples: UInt64
  package var framesWritten: UInt64
  package var sizeBytes: Int64

  package init(
    id: String, name: String, sampleID: String?, directory: String, outcome: RunOutcome = .running,
    reason: String? = nil, startedUnixNanoseconds: Int64, endedUnixNanoseconds: Int64? = nil, samples: UInt64 = 0,
    framesWritten: UInt64 = 0, sizeBytes: Int64 = 0
  ) {
    self.id = id
    self.name = name
    self.sampleID = sampleID
    self.directory = directory
    self.outcome = outcome
    self.reason = reason
    self.startedUnixNanoseconds = startedUnixNanoseconds
    self.endedUnixNanoseconds = endedUnixNanoseconds
    self.samples = samples
    self.framesWritten = framesWritten
    self.sizeBytes = sizeBytes
  }

  package var json: JSONValue {
    [
      "id": .string(id), "name": .string(name), "sample_id": .optional(sampleID), "directory": .string(directory),
      "outcome": .string(outcome.rawValue), "reason": .optional(reason),
      "started": .string(UTCTime.text(unixNanoseconds: startedUnixNanoseconds)),
      "ended": .optional(endedUnixNanoseconds.map { UTCTime.text(unixNanoseconds: $0) }),
      "samples": .integer(Int64(samples)), "frames_written": .integer(Int64(framesWritten)),
      "size_bytes": .integer(sizeBytes),
    ]
  }
}

extension CatalogEntry {
  /// What a run's own database and files say of it.
  package init(reading directory: RunDirectory) throws(RunStoreError) {
    let summary = try RunSummary(reading: directory)
    self.init(summary)
  }

  package init(_ summary: RunSummary) {
    self.init(
      id: summary.id, name: summary.name, sampleID: summary.sampleID, directory: summary.directory.name,
      outcome: summary.outcome, reason: summary.reason, startedUnixNanoseconds: summary.startedUnixNanoseconds,
      endedUnixNanoseconds: summary.endedUnixNanoseconds, samples: summary.samples,
      framesWritten: summary.framesWritten, sizeBytes: summary.files.reduce(0) { $0 + $1.bytes })
  }
}
