package import Quantities
package import SQLite

/// `run.sqlite` of one run. Used by one thread at a time, which batches: many appends in one `transaction`.
///
/// Write-ahead logging with `synchronous = NORMAL`: what a transaction has committed survives the end of the process, a power
/// cut may take the last ones, never the consistency of the file. Others read it meanwhile with a read-only connection.
package final class RunDatabase: @unchecked Sendable {
  package let database: Database
  package let directory: RunDirectory

  private init(_ database: Database, _ directory: RunDirectory) {
    self.database = database
    self.directory = directory
  }

  /// Makes the database of a new run in its directory, with the run marked `running`.
  package static func create(in directory: RunDirectory, _ run: RunRecord) throws(DatabaseError) -> RunDatabase {
    let database = try Database(directory.databasePath, .create)
    try database.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
    try database.transaction { () throws(DatabaseError) in
      try database.execute(Schema.run)
      try database.run(
        """
        INSERT INTO run (id, name, sample_id, protocol_text, protocol_json, outcome, started_raw_ns, started_unix_ns,
                         software, host) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
        """,
        .text(run.id.description), .text(run.name), .optional(run.sampleID), .text(run.protocolText),
        .text(run.protocolJSON), .text(RunOutcome.running.rawValue), .integer(run.started.raw.nanoseconds),
        .integer(run.started.unixNanoseconds), .text(run.software), .text(run.host))
      try database.run(
        "INSERT INTO host_clock VALUES (?1, ?2, ?3)", .integer(run.started.raw.nanoseconds),
        .integer(run.started.monotonicNanoseconds), .integer(run.started.unixNanoseconds))
      for camera in run.cameras {
        try database.run("INSERT INTO camera VALUES (?1, ?2)", .integer(Int64(camera.id)), .text(camera.name))
      }
      try database.execute("PRAGMA user_version = \(Schema.version)")
    }
    return RunDatabase(database, directory)
  }

  /// Opens the database of a run that is there: `.readOnly` for reports and exports, also while the run goes on.
  package static func open(_ directory: RunDirectory, _ access: Database.Access) throws(RunStoreError) -> RunDatabase {
    do throws(DatabaseError) {
      let database = try Database(directory.databasePath, access)
      var version = try Self.version(of: database)
      if version == 1 {
        try bringUp(directory)
        version = try Self.version(of: database)
      }
      guard version == Schema.version else {
        throw DatabaseError(
          code: 0,
          message: version == 0
            ? "no run was recorded here: its tables are missing"
            : "made by another version (\(version), this one knows \(Schema.version)); use a newer insitud",
          statement: "")
      }
      if access != .readOnly { try database.execute("PRAGMA synchronous = NORMAL") }
      return RunDatabase(database, directory)
    } catch {
      throw RunStoreError(error, in: directory.databasePath)
    }
  }

  private static func version(of database: Database) throws(DatabaseError) -> Int64 {
    try database.rows("PRAGMA user_version").first?.integer("user_version") ?? 0
  }

  /// Gives a run of version 1 the tables of today.
  private static func bringUp(_ directory: RunDirectory) throws(DatabaseError) {
    do throws(DatabaseError) {
      let database = try Database(directory.databasePath, .readWrite)
      try database.transaction { () throws(DatabaseError) in
        guard try version(of: database) == 1 else { return }
        try database.execute(Schema.fromVersion1)
        try database.execute("PRAGMA user_version = \(Schema.version)")
      }
    } catch {
      throw DatabaseError(
        code: error.code,
        message:
          "made by an earlier version, and cannot be brought up to date here (\(error.message)); copy the run to "
          + "where it can be written", statement: "")
    }
  }

  /// Commits what `body` did, or nothing of it when it throws.
  package func transaction<R>(_ body: () throws(DatabaseError) -> R) throws(DatabaseError) -> R {
    try database.transaction(body)
  }

  /// Marks the run as ended. What comes after (notes, alignment) may still be added.
  package func finish(
    _ outcome: RunOutcome, reason: String?, ended: MonotonicTime, unixNanoseconds: Int64, charge: Coulombs
  ) throws(DatabaseError) {
    try database.run(
      "UPDATE run SET outcome = ?1, reason = ?2, ended_raw_ns = ?3, ended_unix_ns = ?4, charge_C = ?5",
      .text(outcome.rawValue), .optional(reason), .integer(ended.nanoseconds), .integer(unixNanoseconds),
      .real(charge.value))
  }

  /// Puts everything into the one file and leaves write-ahead logging, so that the file can be opened where nothing can be
  /// written beside it. False when a reader still holds it: then the log stays, and is as good.
  @discardableResult
  package func close() throws(DatabaseError) -> Bool {
    try database.execute("PRAGMA busy_timeout = 1000")
    try database.execute("PRAGMA wal_checkpoint(PASSIVE)")
    do throws(DatabaseError) {
      let mode = try database.rows("PRAGMA journal_mode = DELETE").first?.text("journal_mode")
      return mode == "delete"
    } catch {
      guard error.isBusy else { throw error }
      return false
    }
  }
}
