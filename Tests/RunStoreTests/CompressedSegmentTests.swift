import Glibc
import Linux
import Pixels
import Quantities
import RunStore
import SQLite
import Testing

@Suite("Compressed segments")
struct CompressedSegmentTests {
  private static let shapes = [
    FrameShape(width: 128, height: 128, bytesPerPixel: 2), FrameShape(width: 33, height: 7, bytesPerPixel: 1),
    FrameShape(width: 64, height: 30, bytesPerPixel: 4),
  ]
  private let shape = shapes[0]

  private func settings(_ compression: FrameCompression) -> SegmentSettings {
    var settings = SegmentSettings.small
    settings.compression = compression
    settings.compressionThreads = 2
    return settings
  }

  /// Frames of which every third cannot be compressed.
  private func frame(_ shape: FrameShape, _ k: Int) -> [UInt8] {
    guard k % 3 == 2 else { return pixels(shape, k) }
    var state = UInt64(k)
    return (0..<shape.bytes).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 33)
    }
  }

  private func write(_ writer: SegmentWriter, _ shape: FrameShape, _ k: Int) throws {
    try frame(shape, k).withUnsafeBytes { bytes in
      let time = MonotonicTime(nanoseconds: 1_000_000_000 + Int64(k) * 2_500_000)
      try writer.append(
        RecordedFrame(
          frameNumber: UInt64(k), deviceNanoseconds: Int64(k) * 2_500_000, exposureNanoseconds: 2_400_000,
          arrival: time,
          series: 0, step: 1, shape: shape), bytes, at: time)
      while writer.framesReleased < writer.framesHandedOver { try writer.reap(waitingAtMost: Seconds(1)) }
    }
  }

  /// Twelve frames with rows; the run is left running unless `ended`.
  private func run(
    _ temporary: TemporaryData, _ method: FrameCompression = .bslz4, frames: Int = 12, rows: Int? = nil,
    ended: Bool = true, segmentBytes: Int64? = nil
  ) throws -> RunDatabase {
    let run = try temporary.run()
    var stored: [StoredFrame] = []
    var settings = settings(method)
    settings.segmentBytes = segmentBytes ?? settings.segmentBytes
    let writer = SegmentWriter(run.directory.frames, settings) { stored += $0 }
    for k in 0..<frames { try write(writer, shape, k) }
    try writer.close()
    let count = UInt64(frames)
    try run.transaction { () throws(DatabaseError) in
      try run.append(frames: Array(stored.prefix(rows ?? frames)))
      guard ended else { return }
      try run.set(
        ledger: SeriesLedger(series: 0, triggered: count, received: count, lostAtSource: 0, written: count))
      try run.finish(
        .complete, reason: nil, ended: MonotonicTime(nanoseconds: 2_000_000_000), unixNanoseconds: 5, charge: .zero)
    }
    return run
  }

  @Test("every frame comes back alone and in any order, compressed or as it was", arguments: FrameCompression.allCases)
  func roundTrip(_ method: FrameCompression) throws {
    for shape in Self.shapes {
      let temporary = try TemporaryData()
      let run = try temporary.run()
      var stored: [StoredFrame] = []
      let writer = SegmentWriter(run.directory.frames, settings(method)) { stored += $0 }
      for k in 0..<12 { try write(writer, shape, k) }
      try writer.close()
      let contents = try SegmentContents(run.directory.frames, 0)
      #expect(contents.path.hasSuffix("frames-0000.bsf"))
      #expect(contents.header == SegmentHeader(format: .compressed, shape: shape, frames: 12))
      #expect(contents.frames == stored)
      #expect(stored.map(\.record.frameNumber) == Array(0..<12))
      #expect(contents.fileBytes == stored.last?.end)
      for (k, frame) in stored.enumerated() {
        #expect(frame.encoding == (k % 3 == 2 ? .raw : FrameEncoding(method)), "frame \(k)")
        #expect(frame.storedBytes == shape.bytes || k % 3 != 2 && frame.storedBytes < shape.bytes)
        #expect(frame.offsetBytes == (k == 0 ? 4096 : stored[k - 1].end))
      }
      let reader = try SegmentReader(contents)
      var room = [UInt8](repeating: 0, count: shape.bytes)
      for k in [7, 0, 11, 2, 7] {
        try room.withUnsafeMutableBytes { try reader.read(stored[k], into: $0) }
        #expect(room == frame(shape, k), "frame \(k)")
      }
    }
  }

  @Test("a plain segment gives single frames as well")
  func plain() throws {
    let temporary = try TemporaryData()
    let run = try temporary.run()
    let shape = FrameShape(width: 33, height: 7, bytesPerPixel: 2)
    try record(run, shape, numbers: Array(0..<5))
    let contents = try SegmentContents(run.directory.frames, 0)
    let reader = try SegmentReader(contents)
    var room = [UInt8](repeating: 0, count: shape.bytes)
    for k in [4, 1] {
      try room.withUnsafeMutableBytes { try reader.read(contents.frames[k], into: $0) }
      #expect(room == pixels(shape, k))
    }
  }

  @Test("frames for which no thread is free are stored as they are, in their place")
  func noThread() throws {
    let temporary = try TemporaryData()
    let run = try temporary.run()
    var settings = settings(.bslz4)
    settings.compressionBacklogBytes = 0
    var stored: [StoredFrame] = []
    let writer = SegmentWriter(run.directory.frames, settings) { stored += $0 }
    for k in 0..<6 { try writer.write(shape, k) }
    try writer.close()
    #expect(stored.map(\.encoding) == Array(repeating: .raw, count: 6))
    #expect(stored.map(\.record.position) == Array(0..<6))
    #expect(stored.allSatisfy { $0.storedBytes == shape.bytes })
  }

  /// Their memory does not change, so that nobody needs to wait for its release.
  @Test("thousands of frames that nobody waits for come out in their order and whole, whoever compressed them")
  func many() throws {
    let temporary = try TemporaryData()
    let run = try temporary.run()
    let shape = FrameShape(width: 64, height: 32, bytesPerPixel: 2)
    let count = 2500
    var settings = settings(.bslz4)
    settings.compressionThreads = 3
    // Some find too many before them and are stored as they are.
    settings.compressionBacklogBytes = 12 * shape.bytes
    settings.segmentBytes = 4096 + 700 * Int64(shape.bytes)
    settings.leastWriteBytes = 5 * shape.bytes
    let buffers = (0..<7).map { k in
      let buffer = FramePixels(shape.bytes)
      buffer.memory.bytes.copyBytes(from: frame(shape, k))
      return buffer
    }
    var stored: [StoredFrame] = []
    let writer = SegmentWriter(run.directory.frames, settings) { stored += $0 }
    for k in 0..<count {
      let time = MonotonicTime(nanoseconds: 1_000_000_000 + Int64(k) * 10_000)
      try writer.append(
        RecordedFrame(
          frameNumber: UInt64(k), deviceNanoseconds: Int64(k) * 10_000, exposureNanoseconds: 9_000, arrival: time,
          series: 0, step: 1, shape: shape), UnsafeRawBufferPointer(buffers[k % 7].memory.bytes), at: time)
    }
    try writer.flush()
    #expect(writer.framesReleased == UInt64(count))
    try writer.close()
    #expect(stored.map(\.record.frameNumber) == Array(0..<UInt64(count)))
    #expect(stored.contains { $0.encoding != .raw })
    let room = FramePixels(shape.bytes)
    for number in try run.directory.frames.segments() {
      let contents = try SegmentContents(run.directory.frames, number)
      let reader = try SegmentReader(contents)
      for entry in contents.frames {
        try reader.read(entry, into: room.memory.bytes)
        let k = Int(entry.record.frameNumber)
        let same = memcmp(room.memory.bytes.baseAddress!, buffers[k % 7].memory.bytes.baseAddress!, shape.bytes) == 0
        #expect(same, "frame \(k)")
      }
    }
  }

  private final class FramePixels {
    let memory: AlignedBuffer
    init(_ count: Int) { memory = AlignedBuffer(count: count) }
  }

  @Test("a segment is as large as what was stored in it, not as the pixels were")
  func rotation() throws {
    let temporary = try TemporaryData()
    let run = try temporary.run()
    var settings = settings(.bslz4)
    settings.segmentBytes = 4096 + 2 * Int64(shape.bytes)
    var stored: [StoredFrame] = []
    let writer = SegmentWriter(run.directory.frames, settings) { stored += $0 }
    for k in 0..<60 { try writer.write(shape, k) }
    try writer.close()
    #expect(stored.count == 60)
    #expect(stored.count { $0.segment == 0 } > 4)
    for number in try run.directory.frames.segments() {
      #expect(try SegmentContents(run.directory.frames, number).fileBytes ?? 0 <= settings.segmentBytes)
    }
  }

  @Test("a sound run is sound, and one changed bit in any frame is found", arguments: 0..<12)
  func changedPixels(k: Int) throws {
    let temporary = try TemporaryData()
    let run = try run(temporary)
    let contents = try SegmentContents(run.directory.frames, 0)
    let report = try RunVerification.verify(run.directory)
    #expect(report.isSound && report.framesChecked == 12, "\(report.findings)")
    let frame = contents.frames[k]
    try flip(contents.path, at: frame.offsetBytes + Int64(frame.storedBytes * k / 12), mask: 0x40)
    let findings = try RunVerification.verify(run.directory).findings
    #expect(findings.map(\.kind) == [.pixels])
    #expect(findings.first?.description.contains("frame \(k)") == true, "\(findings)")
  }

  @Test(
    "a segment larger than what is read and handed on at a time is checked from end to end, and what is found is in order",
    arguments: FrameCompression.allCases)
  func large(_ method: FrameCompression) throws {
    let temporary = try TemporaryData()
    // 32 kB each, every third as it is: 8 MB in pieces of 4 MiB, handed on in batches of 512 kiB.
    let directory = try run(temporary, method, frames: 600, segmentBytes: 1 << 30).directory
    #expect(try directory.frames.segments() == [0])
    let contents = try SegmentContents(directory.frames, 0)
    #expect(try #require(contents.fileBytes) > 3 << 21)
    var progress: [Int64] = []
    let report = try RunVerification.verify(directory) { done, _ in progress.append(done) }
    #expect(report.isSound && report.framesChecked == 600, "\(report.findings)")
    #expect(report.bytesChecked == contents.fileBytes.map { $0 - 4096 })
    #expect(progress == progress.sorted() && progress.last == report.bytesChecked)

    // In every piece, compressed and as they are.
    let damaged = [0, 2, 3, 250, 251, 299, 400, 599]
    for k in damaged {
      let frame = contents.frames[k]
      try flip(contents.path, at: frame.offsetBytes + Int64(frame.storedBytes - 1), mask: 1)
    }
    let findings = try RunVerification.verify(directory).findings
    #expect(findings.map(\.offset) == damaged.map { contents.frames[$0].offsetBytes })
    #expect(findings.allSatisfy { $0.kind == .pixels && $0.file == contents.path })
    for (k, finding) in zip(damaged, findings) {
      #expect(finding.text.contains("frame \(k) ") && finding.text.contains("changed"), "\(finding)")
    }
  }

  @Test("frames that do not stand one after the other are checked where they are")
  func otherPlaces() throws {
    let temporary = try TemporaryData()
    let directory = try run(temporary, frames: 600, segmentBytes: 1 << 30).directory
    let contents = try SegmentContents(directory.frames, 0)
    // The records of a frame at the beginning and of one behind the first piece change places, with all that they say of them.
    var index = try FileSystem.read(contents.indexPath)
    let (a, b) = (4, 550)
    for (record, of, place) in [(a, b, a * 96), (b, a, b * 96)] {
      var entry = contents.frames[of]
      entry.record.ordinal = UInt32(record)
      index.withUnsafeMutableBytes {
        entry.write(to: UnsafeMutableRawBufferPointer(rebasing: $0[place..<place + 96]), as: .compressed)
      }
    }
    try FileSystem.replace(contents.indexPath, with: index)
    let report = try RunVerification.verify(directory)
    #expect(report.framesChecked == 600 && report.findings.allSatisfy { $0.kind == .index }, "\(report.findings)")
    #expect(report.findings.contains { $0.text.contains("frame 4 begins at") }, "\(report.findings)")
    let stored = contents.frames[a]
    try flip(contents.path, at: stored.offsetBytes + 20, mask: 1)
    let found = try RunVerification.verify(directory).findings.filter { $0.kind == .pixels }
    #expect(found.map(\.offset) == [stored.offsetBytes])
  }

  @Test("what a header or a record says of sizes that cannot be is found, and nothing is read for it")
  func impossibleSizes() throws {
    let temporary = try TemporaryData()
    let directory = try run(temporary).directory
    let contents = try SegmentContents(directory.frames, 0)
    var wide = try FileSystem.read(contents.path)
    for byte in 16..<24 { wide[byte] = byte % 4 < 2 ? 0xFF : byte % 4 == 2 ? 7 : 0 }
    let good = try FileSystem.read(contents.path)
    try FileSystem.replace(contents.path, with: wide)
    let larger = try RunVerification.verify(directory).findings
    #expect(larger.contains { $0.kind == .header && $0.text.contains("larger than any") }, "\(larger)")
    try FileSystem.replace(contents.path, with: good)

    let index = try FileSystem.read(contents.indexPath)
    for (k, change) in [(3, 1 << 31), (2, -1), (5, -1)] {
      var entry = contents.frames[k]
      entry.storedBytes += change
      var bytes = index
      bytes.withUnsafeMutableBytes {
        entry.write(to: UnsafeMutableRawBufferPointer(rebasing: $0[k * 96..<(k + 1) * 96]), as: .compressed)
      }
      try FileSystem.replace(contents.indexPath, with: bytes)
      let report = try RunVerification.verify(directory)
      #expect(report.findings.contains { $0.kind == .pixels && $0.text.contains("frame \(k) ") }, "\(report.findings)")
      #expect(report.findings.contains { $0.kind == .index && $0.text.contains("frame \(k) differs") })
      #expect(report.framesChecked == 12)
    }
  }

  @Test(
    "sizes that cannot be are found in the database as well, where it stands in for a damaged record",
    arguments: [-1, 0])
  func impossibleRow(bytes: Int) throws {
    let temporary = try TemporaryData()
    let run = try run(temporary)
    let contents = try SegmentContents(run.directory.frames, 0)
    try flip(contents.indexPath, at: 3 * 96, mask: 1)
    try run.database.execute("UPDATE frame SET stored_bytes = \(bytes) WHERE frame_number = 3")
    let report = try RunVerification.verify(run.directory)
    #expect(report.framesChecked == 12)
    #expect(report.findings.contains { $0.kind == .pixels && $0.text.contains("frame 3 has \(bytes) bytes") })
  }

  @Test("one changed bit in any byte of an index record is found", arguments: Array(stride(from: 0, to: 96, by: 5)))
  func changedIndex(byte: Int) throws {
    let temporary = try TemporaryData()
    let run = try run(temporary)
    try flip(run.directory.frames.indexPath(0), at: Int64(96 * 4 + byte))
    let report = try RunVerification.verify(run.directory)
    #expect(report.findings.map(\.kind) == [.index], "\(report.findings)")
    // The database still knows where it is.
    #expect(report.framesChecked == 12)
  }

  @Test("every length of frames and index that a kill can leave gives whole frames")
  func everyCut() throws {
    let temporary = try TemporaryData()
    let stored = try SegmentContents(try run(temporary).directory.frames, 0).frames
    let ends = [4096, stored[0].end - 1, stored[0].end, stored[4].end + 7, stored[11].end]
    for pixels in ends {
      for index in [0, 95, 96, 3 * 96 + 1, 12 * 96] as [Int64] {
        for rows in [0, 2] where Int64(rows) * 96 <= index && (rows == 0 || stored[rows - 1].end <= pixels) {
          let temporary = try TemporaryData()
          let directory = try run(temporary, rows: rows, ended: false).directory
          try cut(directory.frames.pixelsPath(0, .compressed), to: pixels)
          try cut(directory.frames.indexPath(0), to: index)
          let expected = min(Int(index / 96), stored.count { $0.end <= pixels })
          let recovery = try RunRecovery(
            directory,
            now: HostClockReading(
              raw: MonotonicTime(nanoseconds: 50), monotonicNanoseconds: 60, unixNanoseconds: 2_000_000_000_000))
          try recovery.perform()
          #expect(recovery.framesTaken == expected - rows, "\(pixels) bytes, index \(index)")
          let report = try RunVerification.verify(directory)
          #expect(report.isSound && report.framesChecked == expected, "\(report.findings)")
          #expect(try directory.frames.segments().count == (expected > 0 ? 1 : 0))
          if expected > 0 {
            let contents = try SegmentContents(directory.frames, 0)
            #expect(contents.header?.frames == expected && contents.fileBytes == stored[expected - 1].end)
          }
        }
      }
    }
  }

  @Test("the header says what it is, and another one is refused")
  func header() throws {
    let header = SegmentHeader(
      format: .compressed, shape: FrameShape(width: 1000, height: 3, bytesPerPixel: 4), frames: 70000, note: "run é")
    let bytes = header.bytes
    #expect(bytes.count == 4096)
    let read = try SegmentHeader(bytes, .compressed)
    #expect(read.shape == header.shape && read.frames == 70000 && read.note == "run ??")
    #expect(String(decoding: bytes[256...], as: UTF8.self).contains("numpy dtype <u4"))
    for byte in [0, 8, 12, 24, 32] {
      var wrong = bytes
      wrong[byte] ^= 0x80
      #expect(throws: RunStoreError.self) { _ = try SegmentHeader(wrong, .compressed) }
    }
    #expect(throws: RunStoreError.self) { _ = try SegmentHeader(Array(bytes[..<100]), .compressed) }
  }
}
