import JSON
import Linux
import Quantities
import RunStore
import SQLite
import Testing

@Suite("Runs of earlier versions")
struct MigrationTests {
  /// A run of version 1: one series of five frames, of which three are written and one was lost.
  private func oldRun(_ temporary: TemporaryData) throws -> RunDirectory {
    let directory = try RunDirectory.create(in: temporary.data, id: ULID(unixNanoseconds: 1_000), name: "old")
    let database = try Database(directory.databasePath, .create)
    try database.execute(schemaOfVersion1)
    try database.execute(
      """
      INSERT INTO run (id, name, protocol_text, protocol_json, outcome, started_raw_ns, started_unix_ns, software, host)
        VALUES ('old', 'old', '', '{}', 'complete', 1, 2, 'insitud 0', 'bench');
      INSERT INTO frame VALUES (0,1,0,10,5,20,0,NULL,0,4096,1), (1,1,1,20,5,30,0,0,0,8192,2), (2,1,4,50,5,60,0,0,0,12288,3);
      INSERT INTO frame_value (frame, start_raw_ns, stop_raw_ns, time_uncertainty_s, samples) VALUES (1, 3, 4, 1e-4, 2);
      INSERT INTO gap (series, first_frame, last_frame, frames, cause) VALUES (1, 2, 2, 1, 'lost at source');
      INSERT INTO ledger VALUES (1, 5, 4, 1, 3);
      INSERT INTO ledger_drop VALUES (1, 'ring_full', 1);
      PRAGMA user_version = 1;
      """)
    return directory
  }

  @Test("a run of version 1 is brought up to date when it is opened, and keeps everything")
  func bringsUp() throws {
    let temporary = try TemporaryData()
    let directory = try oldRun(temporary)
    let summary = try RunSummary(reading: directory)
    #expect(summary.framesWritten == 3)
    #expect(summary.cameras == [.first])
    #expect(
      summary.ledgers == [
        SeriesLedger(series: 1, triggered: 5, received: 4, lostAtSource: 1, written: 3, dropped: ["ring_full": 1])
      ])
    #expect(summary.ledger.isBalanced)
    #expect(summary.gaps == [GapRecord(series: 1, first: 2, last: 2, cause: "lost at source")])
    let run = try RunDatabase.open(directory, .readOnly)
    let rows = try run.database.rows("SELECT * FROM frame_with_values")
    #expect(rows.count == 3)
    #expect(rows[1].integer("samples") == 2)
    #expect(rows[1].integer("camera") == 0)
    #expect(try run.database.rows("PRAGMA user_version").first?.integer("user_version") == Schema.version)
  }

  @Test("a second opening changes nothing more")
  func onceOnly() throws {
    let temporary = try TemporaryData()
    let directory = try oldRun(temporary)
    _ = try RunSummary(reading: directory)
    let tables = try RunDatabase.open(directory, .readOnly).database.rows("SELECT sql FROM sqlite_master").count
    let again = try RunDatabase.open(directory, .readWrite)
    #expect(try again.database.rows("SELECT sql FROM sqlite_master").count == tables)
    #expect(try again.ledgers().count == 1)
  }

  @Test("the tables of a new run and of one that was brought up have the same columns")
  func sameColumns() throws {
    let temporary = try TemporaryData()
    let old = try oldRun(temporary)
    _ = try RunSummary(reading: old)
    let new = try temporary.run("new")
    func columns(_ database: Database) throws -> [String: Set<String>] {
      var result: [String: Set<String>] = [:]
      for table in try database.rows("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')") {
        let name = table.text("name") ?? ""
        result[name] = Set(
          try database.rows("SELECT name FROM pragma_table_info('\(name)')").compactMap { $0.text("name") })
      }
      return result
    }
    #expect(try columns(RunDatabase.open(old, .readOnly).database) == columns(new.database))
  }

  @Test("frames of two cameras are apart in files, rows and accounts")
  func twoCameras() throws {
    let temporary = try TemporaryData()
    let run = try temporary.run("two")
    let second = RunCamera(id: 1, name: "diffraction")
    try run.database.run("INSERT INTO camera VALUES (1, 'diffraction')")
    let shape = FrameShape(width: 16, height: 8, bytesPerPixel: 2)
    try record(run, shape, numbers: [0, 1, 2])
    var stored: [StoredFrame] = []
    let writer = SegmentWriter(FrameFiles(run.directory, second), .small) { stored += $0 }
    for k in 0..<4 where k != 2 { try writer.write(shape, k, number: k) }
    try writer.close()
    try run.transaction { () throws(DatabaseError) in
      try run.append(frames: stored, of: second)
      try run.append(gaps: [GapRecord(series: 0, first: 2, last: 2, cause: "lost at source", camera: 1)])
      for (camera, written, lost) in [(0, 3, 0), (1, 3, 1)] as [(Int, UInt64, UInt64)] {
        try run.set(
          ledger: SeriesLedger(
            camera: camera, series: 0, triggered: written + lost, received: written, lostAtSource: lost,
            written: written))
      }
      try run.finish(
        .complete, reason: nil, ended: MonotonicTime(nanoseconds: 2_000_000_000), unixNanoseconds: 5, charge: .zero)
    }
    #expect(FileSystem.size(of: run.directory.path + "/frames-diffraction-0000.mrc") == Int64(4096 + 3 * 256))
    let report = try RunVerification.verify(run.directory)
    #expect(report.findings.isEmpty, "\(report.findings)")
    #expect(report.framesChecked == 6)
    #expect(try RunSummary(reading: run.directory).ledger.isBalanced)

    // The gap of one camera explains nothing of the other.
    try run.database.run("UPDATE gap SET camera = 0")
    let wrong = try RunVerification.verify(run.directory).findings.map(\.kind)
    #expect(wrong == [.gap, .gap])
  }

  @Test("frames that were left out by choice are explained, and counted")
  func choices() throws {
    let temporary = try TemporaryData()
    let run = try temporary.run("choice")
    let shape = FrameShape(width: 16, height: 8, bytesPerPixel: 2)
    try record(run, shape, numbers: [0, 10, 20])
    var ledger = SeriesLedger(series: 0, triggered: 25, received: 24, lostAtSource: 1, written: 3)
    ledger.skipped = 21
    ledger.steps = [StepLedger(step: 1, received: 24, lostAtSource: 1, written: 3, skipped: 21)]
    try run.transaction { () throws(DatabaseError) in
      try run.set(ledger: ledger)
      try run.append(gaps: [GapRecord(series: 0, first: 5, last: 5, cause: "lost at source")])
      try run.append(choices: [
        ChoiceRecord(camera: 0, series: 0, first: 1, last: 24, skipped: 21, merged: 0, rule: "every 10th")
      ])
      try run.finish(
        .complete, reason: nil, ended: MonotonicTime(nanoseconds: 2_000_000_000), unixNanoseconds: 5, charge: .zero)
    }
    #expect(try run.ledgers() == [ledger])
    #expect(try RunVerification.verify(run.directory).findings.isEmpty)
    try run.database.run("UPDATE choice SET skipped = 20")
    #expect(try RunVerification.verify(run.directory).findings.map(\.kind) == [.gap])
    try run.database.run("UPDATE ledger SET skipped = 20")
    #expect(try RunVerification.verify(run.directory).findings.map(\.kind) == [.ledger, .gap])
  }
}
