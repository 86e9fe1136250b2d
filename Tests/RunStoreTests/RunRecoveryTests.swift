import Linux
import Quantities
import RunStore
import SQLite
import Testing

@Suite("Recovery of an interrupted run")
struct RunRecoveryTests {
  private let shape = FrameShape(width: 20, height: 10, bytesPerPixel: 2)  // 400 bytes: not a whole page
  private let now = HostClockReading(
    raw: MonotonicTime(nanoseconds: 50), monotonicNanoseconds: 60, unixNanoseconds: 2_000_000_000_000)

  /// Eight frames on the files, the first `rows` of them in the database, cut to what a killed daemon might leave.
  private func interrupted(
    _ temporary: TemporaryData, rows: Int = 5, pixels: Int64? = nil, index: Int64? = nil
  ) throws -> RunDirectory {
    let run = try temporary.run()
    try record(run, shape, numbers: Array(0..<8), rows: rows)
    if let pixels { try cut(run.directory.frames.pixelsPath(0), to: pixels) }
    if let index { try cut(run.directory.frames.indexPath(0), to: index) }
    return run.directory
  }

  private func recover(_ directory: RunDirectory) throws -> RunRecovery {
    let recovery = try RunRecovery(directory, now: now)
    try recovery.perform()
    return recovery
  }

  /// What must hold after any recovery: files, header, index and database say the same.
  private func expectConsistent(_ directory: RunDirectory, frames: Int) throws {
    let summary = try RunSummary(reading: directory)
    #expect(summary.outcome == .interrupted)
    #expect(summary.framesWritten == UInt64(frames))
    let report = try RunVerification.verify(directory)
    // How many frames the camera triggered is unknown for good, and is no damage.
    #expect(report.isSound, "\(report.findings.map(\.description))")
    if frames > 0 {
      let all = try bytes(directory.frames.pixelsPath(0))
      #expect(all.count == 4096 + frames * shape.bytes)
      #expect(try MRCHeader(all).frames == frames)
      for k in 0..<frames {
        let same = holds(all, at: 4096 + k * shape.bytes, shape, k)
        #expect(same)
      }
    } else {
      #expect(try directory.frames.segments().isEmpty)
    }
  }

  @Test("every length of pixels and index that a kill can leave gives whole frames, twice the same")
  func everyCut() throws {
    let frame = Int64(shape.bytes)
    for pixels in [4096, 4097, 4096 + frame - 1, 4096 + frame, 4096 + 3 * frame + 7, 4096 + 8 * frame] {
      for index in [0, 1, 63, 64, 65, 127, 3 * 64, 3 * 64 + 1, 8 * 64] as [Int64] {
        for rows in [0, 2] where Int64(rows) * 64 <= index && 4096 + Int64(rows) * frame <= pixels {
          let temporary = try TemporaryData()
          let directory = try interrupted(temporary, rows: rows, pixels: pixels, index: index)
          let expected = Int(min(index / 64, (pixels - 4096) / frame))
          let recovery = try recover(directory)
          #expect(recovery.framesTaken == expected - rows, "pixels \(pixels), index \(index)")
          try expectConsistent(directory, frames: expected)
          #expect(!FileSystem.exists(directory.databasePath + "-wal"))
          let events = try RunSummary(reading: directory).events.count
          let again = try recover(directory)
          #expect(again.framesTaken == 0)
          #expect(try RunSummary(reading: directory).events.count == events)
          try expectConsistent(directory, frames: expected)
        }
      }
    }
  }

  @Test("what is cut off or cannot be taken in is told in an event, once")
  func named() throws {
    let temporary = try TemporaryData()
    let directory = try interrupted(temporary, pixels: 4096 + 6 * Int64(shape.bytes) + 10)
    _ = try recover(directory)
    let told = try RunSummary(reading: directory).events.filter { $0.kind == "recovery" }.map(\.text)
    #expect(told.contains("segment 0: 1 frames taken in from the index"))
    #expect(told.contains("segment 0: 2 records beyond the last whole frame"))
    #expect(told.contains { $0.contains("10 bytes of pixels") })
    let other = try TemporaryData()
    let unindexed = try interrupted(other, index: 6 * 64 + 5)
    _ = try recover(unindexed)
    let words = try RunSummary(reading: unindexed).events.map(\.text)
    #expect(words.contains { $0.contains("800 bytes of pixels after the last indexed frame cut off") })
    #expect(words.contains { $0.contains("5 bytes at the end of the index") })
  }

  @Test("killed at any point in the middle of recovery, the next one ends the work")
  func killedInTheMiddle() throws {
    for parts in 0...3 {
      let temporary = try TemporaryData()
      let directory = try interrupted(temporary, rows: 3, pixels: 4096 + 6 * Int64(shape.bytes) + 10)
      let first = try RunRecovery(directory, now: now)
      if parts > 0 { try first.repairDatabase() }
      if parts > 1 { try first.repairFiles() }
      if parts > 2 { try first.align() }
      _ = try recover(directory)
      try expectConsistent(directory, frames: 6)
      let told = try RunSummary(reading: directory).events.filter { $0.text.contains("10 bytes of pixels") }
      #expect(told.count == 1)
    }
  }

  @Test("a daemon killed before the last write had ended loses no frame with a record")
  func killedWhileWriting() throws {
    let temporary = try TemporaryData()
    let run = try temporary.run()
    var stored: [StoredFrame] = []
    var settings = SegmentSettings.small
    settings.headerInterval = Seconds(100)
    let writer = SegmentWriter(run.directory.frames, settings) { stored += $0 }
    for k in 0..<200 { try writer.write(shape, k) }  // neither flushed nor closed: 0.1 s gather, nz stays behind
    let onFile = stored.count
    #expect(onFile > 100 && onFile < 200)
    #expect(try MRCHeader(bytes(run.directory.frames.pixelsPath(0))).frames <= onFile)
    let recovery = try recover(run.directory)
    #expect(recovery.framesTaken == onFile)
    try expectConsistent(run.directory, frames: onFile)
    withExtendedLifetime(writer) {}
  }

  @Test("a damaged record in the middle costs that record, not the frames after it")
  func damagedRecord() throws {
    let temporary = try TemporaryData()
    let directory = try interrupted(temporary, rows: 0)
    try flip(directory.frames.indexPath(0), at: 3 * 64 + 20)
    let recovery = try recover(directory)
    #expect(recovery.framesTaken == 7)
    #expect(recovery.findings.contains { $0.contains("damaged index records of frames 3") })
    #expect(FileSystem.size(of: directory.frames.pixelsPath(0)) == 4096 + 8 * Int64(shape.bytes))
    let gaps = try RunSummary(reading: directory).gaps
    #expect(gaps == [GapRecord(series: 0, first: 3, last: 3, cause: RunRecovery.cause)])
  }

  @Test("frames of the database that are not on the file are taken out, with their values")
  func orphans() throws {
    let temporary = try TemporaryData()
    let run = try temporary.run()
    try record(run, shape, numbers: Array(0..<8))
    try run.database.execute(
      "INSERT INTO frame_value (frame, start_raw_ns, stop_raw_ns, time_uncertainty_s, samples) SELECT id,0,1,1,0 FROM frame"
    )
    try cut(run.directory.frames.pixelsPath(0), to: 4096 + 5 * Int64(shape.bytes))
    let recovery = try recover(run.directory)
    #expect(recovery.findings.contains { $0.contains("3 frames of the database are not on the file") })
    try expectConsistent(run.directory, frames: 5)
  }

  @Test("segments whose header cannot be read are left alone when they hold frames")
  func damagedHeader() throws {
    let temporary = try TemporaryData()
    let directory = try interrupted(temporary)
    try flip(directory.frames.pixelsPath(0), at: 208)
    let before = try bytes(directory.frames.pixelsPath(0))
    let recovery = try recover(directory)
    #expect(recovery.findings == ["segment 0: left as it is, the MRC header has no MAP stamp"])
    #expect(try bytes(directory.frames.pixelsPath(0)) == before)
    #expect(FileSystem.size(of: directory.frames.indexPath(0)) == 512)
  }

  @Test("a series of which no frame was written has an account of what was left out")
  func nothingWritten() throws {
    let temporary = try TemporaryData()
    let run = try temporary.run()
    try run.transaction { () throws(DatabaseError) in
      try run.append(choices: [
        ChoiceRecord(camera: 0, series: 4, first: 0, last: 2402, skipped: 2403, rule: "every 5000th")
      ])
    }
    try run.close()
    _ = try recover(run.directory)
    let ledger = try #require(try RunDatabase.open(run.directory, .readOnly).ledgers().first)
    #expect(ledger.series == 4 && ledger.received == 2403 && ledger.skipped == 2403 && ledger.written == 0)
  }

  @Test("accounts, gaps, steps and the end are brought to what is there")
  func accounts() throws {
    let temporary = try TemporaryData()
    let run = try filledRun(temporary, ended: false)
    try run.set(
      ledger: SeriesLedger(
        series: 0, triggered: nil, received: 12, lostAtSource: 2, written: 10, dropped: ["ring full": 1]))
    try run.database.execute("UPDATE gap SET last_frame = 6, frames = 1")
    _ = try recover(run.directory)
    let summary = try RunSummary(reading: run.directory)
    #expect(summary.outcome == .interrupted)
    #expect(summary.reason == RunRecovery.reason)
    #expect(
      summary.ledgers == [
        SeriesLedger(
          series: 0, triggered: nil, received: 12, lostAtSource: 2, written: 8,
          dropped: ["ring full": 1, "interrupted": 3])
      ])
    #expect(summary.gaps.last == GapRecord(series: 0, first: 7, last: 7, cause: "interrupted"))
    // The last thing seen is the sample at 0.9 s.
    #expect(summary.duration_s == 0.9)
    #expect(summary.endedUnixNanoseconds == 1_000_900_000_000)
    #expect(summary.charge_C == 9 * 2e-13)
    let step = try #require(summary.steps.last)
    #expect(step.endedBy == "interrupted")
    #expect(abs((step.charge_C ?? 0) - 5 * 2e-13) < 1e-20)
  }

  @Test("every run left running is recovered at start, the others are left alone, and the catalog follows")
  func all() throws {
    let temporary = try TemporaryData()
    let over = try filledRun(temporary, name: "over", at: 0)
    try over.close()
    _ = try filledRun(temporary, name: "left", at: 1, ended: false)
    let unlisted = try filledRun(temporary, name: "unlisted", at: 2, ended: false)
    let catalog = try Catalog(temporary.data)
    _ = try catalog.adoptMissing()
    try catalog.set(
      CatalogEntry(
        id: ULID(unixNanoseconds: 9).description, name: "gone", sampleID: nil, directory: "gone",
        startedUnixNanoseconds: 9))
    let reports = try RunRecovery.recoverAll(catalog, now: now)
    #expect(Set(reports.map(\.name)) == ["left", "unlisted", "gone"])
    #expect(reports.first { $0.name == "gone" }?.failure?.contains("gone") == true)
    #expect(reports.first { $0.name == "left" }?.failure == nil)
    #expect(try catalog.find("left").outcome == .interrupted)
    #expect(try catalog.find("unlisted").outcome == .interrupted)
    #expect(try catalog.find("gone").outcome == .failed)
    #expect(try catalog.find("over").outcome == .stopped)
    #expect(try catalog.find("unlisted").endedUnixNanoseconds == 1_002_900_000_000)
    #expect(unlisted.directory.id == (try catalog.find("unlisted").id))
    #expect(try RunRecovery.recoverAll(catalog, now: now).isEmpty)
  }

  @Test("a kill between the run's end and the catalog is mended at the next start")
  func catalogBehind() throws {
    let temporary = try TemporaryData()
    let run = try filledRun(temporary, ended: false)
    let catalog = try Catalog(temporary.data)
    _ = try catalog.adoptMissing()
    try run.finish(
      .complete, reason: nil, ended: MonotonicTime(nanoseconds: 2_000_000_000), unixNanoseconds: 5, charge: .zero)
    let values = try values(run.directory)
    let reports = try RunRecovery.recoverAll(catalog, now: now, alignment: .init(doseRate: 3))
    #expect(try catalog.find("last").outcome == .complete)
    // It was called interrupted, and aligned again.
    #expect(reports.map(\.wasInterrupted) == [false])
    #expect(reports.first?.summary.contains("had ended") == true)
    #expect(reports.first?.findings.isEmpty == true)
    #expect(try self.values(run.directory) == values)
    #expect(try RunSummary(reading: run.directory).events.allSatisfy { $0.kind != "recovery" })
  }

  private func values(_ directory: RunDirectory) throws -> [Double?] {
    try RunDatabase.open(directory, .readOnly).database.rows("SELECT dose_e_per_A2 AS d FROM frame_value").map {
      $0.double("d")
    }
  }

  @Test("a run recovered by a daemon that was killed before it had aligned stayed without values for ever")
  func alignedBeforeMarked() throws {
    let temporary = try TemporaryData()
    let run = try filledRun(temporary, ended: false)
    let catalog = try Catalog(temporary.data)
    _ = try catalog.adoptMissing()
    try run.database.execute("DELETE FROM frame_value")
    // The kill comes at the last moment: everything is done, only the run is not marked yet.
    let killed = try RunRecovery(run.directory, now: now)
    try killed.repairDatabase()
    try killed.repairFiles()
    try killed.align()
    #expect(try RunSummary(reading: run.directory).outcome == .running)
    let frames = try run.database.rows("SELECT id FROM frame").count
    #expect(try values(run.directory).count == frames)
    let reports = try RunRecovery.recoverAll(catalog, now: now, alignment: .init(doseRate: 3))
    #expect(reports.map(\.wasInterrupted) == [true])
    let doses = try values(run.directory)
    #expect(doses.count == frames && !doses.contains(nil))
    #expect(try RunSummary(reading: run.directory).outcome == .interrupted)
  }
}
