internal import RunStore
internal import SQLite

/// What a plot of a run shows, read in one pass over samples and frames.
struct PlotData {
  struct Step {
    var number: Int64
    var start: Double
    var end: Double
    var label: String?
    var sentence: String
  }

  struct Flag {
    var time: Double
    var text: String
  }

  struct Gap {
    var from: Double
    var to: Double
    var frames: Int64
  }

  let run: RunSource
  var duration: Double
  var voltage: Trace
  var current: Trace
  var rate: RateTrace
  var steps: [Step] = []
  var notes: [Flag] = []
  var gaps: [Gap] = []
  var samples = 0
  var frames = 0
  var lost: Int64 = 0
  /// 95th percentile of the standard uncertainty of the alignment, s.
  var timeUncertainty: Double?

  init(_ run: RunSource) throws(ExportError) {
    self.run = run
    do throws(DatabaseError) {
      let database = run.database
      func integer(_ query: String) throws(DatabaseError) -> Int64? {
        try database.rows("SELECT (\(query)) AS value").first?.integer("value")
      }
      samples = Int(try integer("SELECT count(*) FROM sample") ?? 0)
      frames = Int(try integer("SELECT count(*) FROM frame") ?? 0)
      lost = try integer("SELECT sum(frames) FROM gap") ?? 0
      lost += try integer("SELECT sum(dropped) FROM choice") ?? 0
      let lastSample = try integer("SELECT max(arrival_raw_ns) FROM sample") ?? run.startedRaw
      let lastFrame = try integer("SELECT max(arrival_raw_ns) FROM frame") ?? run.startedRaw
      duration = max(run.seconds(run.endedRaw ?? max(lastSample, lastFrame)), 1e-3)
      voltage = Trace(duration: duration, expected: samples)
      current = Trace(duration: duration, expected: samples)
      rate = RateTrace(duration: duration, lost: try Self.lostRanges(database))
      try readSamples(database)
      try readFrames(database)
      try readMarks(database)
      timeUncertainty = try TimeUncertainty(database).percentile(95)
    } catch {
      throw ExportError(error, reading: run.path)
    }
  }

  /// Series numbers begin anew with each camera.
  private static let seriesKey = "camera * 4294967296 + series"

  private static func lostRanges(_ database: Database) throws(DatabaseError) -> [Int64: [RateTrace.LostRange]] {
    var ranges: [Int64: [RateTrace.LostRange]] = [:]
    let query = """
      SELECT \(seriesKey), first_frame, last_frame, frames FROM gap
      UNION ALL SELECT \(seriesKey), first_frame, last_frame, dropped FROM choice WHERE dropped > 0 ORDER BY 1, 2
      """
    try database.statement(query).forEach { row in
      ranges[row.integer(0), default: []].append(
        RateTrace.LostRange(first: row.integer(1), last: row.integer(2), frames: row.integer(3)))
    }
    return ranges
  }

  private mutating func readSamples(_ database: Database) throws(DatabaseError) {
    var voltage = voltage
    var current = current
    let run = run
    let query = "SELECT device_time_ns, arrival_raw_ns, voltage_V, current_A FROM sample ORDER BY id"
    try database.statement(query).forEach { row in
      let time = run.seconds(run.sampleTime(device: row.integer(0), arrival: row.integer(1)))
      voltage.append(time, row.optionalDouble(2))
      current.append(time, row.optionalDouble(3))
    }
    self.voltage = voltage
    self.current = current
  }

  private mutating func readFrames(_ database: Database) throws(DatabaseError) {
    var rate = rate
    let run = run
    let query = """
      SELECT f.camera * 4294967296 + f.series, f.frame_number, coalesce(v.start_raw_ns, f.arrival_raw_ns)
      FROM frame f LEFT JOIN frame_value v ON v.frame = f.id ORDER BY f.id
      """
    try database.statement(query).forEach { row in
      rate.append(series: row.integer(0), number: row.integer(1), time: run.seconds(row.integer(2)))
    }
    rate.finish()
    self.rate = rate
    gaps = rate.gaps.map { Gap(from: $0.from, to: $0.to, frames: $0.frames) }
  }

  private mutating func readMarks(_ database: Database) throws(DatabaseError) {
    var steps: [Step] = []
    var notes: [Flag] = []
    var tails: [Gap] = []
    let run = run
    let duration = duration
    let ends = rate.ends
    let query = "SELECT id, started_raw_ns, ended_raw_ns, label, sentence FROM step ORDER BY started_raw_ns, id"
    try database.statement(query).forEach { row in
      steps.append(
        Step(
          number: row.integer(0), start: run.seconds(row.integer(1)),
          end: row.optionalInteger(2).map(run.seconds) ?? duration, label: row.text(3), sentence: row.text(4) ?? ""))
    }
    try database.statement("SELECT raw_ns, text FROM note ORDER BY raw_ns, id").forEach { row in
      notes.append(Flag(time: run.seconds(row.integer(0)), text: row.text(1) ?? ""))
    }
    // Frames lost behind the last one that came are in the table only.
    try database.statement("SELECT \(Self.seriesKey), first_frame, frames FROM gap ORDER BY id").forEach { row in
      if let end = ends[row.integer(0)], row.integer(1) > end.number {
        tails.append(Gap(from: end.time, to: end.time, frames: row.integer(2)))
      }
    }
    self.steps = steps
    self.notes = notes
    gaps = (gaps + tails).sorted { $0.from < $1.from }
  }
}
