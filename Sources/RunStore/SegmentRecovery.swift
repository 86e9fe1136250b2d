import Glibc
import Linux
import SQLite

/// Brings one segment of an interrupted run, and what `run.sqlite` says of it, to the same state.
struct SegmentRecovery {
  let contents: SegmentContents
  /// Frames that are on the file and indexed, but not in the database.
  private(set) var missing: [StoredFrame] = []
  /// Positions of frames in the database whose pixels are not on the file.
  private(set) var orphans: [Int64] = []
  /// Frames to keep: up to the last one that is indexed, here or in the database. nil: the segment cannot be judged.
  private(set) var kept: Int?
  /// Where the last of them ends.
  private var end = Int64(SegmentHeader.byteCount)
  /// What to tell, in words.
  private(set) var findings: [String] = []

  init(_ run: RunDatabase, _ contents: SegmentContents) throws(DatabaseError) {
    self.contents = contents
    judge(try run.frames(of: contents))
  }

  private mutating func judge(_ rows: [Int64: StoredFrame]) {
    let name = contents.name
    let records = contents.records
    let good = records.lastIndex { $0 != nil }.map { $0 + 1 } ?? 0
    guard let whole = contents.wholeFrames, let fileBytes = contents.fileBytes else {
      if good == 0 && rows.isEmpty {
        kept = 0
        findings.append("\(name): removed, it held no whole frame (\(contents.fileBytes ?? 0) bytes)")
      } else {
        findings.append(
          "\(name): left as it is, \(contents.fileBytes == nil ? "its \(contents.format.ending) is missing" : contents.headerProblem ?? "")"
        )
      }
      return
    }
    missing = contents.frames.filter { rows[$0.offsetBytes] == nil }
    orphans = rows.values.filter { $0.end > fileBytes }.map { contents.camera.row(of: $0.record.position) }.sorted()
    let inDatabase = rows.values.filter { $0.end <= fileBytes }.max { $0.offsetBytes < $1.offsetBytes }
    let last = inDatabase.map { contents.ordinal(of: $0) + 1 } ?? 0
    let indexed = min(good, whole)
    let frames = max(indexed, last)
    end = max(contents.offset(ofFrame: indexed), inDatabase?.end ?? 0)
    kept = frames

    if !missing.isEmpty { findings.append("\(name): \(missing.count) frames taken in from the index") }
    if good > frames { findings.append("\(name): \(good - frames) records beyond the last whole frame") }
    let damaged = records.prefix(frames).enumerated().filter { $0.element == nil }.map(\.offset)
    if !damaged.isEmpty {
      findings.append(
        "\(name): damaged index records of frames \(damaged.prefix(8).map(String.init).joined(separator: ", "))"
          + (damaged.count > 8 ? " and \(damaged.count - 8) more" : "") + "; their pixels are kept")
    }
    let broken = max(0, records.count - max(good, frames)) * contents.format.recordBytes + contents.indexTail
    if broken > 0 { findings.append("\(name): \(broken) bytes at the end of the index are no record") }
    let extra = fileBytes - end
    if extra > 0 {
      findings.append(
        "\(name): \(extra) bytes of pixels after the last indexed frame cut off, nothing vouches for them")
    }
    if !orphans.isEmpty {
      findings.append("\(name): \(orphans.count) frames of the database are not on the file, taken out of it")
    }
  }

  /// Takes in what is missing and takes out what is not there. Within a transaction.
  func repair(_ run: RunDatabase) throws(DatabaseError) {
    let insert = try run.database.statement("INSERT OR IGNORE \(RunDatabase.frameColumns)")
    for frame in missing { try insert.run(RunDatabase.values(frame, contents.camera)) }
    for position in orphans {
      for table in ["frame_value", "frame_statistics"] {
        try run.database.run("DELETE FROM \(table) WHERE frame = ?1", .integer(position))
      }
      try run.database.run("DELETE FROM frame WHERE id = ?1", .integer(position))
    }
  }

  /// Cuts the files to what is kept, gives the reservation back and corrects the header's frame count.
  func repairFiles() throws(LinuxError) {
    guard let kept else { return }
    guard kept > 0, var header = contents.header else {
      FileSystem.remove(contents.path)
      FileSystem.remove(contents.indexPath)
      return
    }
    if let bytes = contents.indexBytes, bytes > Int64(kept * contents.format.recordBytes) {
      let index = try FileDescriptor.open(contents.indexPath, O_WRONLY)
      try index.truncate(to: Int64(kept * contents.format.recordBytes))
      try index.synchronizeData()
    }
    let file = try FileDescriptor.open(contents.path, O_WRONLY)
    // Also where the size is right already: blocks reserved beyond it are given back.
    try file.truncate(to: end)
    if header.frames != kept {
      header.frames = kept
      let bytes = header.bytes
      var failure: LinuxError?
      unsafe bytes.withUnsafeBytes { buffer in
        do throws(LinuxError) { unsafe try file.write(buffer, at: 0) } catch { failure = error }
      }
      if let failure { throw failure }
    }
    try file.synchronizeData()
  }
}
