import SQLite

extension RunSummary {
  /// Collects the parts from an open database.
  init(_ run: RunDatabase, _ files: [(path: String, bytes: Int64)]) throws(DatabaseError) {
    let database = run.database
    guard let row = try database.rows("SELECT * FROM run").first else {
      throw DatabaseError(code: 0, message: "no run was recorded here", statement: "")
    }
    let startedRaw = row.integer("started_raw_ns") ?? 0
    let startedUnix = row.integer("started_unix_ns") ?? 0
    id = row.text("id") ?? run.directory.id
    name = row.text("name") ?? ""
    sampleID = row.text("sample_id")
    outcome = row.text("outcome").flatMap(RunOutcome.init) ?? .failed
    reason = row.text("reason")
    startedUnixNanoseconds = startedUnix
    endedUnixNanoseconds = row.integer("ended_unix_ns")
    duration_s = row.integer("ended_raw_ns").map { Double($0 - startedRaw) / 1e9 }
    currentSign = row.text("current_sign") ?? ""
    software = row.text("software") ?? ""
    let last = try database.rows("SELECT charge_C FROM sample ORDER BY id DESC LIMIT 1").first?.double("charge_C")
    charge_C = outcome == .running ? last ?? 0 : row.double("charge_C") ?? 0
    samples = try Self.count(database, "sample")
    framesWritten = try Self.count(database, "frame")
    ledgers = try run.ledgers()
    cameras = try run.cameras()
    steps = try Self.steps(database, unixOffset: startedUnix - startedRaw)
    alignment = try Self.alignment(database)
    gaps = try database.rows("SELECT * FROM gap ORDER BY id").map {
      GapRecord(
        series: $0.count("series"), first: $0.count("first_frame"), last: $0.count("last_frame"),
        frames: $0.count("frames"), cause: $0.text("cause") ?? "", camera: Int($0.integer("camera") ?? 0))
    }
    notes = try database.rows("SELECT unix_ns, text FROM note ORDER BY id").map {
      TimedText(unixNanoseconds: $0.integer("unix_ns") ?? 0, kind: "", text: $0.text("text") ?? "")
    }
    events = try database.rows("SELECT unix_ns, kind, message FROM event ORDER BY id").map {
      TimedText(
        unixNanoseconds: $0.integer("unix_ns") ?? 0, kind: $0.text("kind") ?? "", text: $0.text("message") ?? "")
    }
    devices = try database.rows("SELECT * FROM device ORDER BY id").map {
      Device(
        kind: $0.text("kind") ?? "", model: $0.text("model") ?? "", identity: $0.text("identity") ?? "",
        connection: $0.text("connection") ?? "")
    }
    self.files = files
    directory = run.directory
  }

  private static func count(_ database: Database, _ table: String) throws(DatabaseError) -> UInt64 {
    try database.rows("SELECT count(*) AS n FROM \(table)").first?.count("n") ?? 0
  }

  private static func steps(_ database: Database, unixOffset: Int64) throws(DatabaseError) -> [Step] {
    try database.rows("SELECT * FROM step ORDER BY started_raw_ns, id").map { row in
      let started = row.integer("started_raw_ns") ?? 0
      let ended = row.integer("ended_raw_ns")
      return Step(
        index: row.integer("id") ?? 0, cycle: row.integer("cycle") ?? 0, label: row.text("label"),
        sentence: row.text("sentence") ?? "", startedUnixNanoseconds: started + unixOffset,
        endedUnixNanoseconds: ended.map { $0 + unixOffset }, endedBy: row.text("ended_by"),
        charge_C: row.double("charge_C"), duration_s: ended.map { Double($0 - started) / 1e9 })
    }
  }

  private static func alignment(_ database: Database) throws(DatabaseError) -> Alignment {
    let frames = try database.rows(
      "SELECT coalesce(sum(samples > 0), 0) AS met, max(time_uncertainty_s) AS most FROM frame_value")
    let devices = try database.rows(
      """
      SELECT device, rate, max(max(bound_from_s, bound_reference_s, bound_to_s)) AS bound, sum(pairs) AS pairs, method,
             max(segment)
      FROM clock_model GROUP BY device ORDER BY device
      """)
    return Alignment(
      uncertainty_s: try TimeUncertainty(database).percentile(95),
      largestUncertainty_s: frames.first?.double("most"),
      framesWithSamples: frames.first?.count("met") ?? 0,
      devices: devices.map {
        // `rate` is host time per device time: a clock that runs fast has a rate below 1.
        Alignment.Device(
          device: $0.text("device") ?? "", rate_ppm: (1 / ($0.double("rate") ?? 1) - 1) * 1e6,
          bound_s: $0.double("bound") ?? 0, pairs: $0.integer("pairs") ?? 0, method: $0.text("method") ?? "")
      })
  }
}
