import SQLite

/// `catalog.sqlite`: the list of all runs. It says nothing that the run directories do not say as well: when it is lost, it is
/// made again from them. Used by one thread at a time.
package final class Catalog: @unchecked Sendable {
  /// How many ids the message about an ambiguous prefix names.
  private static let mostNamed = 8

  package let data: DataDirectory
  private let database: Database

  /// Opens the catalog, for the daemon: made when it is not there.
  package init(_ data: DataDirectory) throws(RunStoreError) {
    self.data = data
    do throws(DatabaseError) {
      database = try Database(data.catalogPath, .create)
      try Self.prepare(database)
    } catch {
      throw RunStoreError(error, in: data.catalogPath)
    }
  }

  /// Opens a catalog that is there, for looking only.
  package init(reading data: DataDirectory) throws(RunStoreError) {
    self.data = data
    do throws(DatabaseError) {
      database = try Database(data.catalogPath, .readOnly)
    } catch {
      throw RunStoreError(error, in: data.catalogPath)
    }
  }

  private static func prepare(_ database: Database) throws(DatabaseError) {
    try database.transaction { () throws(DatabaseError) in
      let version = try database.rows("PRAGMA user_version").first?.integer("user_version") ?? 0
      if version == Schema.catalogVersion { return }
      guard version == 0 else {
        throw DatabaseError(
          code: 0, message: "made by another version (\(version), this one knows \(Schema.catalogVersion))",
          statement: "")
      }
      try database.execute(Schema.catalog)
      try database.execute("PRAGMA user_version = \(Schema.catalogVersion)")
    }
  }

  /// Puts a run in, or what is now known of it.
  package func set(_ entry: CatalogEntry) throws(RunStoreError) {
    do throws(DatabaseError) {
      try database.run(
        """
        INSERT INTO run (id, name, sample_id, directory, outcome, reason, started_unix_ns, ended_unix_ns, samples,
                         frames_written, size_bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
        ON CONFLICT (id) DO UPDATE SET name = ?2, sample_id = ?3, directory = ?4, outcome = ?5, reason = ?6,
          started_unix_ns = ?7, ended_unix_ns = ?8, samples = ?9, frames_written = ?10, size_bytes = ?11
        """,
        .text(entry.id), .text(entry.name), .optional(entry.sampleID), .text(entry.directory),
        .text(entry.outcome.rawValue), .optional(entry.reason), .integer(entry.startedUnixNanoseconds),
        .optional(entry.endedUnixNanoseconds), .integer(Int64(entry.samples)), .integer(Int64(entry.framesWritten)),
        .integer(entry.sizeBytes))
    } catch {
      throw RunStoreError(error, in: data.catalogPath)
    }
  }

  /// All runs, newest first.
  package func entries(limit: Int = .max) throws(RunStoreError) -> [CatalogEntry] {
    try select("ORDER BY started_unix_ns DESC, id DESC LIMIT ?1", .integer(Int64(limit)))
  }

  /// The one run that `reference` means: `last` (the newest), an id, a name (of several runs of that name the newest), or
  /// the beginning of one id only. Ids may be in small letters.
  package func find(_ reference: String) throws(RunStoreError) -> CatalogEntry {
    if reference == "last" {
      if let newest = try entries(limit: 1).first { return newest }
      throw RunStoreError(.notFound, "there is no run yet in \(data.path)")
    }
    if let named = try select("WHERE name = ?1 ORDER BY started_unix_ns DESC, id DESC LIMIT 1", .text(reference)).first
    {
      return named
    }
    let prefix = reference.uppercased()
    let length = Int64(prefix.unicodeScalars.count)
    let found =
      prefix.isEmpty
      ? [] : try select("WHERE substr(id, 1, ?2) = ?1 ORDER BY started_unix_ns DESC", .text(prefix), .integer(length))
    if found.count == 1 { return found[0] }
    guard !found.isEmpty else {
      throw RunStoreError(
        .notFound,
        "no run “\(reference)”: neither an id, nor the beginning of one, nor a name; `insituctl runs` lists them"
      )
    }
    let ids = found.prefix(Self.mostNamed).map { "\($0.id) (\($0.name))" }.joined(separator: ", ")
    let more = found.count > Self.mostNamed ? " and \(found.count - Self.mostNamed) more" : ""
    throw RunStoreError(
      .ambiguous, "“\(reference)” begins the ids of \(found.count) runs: \(ids)\(more); give more of it")
  }

  /// The directory of an entry; nil when it is gone.
  package func directory(of entry: CatalogEntry) -> RunDirectory? {
    RunDirectory(existing: "\(data.runsPath)/\(entry.directory)")
  }

  /// Takes in the runs whose directories are there and that the catalog does not know.
  /// - Returns: what was taken in, and which directories could not be read and why.
  package func adoptMissing() throws(RunStoreError) -> (adopted: [CatalogEntry], problems: [String]) {
    let known = Set(try entries().map(\.id))
    var adopted: [CatalogEntry] = []
    var problems: [String] = []
    for directory in try data.runDirectories() where !known.contains(directory.id) {
      do throws(RunStoreError) {
        let entry = try CatalogEntry(reading: directory)
        try set(entry)
        adopted.append(entry)
      } catch {
        problems.append("\(directory.path): \(error)")
      }
    }
    return (adopted, problems)
  }

  private func select(_ rest: String, _ values: Database.Value...) throws(RunStoreError) -> [CatalogEntry] {
    var entries: [CatalogEntry] = []
    do throws(DatabaseError) {
      try database.statement("SELECT * FROM run " + rest).forEach(values) { entries.append(CatalogEntry($0)) }
    } catch {
      throw RunStoreError(error, in: data.catalogPath)
    }
    return entries
  }
}

extension CatalogEntry {
  /// From `SELECT * FROM run` of the catalog: columns in the order of the schema.
  fileprivate init(_ row: Statement) {
    self.init(
      id: row.text(0) ?? "", name: row.text(1) ?? "", sampleID: row.text(2), directory: row.text(3) ?? "",
      outcome: row.text(4).flatMap(RunOutcome.init) ?? .failed, reason: row.text(5),
      startedUnixNanoseconds: row.integer(6), endedUnixNanoseconds: row.optionalInteger(7),
      samples: UInt64(bitPattern: row.integer(8)), framesWritten: UInt64(bitPattern: row.integer(9)),
      sizeBytes: row.integer(10))
  }
}
