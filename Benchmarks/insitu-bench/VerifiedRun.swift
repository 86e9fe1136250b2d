import Glibc
import Linux
import Pixels
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
    /// CPU time for a byte of pixels, of all threads.
    var timePerByte: Double
    /// Bytes of pixels per byte on the file.
    var compressionRatio: Double
  }

  let directory: String
  let frames: Int
  let repetitions: Int
  let fio: String?
  /// nil: plain segments, of pixels that nothing makes smaller.
  var compression: FrameCompression?

  /// Mean electrons of a pixel where frames are compressed.
  static let dose = 0.1
  /// Different frames of these.
  private static let different = 8
  private static let shape = FrameShape(width: 1024, height: 1024, bytesPerPixel: 2)

  func measure() throws(BenchmarkError) -> [Result] {
    let run: RunDirectory
    do { run = try record() } catch { throw BenchmarkError("\(error)") }
    defer { removeDirectory(run.path) }
    let path = run.frames.pixelsPath(0, compression == nil ? .plain : .compressed)
    let pixels = Double(frames * Self.shape.bytes)
    let stored = Int(FileSystem.size(of: path) ?? 0)
    let disk = DiskRate(directory: directory, bytes: compression == nil ? frames * Self.shape.bytes : stored, fio: fio)
    var results: [Result] = []
    var before = try disk.measureReading(path)
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
      let after = try disk.measureReading(path)
      results.append(
        Result(
          verified: pixels / elapsed, disk: (before + after) / 2, timePerByte: used / pixels,
          compressionRatio: pixels / Double(stored)))
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
    settings.compression = compression
    settings.compressionBacklogBytes = frames * Self.shape.bytes
    let stored = Stored()
    let writer = SegmentWriter(run.directory.frames, settings) { stored.frames += $0 }
    let each = Self.shape.bytes
    let pixels = AlignedBuffer(count: Self.different * each)
    if compression == nil { fillWithNoise(pixels) } else { fillWithElectrons(pixels) }
    for number in 0..<frames {
      let frame = RecordedFrame(
        frameNumber: UInt64(number), deviceNanoseconds: 0, exposureNanoseconds: 0, arrival: .now, series: 0,
        shape: Self.shape)
      // The same memory again and again: it does not change.
      let first = number % Self.different * each
      unsafe try writer.append(
        frame, UnsafeRawBufferPointer(rebasing: pixels.bytes[first..<first + each]), at: .now)
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

  private func fillWithNoise(_ pixels: borrowing AlignedBuffer) {
    for k in 0..<Self.different * Self.shape.bytes / 4 {
      unsafe pixels.bytes.storeBytes(
        of: UInt32(truncatingIfNeeded: k &* 2_654_435_761), toByteOffset: 4 * k, as: UInt32.self)
    }
  }

  /// Counts of electrons that fell independently of each other; more than two on a pixel are not needed here.
  private func fillWithElectrons(_ pixels: borrowing AlignedBuffer) {
    var state: UInt64 = 7
    let none = exp(-Self.dose)
    for k in 0..<Self.different * Self.shape.bytes / 2 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let chance = Double(state >> 11) / Double(1 << 53)
      let electrons: UInt16 = chance < none ? 0 : chance < none * (1 + Self.dose) ? 1 : 2
      unsafe pixels.bytes.storeBytes(of: electrons, toByteOffset: 2 * k, as: UInt16.self)
    }
  }

  private final class Stored { var frames: [StoredFrame] = [] }
}
