package import SQLite

/// The accounts of a run's frames.
extension RunDatabase {
  /// Puts the account of a series in, or replaces it by what is now known. Within a `transaction`.
  package func set(ledger: SeriesLedger) throws(DatabaseError) {
    let camera = Database.Value.integer(Int64(ledger.camera))
    let series = Database.Value.integer(Int64(bitPattern: ledger.series))
    try database.run(
      """
      INSERT OR REPLACE INTO ledger (camera, series, triggered, received, lost_at_source, written, skipped, merged)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
      """,
      camera, series, .optional(ledger.triggered.map { Int64(bitPattern: $0) }), .count(ledger.received),
      .count(ledger.lostAtSource), .count(ledger.written), .count(ledger.skipped), .count(ledger.merged))
    try database.run("DELETE FROM ledger_drop WHERE camera = ?1 AND series = ?2", camera, series)
    for (cause, frames) in ledger.dropped where frames > 0 {
      try database.run(
        "INSERT INTO ledger_drop (camera, series, cause, frames) VALUES (?1, ?2, ?3, ?4)", camera, series,
        .text(cause), .count(frames))
    }
    try database.run("DELETE FROM ledger_step WHERE camera = ?1 AND series = ?2", camera, series)
    for step in ledger.steps {
      try database.run(
        "INSERT INTO ledger_step VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)", camera, series,
        .integer(step.step.map { Int64($0) } ?? -1), .integer(step.received), .integer(step.lostAtSource),
        .integer(step.written), .integer(step.skipped), .integer(step.merged), .integer(step.dropped))
    }
  }

  /// The accounts as they are stored, by camera and series.
  package func ledgers() throws(DatabaseError) -> [SeriesLedger] {
    var drops: [SeriesKey: [String: UInt64]] = [:]
    for row in try database.rows("SELECT camera, series, cause, frames FROM ledger_drop") {
      drops[SeriesKey(row), default: [:]][row.text("cause") ?? ""] = row.count("frames")
    }
    var steps: [SeriesKey: [StepLedger]] = [:]
    for row in try database.rows("SELECT * FROM ledger_step ORDER BY camera, series, step") {
      let step = row.integer("step") ?? -1
      steps[SeriesKey(row), default: []].append(
        StepLedger(
          step: step < 0 ? nil : UInt32(truncatingIfNeeded: step), received: row.integer("received") ?? 0,
          lostAtSource: row.integer("lost_at_source") ?? 0, written: row.integer("written") ?? 0,
          skipped: row.integer("skipped") ?? 0, merged: row.integer("merged") ?? 0,
          dropped: row.integer("dropped") ?? 0))
    }
    return try database.rows("SELECT * FROM ledger ORDER BY camera, series").map { row in
      let key = SeriesKey(row)
      var ledger = SeriesLedger(
        camera: key.camera, series: key.series, triggered: row.integer("triggered").map { UInt64(bitPattern: $0) },
        received: row.count("received"), lostAtSource: row.count("lost_at_source"), written: row.count("written"),
        dropped: drops[key] ?? [:])
      ledger.skipped = row.count("skipped")
      ledger.merged = row.count("merged")
      ledger.steps = steps[key] ?? []
      return ledger
    }
  }

  /// Frames that nobody wanted, or that are in a sum.
  package func append(choices: [ChoiceRecord]) throws(DatabaseError) {
    let insert = try database.statement(
      """
      INSERT INTO choice (camera, series, first_frame, last_frame, skipped, merged, dropped, rule)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
      """)
    for choice in choices {
      try insert.run([
        .integer(Int64(choice.camera)), .count(choice.series), .count(choice.first), .count(choice.last),
        .integer(choice.skipped), .integer(choice.merged), .integer(choice.dropped), .text(choice.rule),
      ])
    }
  }

  /// What the pass over the pixels found, for frames that are appended already.
  package func append(statistics: [StoredStatistics], of camera: RunCamera) throws(DatabaseError) {
    let insert = try database.statement(
      "INSERT OR REPLACE INTO frame_statistics VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")
    for row in statistics {
      try insert.run([
        .integer(camera.row(of: row.position)), .count(row.sum), .real(row.mean), .integer(Int64(row.minimum)),
        .integer(Int64(row.maximum)), .count(row.saturated), .optional(row.change),
        row.regionMeans.isEmpty ? .null : .text("[" + row.regionMeans.map { "\($0)" }.joined(separator: ",") + "]"),
        .optional(row.counted?.value), .optional(row.counted?.uncertainty),
      ])
    }
  }
}

/// One series of one camera of a run.
struct SeriesKey: Hashable, Comparable {
  var camera: Int
  var series: UInt64

  init(camera: Int, series: UInt64) {
    self.camera = camera
    self.series = series
  }

  /// From a row with the columns `camera` and `series`.
  init(_ row: Database.Row) {
    self.init(camera: Int(row.integer("camera") ?? 0), series: row.count("series"))
  }

  static func < (a: SeriesKey, b: SeriesKey) -> Bool { (a.camera, a.series) < (b.camera, b.series) }
}

extension Database.Value {
  /// A count, or a number that the camera gave.
  static func count(_ value: UInt64) -> Database.Value { .integer(Int64(bitPattern: value)) }
}
