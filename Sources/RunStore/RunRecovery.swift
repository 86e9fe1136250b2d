import Linux
package import Quantities
package import SQLite

/// What was found and done with one run that a process left behind.
package struct RecoveryReport: Sendable {
  package var id: String
  package var name: String
  package var directory: String
  /// False: the run had ended, only the catalog did not know; nothing of the run was touched.
  package var wasInterrupted: Bool
  package var framesTaken: Int
  package var findings: [String]
  /// Why the run could not be recovered; nil when it was.
  package var failure: String?

  /// One line for the log.
  package var summary: String {
    if let failure { return "run \(id) could not be recovered: \(failure)" }
    guard wasInterrupted else {
      return "run \(id) “\(name)” had ended; its entry in the catalog was brought up to date"
    }
    let found = findings.isEmpty ? "everything that was written was there" : findings.joined(separator: "; ")
    return "run \(id) “\(name)” was interrupted; \(found)"
  }
}

/// Brings a run back that ended with its process: takes in every frame whose index record was written, names the rest,
/// aligns frames and samples, and marks the run `interrupted` (design §5).
///
/// It may itself be killed at any point and done again: the database is repaired first, then the files, then come the
/// values of the frames, and the run is marked last; each part does nothing where it was done before.
package final class RunRecovery {
  package static let reason = "the daemon ended in the middle of the run"
  /// Cause of gaps and drops that nobody can explain any more.
  package static let cause = "interrupted"

  private static let leftReason = "not recovered: "

  private let run: RunDatabase
  private let cameras: [RunCamera]
  private let segments: [SegmentRecovery]
  private let now: HostClockReading
  private let alignment: RunAlignment.Options
  private var alignmentProblem: String?

  /// Recovers every run that is marked `running`, those included that the catalog does not know. To be called with the lock
  /// of the data directory held and before a run of one's own begins. A run that had ended is not recovered: its entry in
  /// the catalog is mended, and its report says so.
  package static func recoverAll(
    _ catalog: Catalog, now: HostClockReading, alignment: RunAlignment.Options = RunAlignment.Options()
  ) throws(RunStoreError) -> [RecoveryReport] {
    var reports: [RecoveryReport] = []
    let (_, problems) = try catalog.adoptMissing()
    for problem in problems {
      reports.append(
        RecoveryReport(
          id: "", name: "", directory: "", wasInterrupted: false, framesTaken: 0, findings: [], failure: problem))
    }
    // Those that could not be recovered before (a full disk, say) are tried again.
    for entry in try catalog.entries()
    where entry.outcome == .running || entry.outcome == .interrupted && entry.reason?.hasPrefix(leftReason) == true {
      var report = RecoveryReport(
        id: entry.id, name: entry.name, directory: entry.directory, wasInterrupted: false, framesTaken: 0, findings: [],
        failure: nil)
      do throws(RunStoreError) {
        guard let directory = catalog.directory(of: entry) else {
          throw RunStoreError(.notFound, "its directory \(entry.directory) is gone")
        }
        let recovery = try RunRecovery(directory, now: now, alignment: alignment)
        if try recovery.perform() {
          report.wasInterrupted = true
          report.framesTaken = recovery.framesTaken
          report.findings = recovery.findings
        }
        try catalog.set(CatalogEntry(reading: directory))
      } catch {
        report.failure = error.description
        var left = entry
        left.outcome = error.kind == .notFound ? .failed : .interrupted
        left.reason = Self.leftReason + error.description
        try catalog.set(left)
      }
      reports.append(report)
    }
    return reports
  }

  /// Looks at a run and decides what is to be done; changes nothing.
  package init(
    _ directory: RunDirectory, now: HostClockReading, alignment: RunAlignment.Options = RunAlignment.Options()
  ) throws(RunStoreError) {
    self.now = now
    self.alignment = alignment
    run = try RunDatabase.open(directory, .readWrite)
    var segments: [SegmentRecovery] = []
    do throws(DatabaseError) { cameras = try run.cameras() } catch {
      throw RunStoreError(error, in: directory.databasePath)
    }
    // A run that had not come to its cameras yet has no frames; one of version 1 has one camera.
    for camera in cameras.isEmpty ? [.first] : cameras {
      let files = FrameFiles(directory, camera)
      for number in try files.segments() {
        let contents = try SegmentContents(files, number)
        do throws(DatabaseError) {
          segments.append(try SegmentRecovery(run, contents))
        } catch {
          throw RunStoreError(error, in: directory.databasePath)
        }
      }
    }
    self.segments = segments
  }

  package var framesTaken: Int { segments.reduce(0) { $0 + $1.missing.count } }
  package var findings: [String] { segments.flatMap(\.findings) + (alignmentProblem.map { [$0] } ?? []) }

  /// All parts in their order. A run that is over already is only closed.
  /// - Returns: whether there was anything to recover.
  @discardableResult
  package func perform() throws(RunStoreError) -> Bool {
    do throws(DatabaseError) {
      let wasRunning = try isRunning()
      if wasRunning {
        try repairDatabase()
        try repairFiles()
        try align()
        try conclude()
      }
      try run.close()
      return wasRunning
    } catch {
      throw RunStoreError(error, in: run.directory.databasePath)
    }
  }

  private func isRunning() throws(DatabaseError) -> Bool {
    try run.database.rows("SELECT outcome FROM run").first?.text("outcome") == RunOutcome.running.rawValue
  }

  /// First part: rows of frames, and an event for each finding.
  package func repairDatabase() throws(DatabaseError) {
    try run.transaction { () throws(DatabaseError) in
      for segment in segments { try segment.repair(run) }
      try tell(findings)
    }
  }

  /// Second part: sizes and headers of the segments.
  package func repairFiles() throws(DatabaseError) {
    for segment in segments {
      do throws(LinuxError) {
        try segment.repairFiles()
      } catch {
        throw DatabaseError(code: 0, message: "\(segment.contents.path): \(error)", statement: "")
      }
    }
  }

  /// Third part: clock models and the frames' values. What keeps them from being had is told; the run is used without.
  package func align() throws(DatabaseError) {
    do throws(DatabaseError) {
      _ = try RunAlignment.align(database: run.database, options: alignment)
    } catch {
      let problem = "its frames could not be aligned: \(error)"
      alignmentProblem = problem
      try tell([problem])
    }
  }

  /// Last part: gaps, accounts, steps, and the run's end.
  package func conclude() throws(DatabaseError) {
    try run.transaction { () throws(DatabaseError) in
      try recordGaps()
      try recount()
      let ended = try lastSeen()
      let charge = try run.database.rows("SELECT charge_C FROM sample ORDER BY id DESC LIMIT 1").first?.double(
        "charge_C")
      try run.database.run(
        """
        UPDATE step SET ended_raw_ns = max(?1, started_raw_ns), ended_by = ?2, charge_C =
          (SELECT s.charge_C FROM sample s WHERE s.step = step.id ORDER BY s.id DESC LIMIT 1)
          - coalesce((SELECT b.charge_C FROM sample b WHERE b.id <
              (SELECT min(f.id) FROM sample f WHERE f.step = step.id) ORDER BY b.id DESC LIMIT 1), 0)
        WHERE ended_raw_ns IS NULL
        """, .integer(ended.raw), .text(Self.cause))
      try run.finish(
        .interrupted, reason: Self.reason, ended: MonotonicTime(nanoseconds: ended.raw), unixNanoseconds: ended.unix,
        charge: Coulombs(charge ?? 0))
    }
  }

  /// Missing numbers that no gap explains become gaps: whether the camera or this side lost them went down with the process.
  private func recordGaps() throws(DatabaseError) {
    for audit in try GapAudit.all(run) where !audit.unexplained.isEmpty {
      try run.append(
        gaps: audit.unexplained.map {
          GapRecord(
            series: audit.key.series, first: $0.lowerBound, last: $0.upperBound, cause: Self.cause,
            camera: audit.key.camera)
        })
      let numbers = audit.unexplained.prefix(8).map(GapAudit.words).joined(separator: ", ")
      try tell(["\(audit.name): frame numbers \(numbers) are missing without a recorded cause"])
    }
  }

  /// Written is what is there. What was received and is not there was dropped by the interruption.
  private func recount() throws(DatabaseError) {
    var ledgers: [SeriesKey: SeriesLedger] = [:]
    for ledger in try run.ledgers() {
      let key = SeriesKey(camera: ledger.camera, series: ledger.series)
      ledgers[key] = ledger
      ledgers[key]?.written = 0
    }
    for row in try run.database.rows("SELECT camera, series, count(*) AS n FROM frame GROUP BY camera, series") {
      let key = SeriesKey(row)
      ledgers[key, default: Self.empty(key)].written = row.count("n")
    }
    for row in try run.database.rows(
      """
      SELECT camera, series, sum(skipped) AS skipped, sum(merged) AS merged, sum(dropped) AS dropped FROM choice
      GROUP BY camera, series
      """)
    {
      let key = SeriesKey(row)
      // What a file says may be anything; nothing of it may keep the daemon from starting.
      var ledger = ledgers[key, default: Self.empty(key)]
      ledger.skipped = UInt64(max(0, row.integer("skipped") ?? 0))
      ledger.merged = UInt64(max(0, row.integer("merged") ?? 0))
      let dropped = max(0, row.integer("dropped") ?? 0)
      if dropped > 0 { ledger.dropped[SeriesLedger.behindCause] = UInt64(dropped) }
      ledgers[key] = ledger
    }
    for var ledger in ledgers.values {
      let known = ledger.written &+ ledger.skipped &+ ledger.merged &+ ledger.totalDropped
      if ledger.received > known {
        ledger.dropped[Self.cause, default: 0] += ledger.received - known
      }
      ledger.received = max(ledger.received, known)
      // What the steps had of it went down with the process.
      if UInt64(bitPattern: ledger.steps.reduce(0) { $0 &+ $1.received }) != ledger.received { ledger.steps = [] }
      try run.set(ledger: ledger)
    }
  }

  private static func empty(_ key: SeriesKey) -> SeriesLedger {
    SeriesLedger(camera: key.camera, series: key.series, triggered: nil, received: 0, lostAtSource: 0, written: 0)
  }

  /// The last instant of which the run knows something. Not the events of recovery: they are of another boot perhaps.
  private func lastSeen() throws(DatabaseError) -> (raw: Int64, unix: Int64) {
    let row = try run.database.rows(
      """
      SELECT started_raw_ns AS s, started_unix_ns - started_raw_ns AS o, max(started_raw_ns,
        coalesce((SELECT max(arrival_raw_ns) FROM sample), started_raw_ns),
        coalesce((SELECT max(arrival_raw_ns) FROM frame), started_raw_ns),
        coalesce((SELECT max(raw_ns) FROM event WHERE kind <> 'recovery'), started_raw_ns),
        coalesce((SELECT max(raw_ns) FROM note), started_raw_ns),
        coalesce((SELECT max(raw_ns) FROM host_clock), started_raw_ns)) AS e FROM run
      """
    ).first
    let raw = row?.integer("e") ?? 0
    return (raw, raw + (row?.integer("o") ?? 0))
  }

  /// An event for each, once.
  private func tell(_ messages: [String]) throws(DatabaseError) {
    let raw = try lastSeen().raw
    for message in messages {
      try run.database.run(
        """
        INSERT INTO event (raw_ns, unix_ns, kind, message) SELECT ?1, ?2, 'recovery', ?3
        WHERE NOT EXISTS (SELECT 1 FROM event WHERE kind = 'recovery' AND message = ?3)
        """, .integer(raw), .integer(now.unixNanoseconds), .text(message))
    }
  }
}
