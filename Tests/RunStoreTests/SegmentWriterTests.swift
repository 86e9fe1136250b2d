import Glibc
import Linux
import Quantities
import RunStore
import Testing

@Suite("Writing segments")
struct SegmentWriterTests {
  private let pages = FrameShape(width: 512, height: 512, bytesPerPixel: 2)  // 512 KiB: written from where they are
  private let odd = FrameShape(width: 515, height: 515, bytesPerPixel: 2)  // 530450 bytes: gathered
  private let small = FrameShape(width: 64, height: 64, bytesPerPixel: 2)

  private func directory(_ temporary: TemporaryData) throws -> RunDirectory {
    try RunDirectory.create(in: temporary.data, id: ULID(unixNanoseconds: 1), name: "frames")
  }

  @Test(
    "frames are on the file as they came, behind a page of header, with their records",
    arguments: [(512, 512, 2), (515, 515, 2), (64, 64, 2), (33, 7, 1), (100, 101, 4), (1, 1, 1)], [true, false])
  func wholeSegment(_ size: (Int, Int, Int), direct: Bool) throws {
    let temporary = try TemporaryData(onDisk: true)
    let directory = try directory(temporary)
    let shape = FrameShape(width: size.0, height: size.1, bytesPerPixel: size.2)
    var settings = SegmentSettings()
    settings.direct = direct
    var stored: [StoredFrame] = []
    let writer = SegmentWriter(directory.frames, settings) { stored += $0 }
    for k in 0..<11 {
      try writer.write(shape, k)
      #expect(writer.position == UInt64(k + 1))
    }
    try writer.close()
    #expect(stored.map(\.segment) == Array(repeating: 0, count: 11))
    #expect(stored.map(\.offsetBytes) == (0..<11).map { 4096 + Int64($0 * shape.bytes) })
    let all = try bytes(directory.frames.pixelsPath(0))
    #expect(all.count == 4096 + 11 * shape.bytes)
    #expect(try MRCHeader(all) == MRCHeader(shape: shape, frames: 11))
    for k in 0..<11 {
      let same = holds(all, at: 4096 + k * shape.bytes, shape, k)
      #expect(same, "frame \(k)")
    }
    let contents = try SegmentContents(directory.frames, 0)
    #expect(contents.indexTail == 0)
    #expect(contents.frames == stored)
    #expect(stored.map(\.record.position) == Array(0..<11))
    #expect(stored[4].record.pixelCRC == pixels(shape, 4).withUnsafeBytes { crc32c($0) })
    #expect(writer.framesOnFile == 11)
    #expect(writer.bytesOnFile == UInt64(11 * shape.bytes))
  }

  @Test("a reader never meets a file without frames, nor a count beyond what is on it")
  func readableWhileWriting() throws {
    for shape in [pages, odd, small] {
      let temporary = try TemporaryData(onDisk: true)
      let directory = try directory(temporary)
      var settings = SegmentSettings()
      settings.headerInterval = Seconds(0.01)
      let writer = SegmentWriter(directory.frames, settings)
      for k in 0..<40 {
        try writer.write(shape, k)
        if k % 7 == 6 { try writer.flush() }
        let all = try bytes(directory.frames.pixelsPath(0))
        guard !all.isEmpty else { continue }  // gathered: nothing written yet
        let header = try MRCHeader(all)
        #expect(header.frames >= 1)
        #expect(all.count >= 4096 + header.frames * shape.bytes)
        let contents = try SegmentContents(directory.frames, 0)
        #expect(contents.records.count >= header.frames)
        #expect(contents.wholeFrames ?? 0 >= contents.records.count)
        let same = holds(all, at: 4096 + (header.frames - 1) * shape.bytes, shape, header.frames - 1)
        #expect(same)
        if k % 7 == 6 {
          #expect(header.frames == k + 1)
          #expect(all.count == 4096 + (k + 1) * shape.bytes)
        }
      }
      try writer.close()
    }
  }

  @Test("the header follows the data about once a second, and at the end exactly")
  func headerLags() throws {
    let temporary = try TemporaryData(onDisk: true)
    let directory = try directory(temporary)
    let writer = SegmentWriter(directory.frames)
    for k in 0..<401 { try writer.write(small, k) }  // one second at 400 fps
    let during = try MRCHeader(bytes(directory.frames.pixelsPath(0))).frames
    #expect(during > 300 && during <= 401)
    try writer.close()
    #expect(try MRCHeader(bytes(directory.frames.pixelsPath(0))).frames == 401)
  }

  @Test("a segment ends before the frame that would make it too large, and at a change of shape")
  func rotation() throws {
    let temporary = try TemporaryData(onDisk: true)
    let directory = try directory(temporary)
    var settings = SegmentSettings()
    settings.segmentBytes = 4096 + 3 * Int64(odd.bytes) + 100
    var stored: [StoredFrame] = []
    let writer = SegmentWriter(directory.frames, settings) { stored += $0 }
    for k in 0..<7 { try writer.write(odd, k) }
    try writer.write(small, 7)
    try writer.write(odd, 8)
    try writer.close()
    #expect(stored.map(\.segment) == [0, 0, 0, 1, 1, 1, 2, 3, 4])
    #expect(stored.map(\.record.position) == Array(0..<9))
    #expect(stored.map(\.record.ordinal) == [0, 1, 2, 0, 1, 2, 0, 0, 0])
    #expect(try directory.frames.segments() == [0, 1, 2, 3, 4])
    #expect(FileSystem.size(of: directory.frames.pixelsPath(1)) == 4096 + 3 * Int64(odd.bytes))
    #expect(try SegmentContents(directory.frames, 3).header?.shape == small)
  }

  @Test("what was reserved is given back at the end")
  func reservation() throws {
    let temporary = try TemporaryData(onDisk: true)
    let directory = try directory(temporary)
    var settings = SegmentSettings()
    settings.reservationBytes = 64 << 20
    let writer = SegmentWriter(directory.frames, settings)
    try writer.write(pages, 0)
    var status = stat()
    #expect(stat(directory.frames.pixelsPath(0), &status) == 0)
    #expect(status.st_blocks * 512 > 60 << 20)
    try writer.close()
    #expect(stat(directory.frames.pixelsPath(0), &status) == 0)
    #expect(status.st_blocks * 512 < 4 << 20)
  }

  @Test("nothing is reserved that would take the room that is to be kept free")
  func noReservation() throws {
    let temporary = try TemporaryData(onDisk: true)
    let directory = try directory(temporary)
    var settings = SegmentSettings()
    settings.reservationBytes = 64 << 20
    settings.freeBytesKept = 1 << 60
    let writer = SegmentWriter(directory.frames, settings)
    try writer.write(pages, 0)
    var status = stat()
    #expect(stat(directory.frames.pixelsPath(0), &status) == 0)
    #expect(status.st_blocks * 512 < 8 << 20)
    try writer.close()
  }

  @Test("frames that cannot be stored are refused and nothing is written")
  func badFrames() throws {
    let temporary = try TemporaryData(onDisk: true)
    let writer = SegmentWriter(try directory(temporary).frames)
    let time = MonotonicTime(nanoseconds: 0)
    func refused(_ shape: FrameShape, _ count: Int, series: UInt64 = 0) -> SegmentError.Kind? {
      let frame = RecordedFrame(
        frameNumber: 0, deviceNanoseconds: 0, exposureNanoseconds: 0, arrival: time, series: series, shape: shape)
      let buffer = [UInt8](repeating: 0, count: count)
      do throws(SegmentError) {
        var failure: SegmentError?
        buffer.withUnsafeBytes {
          do throws(SegmentError) { try writer.append(frame, $0, at: time) } catch { failure = error }
        }
        if let failure { throw failure }
        return nil
      } catch {
        return error.kind
      }
    }
    #expect(refused(small, 8191) == .badFrame)
    #expect(refused(FrameShape(width: 0, height: 4, bytesPerPixel: 2), 0) == .badFrame)
    #expect(refused(FrameShape(width: 4, height: 4, bytesPerPixel: 3), 48) == .badFrame)
    #expect(refused(small, 8192, series: 1 << 32) == .badFrame)
    #expect(writer.position == 0)
    #expect(refused(small, 8192) == nil)
    try writer.close()
  }

  /// The N-th write fails, for every N, after none or some of its bytes.
  @Test(
    "a full disk leaves whole frames, says what is lost, and the next frame begins anew", arguments: [0, 4096],
    [1, 2, 4])
  func diskFull(after: Int, underWay: Int) throws {
    for shape in [pages, odd, small] {
      for failing in 0..<(shape == small ? 24 : 18) {
        let temporary = try TemporaryData(onDisk: underWay == 4 && after == 0)
        let directory = try directory(temporary)
        let countdown = Monitor(failing)
        var settings = SegmentSettings()
        settings.segmentBytes = 4096 + 3 * Int64(shape.bytes)
        settings.reservationBytes = 4 << 20
        settings.headerInterval = Seconds(0.004)
        settings.gatherInterval = Seconds(0.004)
        settings.writesUnderWay = underWay
        settings.fault = { _, _ in
          countdown.update { left in
            left -= 1
            return left == -1 ? WriteFault(number: ENOSPC, after: after) : nil
          }
        }
        var stored: [StoredFrame] = []
        let writer = SegmentWriter(directory.frames, settings) { stored += $0 }
        let slots = FrameSlots(writer, shape)
        for k in 0..<7 { slots.write(k) }
        slots.close()
        for error in slots.errors {
          #expect(error.kind == .diskFull)
          #expect(error.description.contains("disk is full"))
        }
        #expect(slots.errors.count <= 1)
        #expect(slots.held == 0)
        #expect(UInt64(stored.count) + slots.lost == 7, "write \(failing) of \(shape) failing")
        #expect(stored.map(\.record.position) == Array(0..<UInt64(stored.count)))
        var onFile: [StoredFrame] = []
        for number in try directory.frames.segments() {
          let contents = try SegmentContents(directory.frames, number)
          #expect(contents.header?.frames == contents.records.count)
          #expect(contents.wholeFrames == contents.records.count)
          #expect(contents.fileBytes == contents.offset(ofFrame: contents.records.count))
          onFile += contents.frames
        }
        #expect(onFile == stored, "write \(failing) of \(shape) failing")
      }
    }
  }
}
