import FrameRing
import Glibc
import Linux
import Pixels
import Quantities
import RunStore
import Testing

@testable import FrameIngest

@Suite("Replayed frames")
struct ReplayCameraTests {
  private let directory: TemporaryDirectory
  private let ring: FrameRing

  init() throws {
    directory = try TemporaryDirectory()
    ring = try FrameRing.create(directory.path + "/ring", slots: 64, slotBytes: 4096)
  }

  private func camera(_ url: String, _ rate: ReplayRate = .recorded) throws -> any Camera {
    var settings = CameraSettings(model: "replay", url: url)
    settings.replayRate = rate
    let camera = try CameraModels.make(settings)
    try camera.connect()
    return camera
  }

  private func play(_ camera: any Camera, series: UInt64 = 1, period: Seconds = Seconds(0.002)) throws -> [CameraEvent]
  {
    try camera.start(ExposureRequest(series: series, framePeriod: period, exposure: period * 0.9), into: ring)
    var events: [CameraEvent] = []
    let end = MonotonicTime.now + Seconds(10)
    while MonotonicTime.now < end {
      let event = try camera.next(into: ring, step: 4, atMost: Seconds(0.02))
      if event != .nothing { events.append(event) }
      if case .seriesEnded = event { return events }
    }
    throw BenchError("it does not end")
  }

  private func frames(from first: UInt64 = 0) -> [(header: FrameHeader, pixels: [UInt8])] {
    (first..<ring.published).compactMap { ring.read($0) { ($0, Array($1)) } }
  }

  /// Two series on two segments each: the first without frames 3 and 4, the second with a frame of no device time.
  private func recordRun() throws -> RunDirectory {
    let data = try DataDirectory(creating: directory.path + "/data")
    let run = try RunDirectory.create(in: data, id: ULID(unixNanoseconds: 1), name: "replayed")
    var settings = SegmentSettings()
    settings.segmentBytes = 4096 + 5 * 32
    let writer = SegmentWriter(run.frames, settings)
    for (position, frame) in Self.recorded.enumerated() {
      var record = RecordedFrame(
        frameNumber: frame.number, deviceNanoseconds: frame.device, exposureNanoseconds: 900_000,
        arrival: MonotonicTime(nanoseconds: 5_000_000_000 + Int64(position) * 4_000_000), series: frame.series,
        shape: FrameShape(width: 4, height: 4, bytesPerPixel: 2))
      record.flags = frame.number == 2 && frame.series == 8 ? 2 : 0
      let pixels = Self.pixels(position)
      _ = try pixels.withUnsafeBytes { try writer.append(record, $0, at: .now) }
    }
    try writer.close()
    return run
  }

  private static let recorded: [(series: UInt64, number: UInt64, device: Int64)] =
    [0, 1, 2, 5, 6, 7].map { (7, $0, 1_000_000 * Int64($0)) }
    + [0, 1, 2, 3].map { (8, $0, 50 + 1_000_000 * Int64($0)) }

  private static func pixels(_ position: Int) -> [UInt8] { littleEndian((0..<16).map { UInt16(position * 100 + $0) }) }

  @Test("A recorded run comes again: numbers, holes, stamps and pixels, series by series, and the same every time")
  func run() throws {
    let camera = try camera("file://\(try recordRun().path)")
    #expect([camera.identity.width, camera.identity.height] == [4, 4])
    let began = MonotonicTime.now
    #expect(try play(camera, series: 20).last == .seriesEnded(series: 20, triggered: 8))
    // Five times 4 ms between its six frames.
    #expect(MonotonicTime.now - began >= Seconds(0.020))
    #expect(try play(camera, series: 21).last == .seriesEnded(series: 21, triggered: 4))
    let all = frames()
    #expect(all.map(\.header.frameNumber) == Self.recorded.map(\.number))
    #expect(all.map(\.header.series) == Self.recorded.map { $0.series + 13 })
    #expect(all.map(\.pixels) == Self.recorded.indices.map(Self.pixels))
    let timed = all.filter { !$0.header.flags.contains(.noDeviceTime) }
    #expect(timed.count == all.count - 1)
    #expect(
      timed.map(\.header.deviceNanoseconds)
        == Self.recorded.filter { !($0.series == 8 && $0.number == 2) }.map(\.device))
    #expect(all.allSatisfy { $0.header.exposureNanoseconds == 900_000 && $0.header.step == 4 })

    // After the last series comes the first again.
    _ = try play(camera, series: 22)
    #expect(frames(from: 10).map(\.pixels) == (0..<6).map(Self.pixels))
    #expect(frames(from: 10).map(\.header.pixelCRC) == all.prefix(6).map(\.header.pixelCRC))
    #expect(ring.statisticsHold)
  }

  @Test("At full speed nothing is lost to a full ring; at a chosen speed the clock is that of the replay")
  func speeds() throws {
    let run = try recordRun()
    let small = try FrameRing.create(directory.path + "/small", slots: 2, slotBytes: 4096)
    let fast = try camera("file://\(run.path)", .full)
    try fast.start(ExposureRequest(series: 1, framePeriod: Seconds(1), exposure: Seconds(1)), into: small)
    var events: [CameraEvent] = []
    for _ in 0..<20 { events.append(try fast.next(into: small, step: 0, atMost: Seconds(0.001))) }
    #expect(events.frames == 2)
    #expect(!events.contains(.ringFull))
    small.release(through: 1)
    #expect(try fast.next(into: small, step: 0, atMost: Seconds(0)) == .frame)
    #expect(small.read(2) { header, _ in header.flags } == .noDeviceTime)

    let chosen = try camera("file://\(run.path)", .chosen(Hertz(500)))
    let began = MonotonicTime.now
    _ = try play(chosen)
    #expect(MonotonicTime.now - began >= Seconds(0.012))
    #expect(frames().map(\.header.deviceNanoseconds) == (0..<6).map { Int64($0) * 2_000_000 })
  }

  @Test("An MRC file of 16 bit and a raw file with a header are played at the rate that is asked for")
  func otherFiles() throws {
    var header = [UInt8](repeating: 0, count: 1024)
    func put(_ value: Int, _ offset: Int) { header[offset] = UInt8(value) }
    for (value, offset) in [(4, 0), (4, 4), (3, 8), (6, 12), (0x44, 212), (0x44, 213), (16, 92)] { put(value, offset) }
    header.replaceSubrange(208..<212, with: Array("MAP ".utf8))
    let pixels = (0..<3).flatMap(Self.pixels)
    try FileSystem.replace(directory.path + "/movie.mrc", with: header + Array(repeating: 9, count: 16) + pixels)
    #expect(try play(try camera("file://\(directory.path)/movie.mrc")).frames == 3)
    #expect(frames().map(\.pixels) == (0..<3).map(Self.pixels))
    #expect(frames().map(\.header.deviceNanoseconds) == [0, 2_000_000, 4_000_000])

    try FileSystem.replace(directory.path + "/movie.raw", with: [1, 2, 3] + pixels + [4])
    let raw = try camera("file://\(directory.path)/movie.raw?width=4&height=2&type=u16&offset=3")
    let events = try play(raw)
    #expect(events.first == .ignored(cause: "\(directory.path)/movie.raw has 1 bytes behind its last whole frame"))
    #expect(frames(from: 3).flatMap(\.pixels) == pixels)
    #expect(frames(from: 3).map(\.header.frameNumber) == Array(0..<6))

    // Signed pixels can be replayed as long as none is negative.
    put(1, 12)
    var signed = pixels
    signed[33] = 0x80
    try FileSystem.replace(directory.path + "/signed.mrc", with: header + Array(repeating: 9, count: 16) + signed)
    let mixed = try play(try camera("file://\(directory.path)/signed.mrc"))
    #expect(mixed.frames == 2)
    #expect(mixed.refusals == ["a frame with negative pixels"])
    #expect(mixed.triggered == 3)
  }

  @Test("Pixels that are not what was recorded are refused; damaged records are left out, and that is said")
  func damage() throws {
    let run = try recordRun()
    func patch(_ path: String, _ offset: Int) throws {
      var bytes = try FileSystem.read(path)
      bytes[offset] ^= 1
      try FileSystem.replace(path, with: bytes)
    }
    try patch(run.path + "/frames-0000.mrc", 4096 + 32)
    try patch(run.path + "/frames-0000.idx", 2 * 64 + 8)
    let events = try play(try camera("file://\(run.path)"))
    #expect(events.refusals == ["pixels that do not match the checksum of their record"])
    #expect(events.contains(.ignored(cause: "\(run.path)/frames-0000.idx has 1 records that cannot be used")))
    #expect(frames().map(\.header.frameNumber) == [0, 5, 6, 7])
    #expect(frames().last?.header.unusableBefore == 0)
  }

  /// The frames of `recordRun` in another size and depth; every third is noise, which no method makes smaller.
  private func recordRun(_ name: String, _ type: PixelType, _ compression: FrameCompression?) throws -> RunDirectory {
    let data = try DataDirectory(creating: directory.path + "/data")
    let run = try RunDirectory.create(in: data, id: ULID(unixNanoseconds: 1), name: name)
    var settings = SegmentSettings()
    settings.segmentBytes = 4096 + 3 * 1024 * Int64(type.bytesPerPixel)
    settings.compression = compression
    settings.compressionBacklogBytes = 1 << 20
    let writer = SegmentWriter(run.frames, settings)
    let shape = FrameShape(width: 32, height: 32, bytesPerPixel: type.bytesPerPixel)
    let pixels = Self.recorded.indices.map { Self.pixels($0, count: shape.bytes) }
    for (position, frame) in Self.recorded.enumerated() {
      let record = RecordedFrame(
        frameNumber: frame.number, deviceNanoseconds: frame.device, exposureNanoseconds: 900_000,
        arrival: MonotonicTime(nanoseconds: 5_000_000_000 + Int64(position) * 1_000_000), series: frame.series,
        flags: frame.number == 2 && frame.series == 8 ? 2 : 0, shape: shape)
      _ = try pixels[position].withUnsafeBytes { try writer.append(record, $0, at: .now) }
      // The pixels are the writer's until it has them on the file.
      try writer.flush()
    }
    try writer.close()
    return run
  }

  private static func pixels(_ position: Int, count: Int) -> [UInt8] {
    var state = UInt64(position + 1)
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return position % 3 == 2 || state >> 58 == 0 ? UInt8(state >> 33 & 0xFF) : 0
    }
  }

  private func played(_ url: String, _ rate: ReplayRate) throws -> [(header: FrameHeader, pixels: [UInt8])] {
    let camera = try camera(url, rate)
    let first = ring.published
    let events = try play(camera, series: 30) + play(camera, series: 31)
    #expect(events.refusals == [])
    #expect(events.contains(.seriesEnded(series: 30, triggered: 8)))
    #expect(events.last == .seriesEnded(series: 31, triggered: 4))
    defer { ring.release(through: ring.published - 1) }
    return frames(from: first).map { frame in
      var header = frame.header
      header.arrival = MonotonicTime(nanoseconds: 0)
      return (header, frame.pixels)
    }
  }

  @Test(
    "A compressed run comes again as the same run in plain segments does: pixels, numbers, stamps and checksums",
    arguments: FrameCompression.allCases, [PixelType.u8, .u16, .u32])
  func compressedRun(_ method: FrameCompression, _ type: PixelType) throws {
    let plain = try recordRun("plain", type, nil)
    let compressed = try recordRun("compressed", type, method)
    var encodings: [FrameEncoding] = []
    for number in try compressed.frames.segments() {
      encodings += try SegmentContents(compressed.frames, number).frames.map(\.encoding)
    }
    #expect(encodings == Self.recorded.indices.map { $0 % 3 == 2 ? .raw : FrameEncoding(method) })
    #expect(try compressed.frames.segments().count > 1)
    for rate in [ReplayRate.recorded, .full] {
      let expected = try played("file://\(plain.path)", rate)
      let found = try played("file://\(compressed.path)", rate)
      #expect(found.map(\.header) == expected.map(\.header))
      #expect(found.map(\.pixels) == Self.recorded.indices.map { Self.pixels($0, count: 1024 * type.bytesPerPixel) })
      #expect(found.map(\.pixels) == expected.map(\.pixels))
    }
    let one = try camera("file://\(compressed.path)/frames-0000.bsf", .full)
    let first = ring.published
    _ = try play(one)
    #expect(ring.published > first)
    #expect(frames(from: first).first?.pixels == Self.pixels(0, count: 1024 * type.bytesPerPixel))
  }

  private func change(_ path: String, _ body: (inout [UInt8]) -> Void) throws {
    var bytes = try FileSystem.read(path)
    body(&bytes)
    try FileSystem.replace(path, with: bytes)
  }

  @Test("A compressed frame that has changed is refused, and records that say what cannot be are left out")
  func damagedFrames() throws {
    let run = try recordRun("damaged", .u16, .bslz4)
    let contents = try SegmentContents(run.frames, 0)
    let entries = contents.frames
    let url = "file://\(run.path)"
    try change(contents.path) { $0[Int(entries[1].offsetBytes) + 20] ^= 1 }
    try change(contents.path) { $0[Int(entries[2].offsetBytes) + 20] ^= 1 }
    let events = try play(try camera(url, .full))
    #expect(
      events.refusals == [
        "a compressed frame that has changed on the file; `insituctl runs verify` says which",
        "pixels that do not match the checksum of their record",
      ])
    #expect(frames().map(\.header.frameNumber).prefix(2) == [0, 5])

    // Records whose checksum is right and whose place is not: nothing is read there.
    for (offset, value) in [(64, UInt64(1 << 40)), (72, 0), (72, 2049), (72, .max), (64, .max), (60, 4)] {
      let index = try FileSystem.read(contents.indexPath)
      try change(contents.indexPath) { bytes in
        for k in 0..<(offset == 60 ? 4 : 8) { bytes[offset + k] = UInt8(truncatingIfNeeded: value >> UInt64(8 * k)) }
        let sum = bytes[..<92].withUnsafeBytes { crc32c($0) }
        for k in 0..<4 { bytes[92 + k] = UInt8(truncatingIfNeeded: sum >> UInt32(8 * k)) }
      }
      let seen = ring.published
      let events = try play(try camera(url, .full))
      #expect(events.contains(.ignored(cause: "\(contents.indexPath) has 1 records that cannot be used")))
      #expect(ring.published > seen)
      #expect(frames(from: seen).first?.header.frameNumber == 5, "\(offset): \(value)")
      ring.release(through: ring.published - 1)
      try FileSystem.replace(contents.indexPath, with: index)
    }
    // What is behind the end of a file that was cut is not played.
    try change(contents.path) { $0.removeLast(1) }
    let cut = try play(try camera(url, .full))
    #expect(cut.contains(.ignored(cause: "\(contents.indexPath) has 1 records that cannot be used")))
  }

  @Test("A compressed segment that is damaged is refused with its name and what helps")
  func damagedSegments() throws {
    let run = try recordRun("refused", .u16, .bszstd)
    let (path, index) = (run.path + "/frames-0001.bsf", run.path + "/frames-0001.idx")
    let (segment, records) = (try FileSystem.read(path), try FileSystem.read(index))
    func cause() throws -> String {
      defer { try? FileSystem.replace(path, with: segment) }
      do {
        _ = try camera("file://\(run.path)")
        return "none"
      } catch { return "\(error)" }
    }
    let remedy = "bring it back from a copy of the run, or move frames-0001.bsf and its .idx elsewhere"
    try change(path) { $0[0] = 0 }
    var said = try cause()
    #expect(said.contains("\(path) is no segment of compressed frames") && said.contains(remedy), "\(said)")
    try change(path) { $0.removeLast($0.count - 100) }
    said = try cause()
    #expect(said.contains("\(path) is no segment of compressed frames") && said.contains(remedy), "\(said)")
    try change(path) { $0[8] = 2 }
    said = try cause()
    #expect(said.contains("\(path) is a segment of version 2") && said.contains("export RUN --format mrc"), "\(said)")
    for field in [16, 20, 24] {
      try change(path) { bytes in
        bytes[field] = 0
        bytes[field + 2] = 9
      }
      said = try cause()
      #expect(said.contains("\(path) says ") && said.contains(remedy), "\(said)")
    }
    FileSystem.remove(index)
    said = try cause()
    #expect(said.contains("\(path) has no index") && said.contains(remedy), "\(said)")
    try FileSystem.replace(index, with: records)
    #expect(try cause() == "none")
  }

  @Test("Stop ends the series where it is")
  func stop() throws {
    let camera = try camera("file://\(try recordRun().path)", .chosen(Hertz(1000)))
    try camera.start(ExposureRequest(series: 1, framePeriod: Seconds(1), exposure: Seconds(1)), into: ring)
    while try camera.next(into: ring, step: 0, atMost: Seconds(0.1)) != .frame {}
    try camera.stop()
    #expect(try camera.next(into: ring, step: 0, atMost: Seconds(0.1)) == .seriesEnded(series: 1, triggered: 1))
    #expect(try camera.next(into: ring, step: 0, atMost: Seconds(0)) == .nothing)
  }

  @Test("What cannot be replayed is refused with its cause")
  func refusals() throws {
    func cause(_ url: String) -> String {
      do {
        _ = try camera(url)
        return "none"
      } catch { return "\(error)" }
    }
    let path = directory.path
    try FileSystem.replace(path + "/text.mrc", with: Array("no movie".utf8))
    try FileSystem.replace(path + "/x.raw", with: [1, 2, 3])
    #expect(cause("/movie.mrc").contains("write for example file:///data/runs/NAME"))
    #expect(cause("file://\(path)/none").contains("there is no \(path)/none"))
    #expect(cause("file://\(path)/text.mrc").contains("is no little-endian MRC2014 file"))
    #expect(cause("file://\(path)/x.raw").contains("of a raw file say what it is"))
    #expect(cause("file://\(path)/x.raw?width=4").contains("a raw file needs"))
    #expect(cause("file://\(path)/x.raw?width=4&height=4&depth=2").contains("“depth=2” is none of"))
    #expect(cause("file://\(path)/x.raw?width=4&height=4&type=f32").contains("type must be u8, u16 or u32"))
    #expect(cause("file://\(path)/x.raw?width=4&height=4").contains("there are no frames"))
    #expect(cause("file://\(path)").contains("there are no frames"))
  }
}
