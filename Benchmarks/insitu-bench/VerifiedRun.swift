import Glibc
import Linux
import Quantities
import RunStore
import SQLite

/// `runs verify` of a run with one large segment, and the disk reading the same file.
struct VerifiedRun {
  struct Result {
    /// Bytes of pixels per second, of the whole verification.
    var verified: Double
    /// Bytes per second of the disk, before and after.
    var disk: Double
    /// CPU time for a byte, of all threads.
    var timePerByte: Double
  }

  let directory: String
  let frames: Int
  let repetitions: Int
  let fio: String?

  private static let shape = FrameShape(width: 1024, height: 1024, bytesPerPixel: 2)

  func measure() throws(BenchmarkError) -> [Result] {
    let run: RunDirectory
    do { run = try record() } catch { throw BenchmarkError("\(error)") }
    defer { removeDirectory(run.path) }
    let disk = DiskRate(directory: directory, bytes: frames * Self.shape.bytes, fio: fio)
    var results: [Result] = []
    var before = try disk.measureReading(run.frames.pixelsPath(0))
    for _ in 0..<repetitions {
      let cpu = processCPUTime()
      let began = MonotonicTime.now
      let report: VerificationReport
      do throws(RunStoreError) { report = try RunVerification.verify(run) } catch { throw BenchmarkError("\(error)") }
      let elapsed = (MonotonicTime.now - began).value
      let used = (processCPUTime() - cpu).value
      guard report.isSound, report.framesChecked == frames else {
        throw BenchmarkError("the run is not sound: \(report.findings.map(\.description))")
      }
      let after = try disk.measureReading(run.frames.pixelsPath(0))
      results.append(
        Result(
          verified: Double(report.bytesChecked) / elapsed, disk: (before + after) / 2,
          timePerByte: used / Double(report.bytesChecked)))
      before = after
    }
    return results
  }

  /// A run that is over, with one series of frames.
  private func record() throws -> RunDirectory {
    let data = try DataDirectory(creating: directory + "/verified")
    let id = ULID(unixNanoseconds: 1_000_000_000)
    let run = try RunDatabase.create(
      in: try RunDirectory.create(in: data, id: id, name: "benchmark"),
      RunRecord(
        id: id, name: "benchmark", sampleID: nil, protocolText: "", protocolJSON: "{}", started: .now,
        software: "insitu-bench", host: "here"))
    var settings = SegmentSettings()
    settings.segmentBytes = Int64(frames + 1) * Int64(Self.shape.bytes)
    let stored = Stored()
    let writer = SegmentWriter(run.directory.frames, settings) { stored.frames += $0 }
    let pixels = AlignedBuffer(count: Self.shape.bytes)
    for k in 0..<Self.shape.bytes / 4 {
      unsafe pixels.bytes.storeBytes(
        of: UInt32(truncatingIfNeeded: k &* 2_654_435_761), toByteOffset: 4 * k, as: UInt32.self)
    }
    let crc = unsafe crc32c(UnsafeRawBufferPointer(pixels.bytes))
    for number in 0..<frames {
      var frame = RecordedFrame(
        frameNumber: UInt64(number), deviceNanoseconds: 0, exposureNanoseconds: 0, arrival: .now, series: 0,
        shape: Self.shape)
      frame.pixelCRC = crc
      // The same memory for all: it does not change.
      _ = unsafe try writer.append(frame, UnsafeRawBufferPointer(pixels.bytes), at: .now)
    }
    try writer.close()
    try run.transaction { () throws(DatabaseError) in
      try run.append(frames: stored.frames)
      try run.set(
        ledger: SeriesLedger(
          series: 0, triggered: UInt64(frames), received: UInt64(frames), lostAtSource: 0, written: UInt64(frames)))
      try run.finish(.complete, reason: nil, ended: .now, unixNanoseconds: 2_000_000_000, charge: .zero)
    }
    try run.close()
    return run.directory
  }

  private final class Stored { var frames: [StoredFrame] = [] }
}
