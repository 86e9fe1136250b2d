import Glibc
import Linux
import Pixels
import Quantities
import RunStore
import Testing

/// Plain segments, and compressed ones.
private let compressions: [FrameCompression?] = [nil, .bslz4]

@Suite("Several writes under way")
struct WritesUnderWayTests {
  /// 512 KiB: each is written from where it is.
  private static let pages = FrameShape(width: 512, height: 512, bytesPerPixel: 2)
  /// 8 KiB: written from where they are, three in one write.
  private static let few = FrameShape(width: 64, height: 64, bytesPerPixel: 2)
  /// Gathered: larger than a block, and many to a block.
  private static let odd = FrameShape(width: 203, height: 101, bytesPerPixel: 2)
  private static let small = FrameShape(width: 33, height: 7, bytesPerPixel: 2)
  private static let shapes = [pages, few, odd, small]
  private static func frames(_ shape: FrameShape) -> Int { shape == small ? 150 : shape == few ? 39 : 13 }

  private func settings(_ shape: FrameShape, _ compression: FrameCompression?, _ queue: UnrulyQueue) -> SegmentSettings
  {
    var settings = SegmentSettings.small
    settings.compression = compression
    settings.compressionThreads = 2
    settings.compressionBacklogBytes = 2 * shape.bytes
    settings.segmentBytes = 4096 + Int64(Self.frames(shape) * 2 / 3 * shape.bytes) + 100
    settings.headerInterval = Seconds(0.005)
    settings.gatherInterval = Seconds(shape == Self.small ? 0.1 : 0.01)
    settings.gatherBytes = 8192
    settings.leastWriteBytes = 20_000
    settings.queue = { _ in queue }
    return settings
  }

  /// Frames that the index describes; each must be on the file as it was handed over, and the header must not count more.
  private func described(_ files: FrameFiles) throws -> Int {
    var count = 0
    for number in try files.segments() {
      let contents = try SegmentContents(files, number)
      guard let header = contents.header else {
        #expect(contents.entries.isEmpty)
        continue
      }
      let reader = try SegmentReader(contents)
      let buffer = AlignedBuffer(count: header.shape.bytes)
      let room = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<header.shape.bytes])
      for entry in contents.entries {
        let entry = try #require(entry)
        try reader.read(entry, into: room)
        let same = pixels(header.shape, Int(entry.record.frameNumber)).withUnsafeBytes {
          memcmp($0.baseAddress!, room.baseAddress!, room.count) == 0
        }
        #expect(same, "frame \(entry.record.frameNumber)")
        count += 1
      }
      #expect(header.frames <= contents.entries.count && header.frames > 0)
    }
    return count
  }

  @Test(
    "in whatever order writes end, a record comes after its pixels and memory is released in order", arguments: 0..<6,
    compressions)
  func reordered(seed: UInt64, compression: FrameCompression?) throws {
    for shape in Self.shapes {
      let temporary = try TemporaryData()
      let run = try temporary.run()
      let queue = UnrulyQueue(limit: 64, seed: seed, laziness: Self.frames(shape) / 4)
      var stored: [StoredFrame] = []
      let writer = SegmentWriter(run.directory.frames, settings(shape, compression, queue)) { stored += $0 }
      let slots = FrameSlots(writer, shape)
      let count = Self.frames(shape)
      for k in 0..<count {
        slots.write(k)
        if k % (count - 6) == count - 7 { slots.flush() }
        if k % 5 == 4 { writer.synchronize() }
        if k % (count / 13) == 0 { #expect(try described(run.directory.frames) == stored.count) }
      }
      slots.close()
      #expect(slots.errors.isEmpty)
      #expect(slots.held == 0)
      #expect(stored.map(\.record.position) == Array(0..<UInt64(count)))
      #expect(try described(run.directory.frames) == count)
      // The queue was used as it is meant to be.
      if compression == nil { #expect(queue.mostUnderWay > 1) }
    }
  }

  /// The N-th write fails as it ends, for every N, while others are under way.
  @Test(
    "a write that fails while others are under way costs what comes after it, and nothing before", arguments: 0..<4,
    compressions)
  func failing(seed: UInt64, compression: FrameCompression?) throws {
    for shape in Self.shapes {
      let count = Self.frames(shape)
      var failing = 0
      while true {
        let temporary = try TemporaryData()
        let run = try temporary.run()
        let queue = UnrulyQueue(limit: 64, seed: seed, failing: failing, laziness: count / 4)
        var stored: [StoredFrame] = []
        let writer = SegmentWriter(run.directory.frames, settings(shape, compression, queue)) { stored += $0 }
        let slots = FrameSlots(writer, shape)
        for k in 0..<count { slots.write(k) }
        slots.close()
        if queue.endedWrites <= failing {
          #expect(slots.errors.isEmpty && stored.count == count)
          break
        }
        #expect(slots.errors.count <= 1 && slots.errors.allSatisfy { $0.kind == .diskFull })
        #expect(slots.held == 0)
        #expect(UInt64(stored.count) + slots.lost == UInt64(count), "write \(failing) of \(shape)")
        #expect(stored.map(\.record.position) == Array(0..<UInt64(stored.count)))
        #expect(writer.position == UInt64(stored.count))
        #expect(try described(run.directory.frames) == stored.count)
        for number in try run.directory.frames.segments() {
          let contents = try SegmentContents(run.directory.frames, number)
          #expect(contents.header?.frames == contents.records.count)
          #expect(contents.fileBytes == contents.offset(ofFrame: contents.entries.count))
        }
        failing += 1
      }
      #expect(failing > (compression == nil ? 8 : 0), "\(shape)")
    }
  }

  @Test(
    "a daemon killed between any two writes leaves what was indexed, and nothing is taken for a frame that is none",
    arguments: compressions)
  func killed(compression: FrameCompression?) throws {
    for shape in Self.shapes {
      let temporary = try TemporaryData()
      let run = try temporary.run()
      let queue = UnrulyQueue(limit: 64, seed: 5, laziness: Self.frames(shape) / 4)
      var stored: [StoredFrame] = []
      let writer = SegmentWriter(run.directory.frames, settings(shape, compression, queue)) { stored += $0 }
      var kills: [(TemporaryData, RunDirectory, frames: Int)] = []
      queue.ended = {
        do {
          let left = try TemporaryData()
          kills.append((left, try copy(run.directory, to: left), stored.count))
        } catch { Issue.record(error) }
      }
      let slots = FrameSlots(writer, shape)
      for k in 0..<Self.frames(shape) { slots.write(k) }
      slots.close()
      #expect(kills.count > (compression == nil ? 8 : 0))
      for (left, directory, frames) in kills {
        let recovery = try RunRecovery(
          directory,
          now: HostClockReading(
            raw: MonotonicTime(nanoseconds: 50), monotonicNanoseconds: 60, unixNanoseconds: 2_000_000_000_000))
        try recovery.perform()
        #expect(recovery.framesTaken == frames)
        #expect(try RunVerification.verify(directory).isSound)
        #expect(try described(directory.frames) == frames)
        withExtendedLifetime(left) {}
      }
    }
  }

  /// The files as they are at this moment.
  private func copy(_ directory: RunDirectory, to other: TemporaryData) throws -> RunDirectory {
    let path = "\(other.data.runsPath)/\(directory.name)"
    try FileSystem.makeDirectories(path)
    for name in try FileSystem.list(directory.path) {
      try FileSystem.replace("\(path)/\(name)", with: bytes("\(directory.path)/\(name)"))
    }
    return try #require(RunDirectory(existing: path))
  }

  @Test("segments that end faster than the disk can synchronize them took more places in the queue than it had")
  func manySegments() throws {
    let temporary = try TemporaryData()
    let run = try temporary.run()
    var settings = SegmentSettings.small
    settings.queue = { limit in
      let queue = UnrulyQueue(limit: limit, seed: 3, laziness: 1000)
      queue.isSlowToSynchronize = true
      return queue
    }
    settings.segmentBytes = 4096 + 6 * Int64(Self.pages.bytes)
    var stored: [StoredFrame] = []
    let writer = SegmentWriter(run.directory.frames, settings) { stored += $0 }
    let slots = FrameSlots(writer, Self.pages)
    for k in 0..<90 { slots.write(k) }
    slots.close()
    #expect(slots.errors.isEmpty && stored.count == 90)
    #expect(try run.directory.frames.segments().count == 15)
  }

  @Test("where the kernel has no queue, the same frames are written one after the other", arguments: [true, false])
  func blocking(isBlocking: Bool) throws {
    for shape in Self.shapes {
      let temporary = try TemporaryData(onDisk: true)
      let run = try temporary.run()
      var settings = SegmentSettings.small
      settings.segmentBytes = 4096 + 9 * Int64(shape.bytes) + 100
      settings.gatherBytes = 8192
      settings.leastWriteBytes = 1
      if isBlocking { settings.queue = { BlockingFileQueue(limit: $0) } }
      var stored: [StoredFrame] = []
      let writer = SegmentWriter(run.directory.frames, settings) { stored += $0 }
      let slots = FrameSlots(writer, shape)
      for k in 0..<25 {
        slots.write(k)
        // Nothing stays under way in a queue that waits.
        if isBlocking { #expect(slots.held == 0) }
        if k == 12 { writer.synchronize() }
      }
      slots.close()
      #expect(slots.errors.isEmpty && stored.count == 25)
      #expect(try described(run.directory.frames) == 25)
    }
  }
}
