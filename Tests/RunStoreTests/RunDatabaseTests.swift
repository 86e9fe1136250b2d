import JSON
import Linux
import Quantities
import RunStore
import SQLite
import Testing

/// A run with two steps, ten samples, frames 0–5 and 8–9 of series 1 and the gap between, all accounts balanced.
func filledRun(_ temporary: TemporaryData, name: String = "2 pA", at seconds: Int64 = 0, ended: Bool = true) throws
  -> RunDatabase
{
  let run = try temporary.run(name, at: seconds)
  let shape = FrameShape(width: 32, height: 16, bytesPerPixel: 2)
  try record(run, shape, numbers: [0, 1, 2, 3, 4, 5, 8, 9])
  let start = MonotonicTime(nanoseconds: 1_000_000_000)
  try run.transaction { () throws(DatabaseError) in
    try run.set(device: DeviceRecord(kind: "camera", model: "shm", identity: "A", connection: "old"))
    try run.set(device: DeviceRecord(kind: "camera", model: "shm", identity: "B", connection: "twin-camera"))
    try run.begin(step: StepRecord(index: 0, cycle: 0, label: nil, sentence: "Rest for 1 s", line: 9, started: start))
    try run.end(step: 0, at: start + Seconds(1), by: "1 s over", charge: .zero)
    try run.begin(
      step: StepRecord(
        index: 1, cycle: 2, label: "charge", sentence: "Charge at 2 pA for 1 h", line: 10, started: start + Seconds(1)))
    try run.append(samples: samples(from: start))
    try run.append(readings: [
      ReadingRecord(time: start, device: "holder", quantity: "temperature", value: 300.15, unit: "K")
    ])
    try run.append(gaps: [GapRecord(series: 0, first: 6, last: 7, cause: "lost at source")])
    try run.append(
      clockPairs: [ClockPair(deviceNanoseconds: 7, earliest: start, latest: nil)], device: "potentiostat")
    try run.append(
      hostClock: HostClockReading(
        raw: start + Seconds(0.5), monotonicNanoseconds: 5, unixNanoseconds: 1_000_500_000_000))
    try run.append(note: "dendrite starts", at: start + Seconds(0.7), unixNanoseconds: 1_000_700_000_000)
    try run.append(
      event: EventRecord(
        time: start, unixNanoseconds: 1_000_000_000_000, kind: "output", message: "output on", detailsJSON: "{}"))
    try run.set(ledger: SeriesLedger(series: 0, triggered: nil, received: 3, lostAtSource: 0, written: 3))
    try run.set(
      ledger: SeriesLedger(
        series: 0, triggered: 11, received: 9, lostAtSource: 2, written: 8, dropped: ["ring full": 1]))
  }
  if ended {
    try run.transaction { () throws(DatabaseError) in
      try run.append(gaps: [GapRecord(series: 0, first: 10, last: 10, cause: "ring full")])
      try run.end(step: 1, at: start + Seconds(3), by: "stopped", charge: Coulombs(1e-12))
      try run.finish(
        .stopped, reason: "by the operator", ended: start + Seconds(3), unixNanoseconds: 1_003_000_000_000,
        charge: Coulombs(1.8e-12))
    }
  }
  return run
}

/// One sample each 0.1 s, the fourth without a voltage, charging at 2 pA; the second half belongs to step 1.
private func samples(from start: MonotonicTime) -> [StoredSample] {
  (0..<10).map { k -> StoredSample in
    let sample = Sample(
      deviceNanoseconds: 5_000_000_000 + Int64(k) * 100_000_000, arrival: start + Seconds(0.1 * Double(k)),
      voltage: k == 3 ? nil : Volts(3 + 0.01 * Double(k)), current: Amperes(2e-12), range: Amperes(1e-10),
      aperture: Seconds(0.01), flags: k == 3 ? .overflow : [])
    return StoredSample(sample, step: k < 5 ? 0 : 1, charge: Coulombs(Double(k) * 2e-13))
  }
}

@Suite("The database of a run")
struct RunDatabaseTests {
  @Test("samples are seen in Battery Data Format columns, missing values left out")
  func bdf() throws {
    let temporary = try TemporaryData()
    let run = try filledRun(temporary)
    let columns = try run.database.statement("SELECT * FROM bdf").columnNames
    #expect(
      columns == [
        "test_time_second", "voltage_volt", "current_ampere", "unix_time_second", "cycle_count", "step_count",
      ])
    let rows = try run.database.rows("SELECT * FROM bdf")
    #expect(rows.count == 9)
    #expect(rows[0].double("test_time_second") == 0)
    #expect(rows[8].double("test_time_second") == 0.9)
    #expect(rows[8].double("current_ampere") == 2e-12)
    #expect(rows[8].double("unix_time_second") == 1000.9)
    #expect(rows[0].integer("cycle_count") == 0)
    #expect(rows[8].integer("cycle_count") == 2)
    #expect(rows[8].integer("step_count") == 1)
  }

  @Test("another connection reads while the run is written, and sees what is committed")
  func readersDuringRun() throws {
    let temporary = try TemporaryData()
    let run = try filledRun(temporary, ended: false)
    let reader = try RunDatabase.open(run.directory, .readOnly)
    let before = try reader.database.rows("SELECT count(*) AS n FROM sample")[0].integer("n")
    #expect(before == 10)
    try run.transaction { () throws(DatabaseError) in
      try run.append(note: "later", at: MonotonicTime(nanoseconds: 2_000_000_000), unixNanoseconds: 0)
      let during = try reader.database.rows("SELECT count(*) AS n FROM note")[0].integer("n")
      #expect(during == 1)
    }
    #expect(try reader.database.rows("SELECT count(*) AS n FROM note")[0].integer("n") == 2)
    #expect(throws: DatabaseError.self) { try reader.database.execute("DELETE FROM note") }
  }

  @Test("a closed run is one file that needs nothing beside it")
  func closed() throws {
    let temporary = try TemporaryData()
    let directory = try {
      let run = try filledRun(temporary)
      #expect(FileSystem.exists(run.directory.databasePath + "-wal"))
      #expect(try run.close())
      return run.directory
    }()
    #expect(!FileSystem.exists(directory.databasePath + "-wal"))
    #expect(!FileSystem.exists(directory.databasePath + "-shm"))
    let again = try RunDatabase.open(directory, .readOnly)
    #expect(try again.database.rows("PRAGMA journal_mode")[0].text("journal_mode") == "delete")
  }

  @Test("a batch that fails leaves nothing of itself")
  func batches() throws {
    let temporary = try TemporaryData()
    let run = try filledRun(temporary)
    #expect(throws: DatabaseError.self) {
      try run.transaction { () throws(DatabaseError) in
        try run.append(note: "half", at: MonotonicTime(nanoseconds: 0), unixNanoseconds: 0)
        try run.begin(
          step: StepRecord(
            index: 0, cycle: 0, label: nil, sentence: "again", line: 1, started: MonotonicTime(nanoseconds: 0)))
      }
    }
    #expect(try run.database.rows("SELECT * FROM note").count == 1)
  }

  @Test("a file that is no run says so")
  func notARun() throws {
    let temporary = try TemporaryData()
    let directory = try RunDirectory.create(in: temporary.data, id: ULID(unixNanoseconds: 5), name: "x")
    #expect(throws: RunStoreError.self) { try RunDatabase.open(directory, .readOnly) }
    try FileSystem.replace(directory.databasePath, with: [])
    let error = #expect(throws: RunStoreError.self) { try RunDatabase.open(directory, .readOnly) }
    #expect(error?.description.contains("tables are missing") == true)
    try FileSystem.replace(directory.databasePath, with: Array("not a database at all, but long enough".utf8))
    #expect(throws: RunStoreError.self) { try RunDatabase.open(directory, .readOnly) }
  }

  @Test("the summary has everything a report needs")
  func summary() throws {
    let temporary = try TemporaryData()
    let run = try filledRun(temporary)
    try run.database.execute(
      """
      INSERT INTO frame_value (frame, start_raw_ns, stop_raw_ns, time_uncertainty_s, samples)
        SELECT id, 0, 1, 1e-5 * (id + 1), id % 2 FROM frame;
      INSERT INTO clock_model VALUES ('camera', 0, 0, 9, 5, 5, 0.99996, 1e-4, 5e-5, 2e-4, 1e-6, 40, 'two-sided bound');
      """)
    let json = try RunSummary(reading: run.directory).json
    #expect(json["name"] == "2 pA")
    #expect(json["outcome"] == "stopped")
    #expect(json["reason"] == "by the operator")
    #expect(json["started"] == "1970-01-01T00:16:40.000Z")
    #expect(json["ended"] == "1970-01-01T00:16:43.000Z")
    #expect(json["duration_s"]?.double == 3)
    #expect(json["sample_id"] == "lamella-1")
    #expect(json["samples"] == 10)
    #expect(json["charge_C"]?.double == 1.8e-12)
    let frames: JSONValue = [
      "triggered": 11, "received": 9, "written": 8, "skipped": 0, "merged": 0, "lost_at_source": 2,
      "dropped": ["ring full": 1],
    ]
    #expect(json["frames"] == frames)
    #expect(json["ledger"]?["balanced"] == true)
    #expect(json["ledger"]?["difference"] == 0)
    #expect(json["ledger"]?["series"]?.array?.count == 1)
    #expect(abs((json["alignment"]?["uncertainty_s"]?.double ?? 0) - 8e-5) < 1e-12)
    #expect(json["alignment"]?["frames_with_samples"] == 4)
    let device = try #require(json["alignment"]?["devices"]?.array?.first)
    #expect(device["bound_s"]?.double == 2e-4)
    #expect(abs((device["rate_ppm"]?.double ?? 0) - 40) < 0.01)
    let steps = try #require(json["steps"]?.array)
    #expect(steps.count == 2)
    #expect(steps[1]["label"] == "charge")
    #expect(steps[1]["cycle"] == 2)
    #expect(steps[1]["ended_by"] == "stopped")
    #expect(steps[1]["duration_s"]?.double == 2)
    #expect(steps[1]["started"] == "1970-01-01T00:16:41.000Z")
    #expect(json["gaps"]?.array?.count == 2)
    #expect(json["notes"]?.array?.first?["text"] == "dendrite starts")
    #expect(json["events"]?.array?.first?["kind"] == "output")
    #expect(json["devices"]?.array?.first?["identity"] == "B")
    let files = try #require(json["files"]?.array)
    let pixels = files.first { $0["path"]?.string?.hasSuffix("frames-0000.mrc") == true }
    #expect(pixels?["bytes"] == 12288)
    #expect(json["directory"]?.string == run.directory.path)
  }

  @Test("an account with an unknown number of triggers does not balance, and one of nothing does")
  func unknownTriggers() throws {
    let temporary = try TemporaryData()
    let run = try temporary.run("empty")
    let empty = try RunSummary(reading: run.directory).json
    #expect(empty["ledger"]?["balanced"] == true)
    #expect(empty["frames"]?["triggered"] == 0)
    #expect(empty["ended"] == .null)
    #expect(empty["alignment"]?["uncertainty_s"] == .null)
    try run.set(ledger: SeriesLedger(series: 4, triggered: nil, received: 0, lostAtSource: 0, written: 0))
    let unknown = try RunSummary(reading: run.directory).json
    #expect(unknown["frames"]?["triggered"] == .null)
    #expect(unknown["ledger"]?["balanced"] == false)
    #expect(unknown["ledger"]?["reason"]?.string?.contains("series 4") == true)
  }
}
