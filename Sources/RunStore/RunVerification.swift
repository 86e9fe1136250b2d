import Glibc
import Linux
import SQLite

/// Checks a stored run against itself: the account, the frame numbers and gaps, every index record, the pixels of every frame,
/// headers, and the database (design §5, "the record is evidence"). Changes nothing.
package struct RunVerification {
  private let directory: RunDirectory
  private let run: RunDatabase
  private var report: VerificationReport

  /// - Parameter progress: bytes of pixels checked so far, and in all.
  package static func verify(_ directory: RunDirectory, progress: (Int64, Int64) -> Void = { _, _ in })
    throws(RunStoreError) -> VerificationReport
  {
    let run = try RunDatabase.open(directory, .readOnly)
    var verification = RunVerification(
      directory: directory, run: run, report: VerificationReport(id: directory.id))
    if try outcome(run) == .running {
      throw RunStoreError(
        .busy,
        "run \(directory.id) is still being recorded, or was left by a daemon that died; it can be verified when it is"
          + " over (starting insitud brings back a run that was left)")
    }
    do throws(DatabaseError) {
      try verification.checkDatabase()
      try verification.checkLedger()
      try verification.checkNumbers()
    } catch {
      verification.report.found(.database, directory.databasePath, error.description)
    }
    try verification.checkSegments(progress)
    return verification.report
  }

  private static func outcome(_ run: RunDatabase) throws(RunStoreError) -> RunOutcome? {
    do throws(DatabaseError) {
      return try run.database.rows("SELECT outcome FROM run").first?.text("outcome").flatMap(RunOutcome.init)
    } catch {
      throw RunStoreError(error, in: run.directory.databasePath)
    }
  }

  private mutating func checkDatabase() throws(DatabaseError) {
    for row in try run.database.rows("PRAGMA integrity_check") {
      if let text = row.text("integrity_check"), text != "ok" { report.found(.database, directory.databasePath, text) }
    }
    for _ in try run.database.rows("PRAGMA foreign_key_check") {
      report.found(.database, directory.databasePath, "a value belongs to a frame that is not there")
    }
  }

  private mutating func checkLedger() throws(DatabaseError) {
    var written: [SeriesKey: UInt64] = [:]
    for row in try run.database.rows("SELECT camera, series, count(*) AS n FROM frame GROUP BY camera, series") {
      written[SeriesKey(row)] = row.count("n")
    }
    let outcome = try run.database.rows("SELECT outcome FROM run").first?.text("outcome")
    for ledger in try run.ledgers() {
      var account = ledger
      // How many frames the camera triggered went down with the daemon: the run says so, and nothing is damaged.
      if outcome == RunOutcome.interrupted.rawValue, account.triggered == nil {
        account.triggered = account.received + account.lostAtSource
      }
      if let imbalance = account.imbalance { report.found(.ledger, directory.databasePath, imbalance) }
      let count = written.removeValue(forKey: SeriesKey(camera: ledger.camera, series: ledger.series)) ?? 0
      if count != ledger.written {
        report.found(
          .ledger, directory.databasePath,
          "series \(ledger.series): the account has \(ledger.written) frames written, the run has \(count)")
      }
    }
    for (key, count) in written.sorted(by: { $0.key < $1.key }) {
      report.found(.ledger, directory.databasePath, "series \(key.series): \(count) frames without an account")
    }
  }

  private mutating func checkNumbers() throws(DatabaseError) {
    let file = directory.databasePath
    for audit in try GapAudit.all(run) {
      for numbers in audit.unexplained {
        report.found(
          .gap, file, "\(audit.name): frame \(GapAudit.words(numbers)) missing without a recorded gap")
      }
      for numbers in audit.contradicted {
        report.found(
          .gap, file, "\(audit.name): frame \(GapAudit.words(numbers)) recorded as a gap, but not missing")
      }
      for number in audit.doubled {
        report.found(.gap, file, "\(audit.name): frame \(number) is there more than once")
      }
      if audit.leftOut != audit.chosen {
        report.found(
          .gap, file,
          "\(audit.name): \(audit.chosen) frames are said to be left out, in sums or missing in part of a range,"
            + " \(audit.leftOut) are")
      }
    }
  }

  private mutating func checkSegments(_ progress: (Int64, Int64) -> Void) throws(RunStoreError) {
    let cameras: [RunCamera]
    do throws(DatabaseError) { cameras = try run.cameras() } catch {
      return report.found(.database, directory.databasePath, error.description)
    }
    var segments: [SegmentContents] = []
    for camera in cameras.isEmpty ? [.first] : cameras {
      let files = FrameFiles(directory, camera)
      for number in try files.segments() { segments.append(try SegmentContents(files, number)) }
    }
    let total = segments.reduce(0) { $0 + ($1.fileBytes ?? 0) }
    var position: UInt64 = 0
    var camera = 0
    for contents in segments {
      if contents.camera.id != camera { (camera, position) = (contents.camera.id, 0) }
      do throws(DatabaseError) {
        let rows = try run.frames(of: contents)
        checkHeader(contents)
        checkIndex(contents, rows, &position)
        do throws(LinuxError) {
          try checkPixels(contents, rows) { bytes in progress(bytes, total) }
        } catch {
          report.found(.pixels, contents.path, "cannot be read: \(error)")
        }
      } catch {
        report.found(.database, directory.databasePath, error.description)
      }
    }
    do throws(DatabaseError) {
      for camera in cameras { try checkOtherSegments(camera, segments.filter { $0.camera == camera }.map(\.number)) }
    } catch {
      report.found(.database, directory.databasePath, error.description)
    }
  }

  /// Segments that the database knows and that are not there.
  private mutating func checkOtherSegments(_ camera: RunCamera, _ present: [Int]) throws(DatabaseError) {
    let known = Set(present)
    for row in try run.database.rows(
      "SELECT segment, count(*) AS n FROM frame WHERE camera = \(camera.id) GROUP BY segment")
    {
      let segment = Int(row.count("segment"))
      if known.contains(segment) { continue }
      report.found(
        .pixels, FrameFiles(directory, camera).pixelsPath(segment),
        "is missing, with \(row.count("n")) frames of the run")
    }
  }

  private mutating func checkHeader(_ contents: SegmentContents) {
    guard contents.fileBytes != nil else { return report.found(.pixels, contents.path, "is missing") }
    guard let header = contents.header, let whole = contents.wholeFrames else {
      return report.found(.header, contents.path, at: 0, contents.headerProblem ?? "cannot be read")
    }
    if header.frames != contents.records.count {
      report.found(
        .header, contents.path, at: contents.format == .plain ? 8 : 28,
        "nz is \(header.frames), the index has \(contents.records.count) records")
    }
    let end = contents.offset(ofFrame: whole)
    if contents.fileBytes != end {
      report.found(.pixels, contents.path, at: end, "\((contents.fileBytes ?? 0) - end) bytes that are no whole frame")
    }
    if whole != contents.records.count {
      report.found(
        .pixels, contents.path, at: contents.offset(ofFrame: min(whole, contents.records.count)),
        "holds \(whole) whole frames, the index has \(contents.records.count) records")
    }
  }

  private mutating func checkIndex(_ contents: SegmentContents, _ rows: [Int64: StoredFrame], _ position: inout UInt64)
  {
    if contents.indexBytes == nil { report.found(.index, contents.indexPath, "is missing") }
    if contents.indexTail > 0 {
      let place = (contents.indexBytes ?? 0) - Int64(contents.indexTail)
      report.found(.index, contents.indexPath, at: place, "\(contents.indexTail) bytes that are no whole record")
    }
    var seen = Set<Int64>()
    var end = Int64(SegmentHeader.byteCount)
    for (ordinal, record) in contents.records.enumerated() {
      let place = Int64(ordinal * contents.format.recordBytes)
      let offset = contents.offset(ofFrame: ordinal)
      seen.insert(offset)
      let row = rows[offset]
      guard let record else {
        let frame = row.map { "frame \($0.record.position) of the run" } ?? "frame \(ordinal) of the segment"
        report.found(.index, contents.indexPath, at: place, "the record of \(frame) has a wrong checksum")
        position += 1
        // Where it ends, the next one says.
        end = contents.offset(ofFrame: ordinal + 1)
        continue
      }
      if record.position != position {
        report.found(
          .index, contents.indexPath, at: place, "the record is of frame \(record.position) instead of \(position)")
      }
      position = record.position + 1
      if offset != end {
        report.found(
          .index, contents.indexPath, at: place, "frame \(record.position) begins at \(offset) instead of \(end)")
      }
      end = contents.entries[ordinal]?.end ?? end
      if row == nil {
        report.found(.index, contents.indexPath, at: place, "frame \(record.position) is not in run.sqlite")
      } else if row.map({ Self.isSame($0, contents.entries[ordinal]) }) == false {
        report.found(.index, contents.indexPath, at: place, "frame \(record.position) differs from run.sqlite")
      }
    }
    for row in rows.values.sorted(by: { $0.offsetBytes < $1.offsetBytes }) where !seen.contains(row.offsetBytes) {
      report.found(
        .index, contents.indexPath, "frame \(row.record.position) of run.sqlite has no record")
    }
  }

  private static func isSame(_ row: StoredFrame, _ entry: StoredFrame?) -> Bool {
    var row = row
    row.storedCRC = entry?.storedCRC
    return row == entry
  }

  /// Goes through the file from end to end. The checksum is the record's, or the database's where the record is damaged.
  private mutating func checkPixels(
    _ contents: SegmentContents, _ rows: [Int64: StoredFrame], _ progress: (Int64) -> Void
  ) throws(LinuxError) {
    guard let shape = contents.header?.shape, let whole = contents.wholeFrames, whole > 0 else { return }
    if contents.format == .compressed { return try checkCompressed(contents, shape, rows, whole, progress) }
    let reader = try SequentialReader(contents.path)
    var place: Int64 = 0
    var ordinal = 0
    var crc: UInt32 = 0
    while ordinal < whole {
      let piece = unsafe try reader.next()
      guard unsafe !piece.isEmpty else { return }
      let end = place + Int64(piece.count)
      place = max(place, contents.offset(ofFrame: 0))
      while ordinal < whole, place < end {
        let offset = contents.offset(ofFrame: ordinal)
        let part = place..<min(end, offset + Int64(shape.bytes))
        let bytes = unsafe piece[Int(part.lowerBound - end) + piece.count..<Int(part.upperBound - end) + piece.count]
        unsafe crc = crc32c(UnsafeRawBufferPointer(rebasing: bytes), continuing: crc)
        place = part.upperBound
        report.bytesChecked += Int64(part.count)
        guard place == offset + Int64(shape.bytes) else { break }
        let record = ordinal < contents.records.count ? contents.records[ordinal] : nil
        if let expected = record ?? rows[offset]?.record { check(crc, expected, contents.path, offset) }
        ordinal += 1
        crc = 0
      }
      progress(report.bytesChecked)
    }
  }

  /// Decompresses each frame; the checksum is that of the pixels.
  private mutating func checkCompressed(
    _ contents: SegmentContents, _ shape: FrameShape, _ rows: [Int64: StoredFrame], _ whole: Int,
    _ progress: (Int64) -> Void
  ) throws(LinuxError) {
    guard shape.bytes <= SegmentWriter.mostFrameBytes else {
      return report.found(.header, contents.path, at: 16, "frames of \(shape) are larger than any that are written")
    }
    let frames = (0..<whole).compactMap { contents.entries[$0] ?? rows[contents.offset(ofFrame: $0)] }
    try CompressedCheck(contents, shape).check(frames) { frame, finding in
      switch finding {
      case .pixels(let crc): check(crc, frame.record, contents.path, frame.offsetBytes)
      case .damaged(let what):
        report.framesChecked += 1
        report.found(.pixels, contents.path, at: frame.offsetBytes, what)
      }
      report.bytesChecked += Int64(frame.storedBytes)
      progress(report.bytesChecked)
    }
  }

  private mutating func check(_ crc: UInt32, _ expected: IndexRecord, _ path: String, _ offset: Int64) {
    report.framesChecked += 1
    guard crc != expected.pixelCRC else { return }
    report.found(
      .pixels, path, at: offset,
      "the pixels of frame \(expected.position) (series \(expected.series), number \(expected.frameNumber)) have"
        + " changed: wrong checksum")
  }
}
