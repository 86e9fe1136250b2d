import JSON
import Linux
import Quantities
import RunStore
import SQLite
import Testing

@Suite("Verification of a stored run")
struct RunVerificationTests {
  private typealias Kind = VerificationReport.Finding.Kind
  private let frameBytes: Int64 = 32 * 16 * 2

  private func verified(_ directory: RunDirectory) throws -> VerificationReport {
    try RunVerification.verify(directory)
  }

  private func closedRun(_ temporary: TemporaryData) throws -> RunDirectory {
    let run = try filledRun(temporary)
    try run.close()
    return run.directory
  }

  private func change(_ directory: RunDirectory, _ sql: String) throws {
    try Database(directory.databasePath, .readWrite).execute(sql)
  }

  @Test("a sound run has no findings, and progress runs to its end")
  func sound() throws {
    let temporary = try TemporaryData()
    let directory = try closedRun(temporary)
    var progress: [Int64] = []
    let report = try RunVerification.verify(directory) { done, _ in progress.append(done) }
    #expect(report.isSound, "\(report.findings.map(\.description))")
    #expect(report.framesChecked == 8)
    #expect(report.bytesChecked == 8 * frameBytes)
    #expect(progress == [8 * frameBytes])
    #expect(report.json["sound"] == true)
    #expect(report.json["frames_checked"] == 8)
  }

  @Test("one changed bit in any frame is found, and names that frame", arguments: 0..<8)
  func changedPixels(_ frame: Int) throws {
    let temporary = try TemporaryData()
    let directory = try closedRun(temporary)
    let offset = 4096 + Int64(frame) * frameBytes
    try flip(directory.frames.pixelsPath(0), at: offset + Int64(frame * 100), mask: 0x10)
    let findings = try verified(directory).findings
    #expect(findings.count == 1)
    #expect(findings.first?.kind == .pixels)
    #expect(findings.first?.file == directory.frames.pixelsPath(0))
    #expect(findings.first?.offset == offset)
    let number = frame < 6 ? frame : frame + 2
    #expect(findings.first?.text.contains("frame \(frame) (series 0, number \(number))") == true)
  }

  @Test("one changed bit in an index record is found, and the pixels are still checked", arguments: 0..<8)
  func changedRecord(_ frame: Int) throws {
    let temporary = try TemporaryData()
    let directory = try closedRun(temporary)
    try flip(directory.frames.indexPath(0), at: Int64(frame * 64 + frame * 8))
    let report = try verified(directory)
    #expect(report.findings.count == 1)
    #expect(report.findings.first?.kind == .index)
    #expect(report.findings.first?.offset == Int64(frame * 64))
    #expect(report.framesChecked == 8)
  }

  @Test("what is wrong with the files is said with the file and the place")
  func files() throws {
    func findings(_ damage: (RunDirectory) throws -> Void) throws -> [VerificationReport.Finding] {
      let temporary = try TemporaryData()
      let directory = try closedRun(temporary)
      try damage(directory)
      return try verified(directory).findings
    }
    let header = try findings { try flip($0.frames.pixelsPath(0), at: 8) }
    #expect(header.map(\.kind) == [.header])
    #expect(header.first?.text == "nz is 9, the index has 8 records")
    let stamp = try findings { try flip($0.frames.pixelsPath(0), at: 208) }
    #expect(stamp.contains { $0.kind == .header && $0.offset == 0 })
    let short = try findings { try cut($0.frames.pixelsPath(0), to: 4096 + 7 * frameBytes + 5) }
    #expect(short.contains { $0.text == "5 bytes that are no whole frame" && $0.offset == 4096 + 7 * frameBytes })
    #expect(short.contains { $0.text == "holds 7 whole frames, the index has 8 records" })
    let index = try findings { try cut($0.frames.indexPath(0), to: 7 * 64 + 3) }
    #expect(index.contains { $0.text == "3 bytes that are no whole record" && $0.offset == 7 * 64 })
    #expect(index.contains { $0.text == "frame 7 of run.sqlite has no record" })
    let gone = try findings { FileSystem.remove($0.frames.pixelsPath(0)) }
    #expect(gone.contains { $0.kind == .pixels && $0.text == "is missing" })
    let both = try findings {
      FileSystem.remove($0.frames.pixelsPath(0))
      FileSystem.remove($0.frames.indexPath(0))
    }
    #expect(both.map(\.text) == ["is missing, with 8 frames of the run"])
  }

  @Test(
    "what is wrong with the accounts is said in words",
    arguments: [
      ("UPDATE ledger SET triggered = NULL", "never said"),
      ("UPDATE ledger SET received = 7", "7 received, but 8 written + 1 dropped"),
      (
        "UPDATE ledger SET written = 7, received = 8, triggered = 10", "the account has 7 frames written, the run has 8"
      ),
      ("DELETE FROM ledger", "8 frames without an account"),
      ("DELETE FROM gap WHERE first_frame = 6", "frame 6–7 (2 frames) missing without a recorded gap"),
      ("DELETE FROM gap WHERE first_frame = 10", "frame 10 missing without a recorded gap"),
      ("UPDATE gap SET first_frame = 5 WHERE first_frame = 6", "frame 5 recorded as a gap, but not missing"),
      ("UPDATE gap SET last_frame = 11 WHERE first_frame = 10", "frame 11 recorded as a gap, but not missing"),
      ("UPDATE frame SET frame_number = 4 WHERE id = 5", "frame 4 is there more than once"),
      ("DELETE FROM frame WHERE id = 2", "frame 2 is not in run.sqlite"),
      ("UPDATE frame SET device_time_ns = 1 WHERE id = 2", "frame 2 differs from run.sqlite"),
    ])
  func accounts(_ sql: String, _ text: String) throws {
    let temporary = try TemporaryData()
    let directory = try closedRun(temporary)
    try change(directory, sql)
    let report = try verified(directory)
    #expect(report.findings.contains { $0.text.contains(text) }, "\(report.findings.map(\.description))")
  }

  @Test("a repeated frame number that is flagged as such is no fault")
  func repeated() throws {
    let temporary = try TemporaryData()
    let run = try temporary.run()
    var stored: [StoredFrame] = []
    let shape = FrameShape(width: 4, height: 4, bytesPerPixel: 2)
    let writer = SegmentWriter(run.directory.frames, .small) { stored += $0 }
    for k in 0..<3 { try writer.write(shape, k) }
    try writer.close()
    stored[2].record.frameNumber = 1
    stored[2].record.flags = 1
    try run.append(frames: stored)
    try run.set(ledger: SeriesLedger(series: 0, triggered: 2, received: 2, lostAtSource: 0, written: 3))
    try run.finish(.complete, reason: nil, ended: .init(nanoseconds: 2_000_000_000), unixNanoseconds: 0, charge: .zero)
    let report = try verified(run.directory)
    #expect(!report.findings.contains { $0.kind == .gap })
  }

  @Test("a run that is not over cannot be verified yet")
  func running() throws {
    let temporary = try TemporaryData()
    let run = try filledRun(temporary, ended: false)
    let error = #expect(throws: RunStoreError.self) { try verified(run.directory) }
    #expect(error?.kind == .busy)
  }

  @Test("a damaged page of the database is found")
  func damagedDatabase() throws {
    let temporary = try TemporaryData()
    let directory = try closedRun(temporary)
    let size = try #require(FileSystem.size(of: directory.databasePath))
    var found = 0
    // The middle of the cell pointer area of each page but the first.
    for page in 1..<size / 4096 {
      let copy = try bytes(directory.databasePath)
      try flip(directory.databasePath, at: page * 4096 + 8, mask: 0xFF)
      let sound = (try? verified(directory).isSound) ?? false
      if !sound { found += 1 }
      try FileSystem.replace(directory.databasePath, with: copy)
    }
    #expect(found > Int(size / 4096) / 2)
    #expect(try verified(directory).isSound)
  }
}
