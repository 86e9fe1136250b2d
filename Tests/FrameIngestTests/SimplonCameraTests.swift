import FrameIngest
import FrameRing
import Linux
import Pixels
import Quantities
import Testing

@Suite("SIMPLON camera")
struct SimplonCameraTests {
  private let directory: TemporaryDirectory
  private let ring: FrameRing
  private let sender: FakeSimplonSender
  private let camera: any Camera

  init() throws {
    directory = try TemporaryDirectory()
    ring = try FrameRing.create(directory.path + "/ring", slots: 16, slotBytes: 65536)
    sender = try FakeSimplonSender()
    camera = try CameraModels.make(
      CameraSettings(model: "simplon", url: sender.url, maximumFrameBytes: 65536, maximumLatency: Seconds(0.25)))
    try camera.connect()
    try camera.start(ExposureRequest(series: 1, framePeriod: Seconds(1), exposure: Seconds(1)), into: ring)
  }

  /// The next event that is not a clock pair.
  private func next() throws -> CameraEvent {
    while true {
      let event = try camera.next(into: ring, step: 4, atMost: Seconds(5))
      if case .clockPair = event { continue }
      return event
    }
  }

  private func events(_ count: Int) throws -> [CameraEvent] { try (0..<count).map { _ in try next() } }

  private func pixels(_ sequence: UInt64) -> [UInt16]? {
    ring.read(sequence) { _, pixels in pixels.withMemoryRebound(to: UInt16.self, Array.init) }
  }

  private func header(_ sequence: UInt64) -> FrameHeader? { ring.read(sequence) { header, _ in header } }

  @Test("A whole series, its header in one message or in two", arguments: [true, false])
  func wholeSeries(inOneMessage: Bool) throws {
    let config =
      #"{"trigger_mode":"exts","nimages":3,"ntrigger":1,"description":"QUADRO","detector_number":"E-17","#
      + #""x_pixels_in_detector":4,"y_pixels_in_detector":2,"bit_depth_image":16}"#
    sender.header(34, config: config, inOneMessage: inOneMessage)
    for frame in 0..<3 as Range<UInt64> { sender.image(34, frame) }
    sender.end(34)
    var seen = try events(1)
    if !inOneMessage { seen.append(try next()) }
    seen += try events(4)
    #expect(
      seen.filter { $0 != .nothing } == [
        .seriesStarted(series: 34), .frame, .frame, .frame, .seriesEnded(series: 34, triggered: 3),
      ])
    #expect(pixels(2) == FakeSimplonSender.pixels(2))
    #expect(camera.identity.model == "QUADRO")
    #expect(camera.identity.serial == "E-17")
    #expect(camera.identity.width == 4)
    #expect(camera.identity.pixelType == .u16)
    #expect(!camera.canBeCommanded)
    let frame = try #require(header(1))
    #expect(frame.frameNumber == 1)
    #expect(frame.series == 34)
    #expect(frame.step == 4)
    #expect(frame.deviceNanoseconds == 5000)
    #expect(frame.exposureNanoseconds == 900)
    #expect(frame.width == 4)
    #expect(frame.height == 2)
    #expect(frame.flags == [])
    #expect(frame.pixelCRC == littleEndian(FakeSimplonSender.pixels(1)).withUnsafeBytes { crc32c($0) })
    #expect(ring.statisticsHold)
  }

  @Test("Every encoding gives the same pixels")
  func encodings() throws {
    let words = (0..<64).map { UInt16($0 * 1021 % 65536) }
    let little = littleEndian(words)
    let big = littleEndian(words.map(\.byteSwapped))
    var zeroed = framedBitShuffleLZ4(little, elementBytes: 2)
    zeroed.replaceSubrange(..<12, with: [UInt8](repeating: 0, count: 12))
    let cases: [(String, [UInt8], String)] = [
      ("<", little, "uint16"), (">", big, "uint16"), ("lz4<", literalLZ4(little), "uint16"),
      ("lz4>", literalLZ4(big), "uint16"), ("bs16-lz4<", framedBitShuffleLZ4(little, elementBytes: 2), "uint16"),
      ("bs16-lz4<", zeroed, "uint16"),
    ]
    for (number, (encoding, blob, type)) in cases.enumerated() {
      sender.send(
        FakeSimplonSender.image(1, UInt64(number), blob, shape: "[16,4]", type: type, encoding: encoding))
    }
    #expect(try next() == .seriesStarted(series: 1))
    for number in 0..<UInt64(cases.count) {
      #expect(try next() == .frame, "\(cases[Int(number)].0) \(cases[Int(number)].2)")
      #expect(pixels(number) == words, "\(cases[Int(number)].0) \(cases[Int(number)].2)")
      #expect(header(number)?.pixelType == .u16)
      #expect(header(number)?.width == 16)
    }
    #expect(ring.statisticsHold)
  }

  @Test("8-bit and 32-bit images are recorded with as many bits as were sent")
  func otherDepths() throws {
    let narrow = (0..<64).map { UInt8($0 * 4 + 3) }
    let wide = (0..<64).map { UInt32($0) &* 70_000_001 }
    let swapped = littleEndian(wide.map(\.byteSwapped))
    let cases: [(String, [UInt8], String, [UInt8], PixelType)] = [
      ("<", narrow, "uint8", narrow, .u8), (">", narrow, "uint8", narrow, .u8),
      ("lz4<", literalLZ4(narrow), "uint8", narrow, .u8),
      ("bs8-lz4<", framedBitShuffleLZ4(narrow, elementBytes: 1), "uint8", narrow, .u8),
      ("<", littleEndian(wide), "uint32", littleEndian(wide), .u32), (">", swapped, "uint32", littleEndian(wide), .u32),
      ("bs32-lz4<", framedBitShuffleLZ4(littleEndian(wide), elementBytes: 4), "uint32", littleEndian(wide), .u32),
      ("bs32-lz4>", framedBitShuffleLZ4(swapped, elementBytes: 4), "uint32", littleEndian(wide), .u32),
      ("lz4<", literalLZ4(littleEndian(wide)), "uint32", littleEndian(wide), .u32),
    ]
    for (number, one) in cases.enumerated() {
      sender.send(FakeSimplonSender.image(1, UInt64(number), one.1, shape: "[16,4]", type: one.2, encoding: one.0))
    }
    #expect(try next() == .seriesStarted(series: 1))
    for (number, one) in cases.enumerated() {
      #expect(try next() == .frame, "\(one.0) \(one.2)")
      #expect(ring.read(UInt64(number)) { _, pixels in Array(pixels) } == one.3, "\(one.0) \(one.2)")
      #expect(header(UInt64(number))?.pixelType == one.4)
    }
  }

  @Test("Images that do not add up are refused with their cause, and the stream goes on")
  func refused() throws {
    let good = littleEndian(FakeSimplonSender.pixels(0))
    sender.send(FakeSimplonSender.image(1, 0, Array(good.dropLast())))
    sender.send(FakeSimplonSender.image(1, 1, good, shape: "[4]"))
    sender.send(FakeSimplonSender.image(1, 2, good, shape: "[-4,-2]"))
    sender.send(FakeSimplonSender.image(1, 3, good, type: "float32"))
    sender.send(FakeSimplonSender.image(1, 4, good, encoding: "zstd<"))
    sender.send(FakeSimplonSender.image(1, 5, good, encoding: "bs32-lz4<"))
    sender.send(FakeSimplonSender.image(1, 6, good, shape: "[40000,40000]"))
    sender.send(FakeSimplonSender.image(1, 7, good, encoding: "lz4<"))
    sender.send(Array(FakeSimplonSender.image(1, 8, good)[..<2]))
    sender.send(FakeSimplonSender.image(1, 9, good))
    #expect(
      try events(11) == [
        .seriesStarted(series: 1),
        .refusedFrame(cause: "15 bytes of pixels where the shape needs 16"),
        .refusedFrame(cause: "an image without a usable shape"),
        .refusedFrame(cause: "an image without a usable shape"),
        .refusedFrame(cause: "images of type float32 cannot be recorded"),
        .refusedFrame(cause: "unknown encoding “zstd<” of 16-bit pixels"),
        .refusedFrame(cause: "unknown encoding “bs32-lz4<” of 16-bit pixels"),
        .refusedFrame(cause: "an image of 40000 × 40000, larger than the ring's slots"),
        .refusedFrame(cause: "damaged LZ4 block"),
        .refusedFrame(cause: "an image message of 2 parts"),
        .frame,
      ])
    #expect(header(0)?.unusableBefore == 9)
  }

  @Test("Garbage is counted and harms nobody")
  func garbage() throws {
    let garbage: [[[UInt8]]] = [
      [[]], [[0, 1, 2, 255]], [Array("{".utf8)], [Array("[1,2]".utf8)], [Array(#"{"series":1}"#.utf8)],
      [Array(#"{"htype":"dimage-1.0","series":-1,"frame":0}"#.utf8), [], []],
      [Array(#"{"htype":"dimage-1.0","series":1,"frame":"zero"}"#.utf8)],
      [Array(#"{"htype":"dheader-1.0"}"#.utf8)], [Array(#"{"htype":"dseries_end-1.0","series":1.5}"#.utf8)],
      [[UInt8]](repeating: [7], count: 100),
    ]
    for message in garbage { sender.send(message) }
    for event in try events(garbage.count) {
      guard case .refusedFrame = event else {
        Issue.record("\(event)")
        continue
      }
    }
    sender.image(1, 0)
    #expect(try events(2) == [.seriesStarted(series: 1), .frame])
  }

  @Test("Unknown messages, blobs of header_detail all and appendices are passed over")
  func tolerant() throws {
    sender.send([
      Array(#"{"header_detail":"all","htype":"dheader-1.0","series":5}"#.utf8), Array("{}".utf8),
      Array(#"{"htype":"dflatfield-1.0","shape":[4,2],"type":"float32"}"#.utf8), [UInt8](repeating: 1, count: 32),
      Array("appendix".utf8),
    ])
    sender.send(#"{"htype":"dpixelmask-1.0","shape":[4,2],"type":"uint32"}"#)
    sender.send([[UInt8](repeating: 9, count: 32)])
    sender.send(#"{"htype":"dfuture-2.0"}"#)
    sender.send(FakeSimplonSender.image(5, 0, littleEndian(FakeSimplonSender.pixels(0))) + [Array("note".utf8)])
    sender.send(FakeSimplonSender.image(5, 1, littleEndian(FakeSimplonSender.pixels(1)), times: nil))
    #expect(
      try events(6) == [
        .seriesStarted(series: 5), .nothing, .nothing, .ignored(cause: "a message of an unknown htype"), .frame, .frame,
      ])
    #expect(header(1)?.flags == .noDeviceTime)
  }

  @Test("A stale end and a missing end do not confuse the series")
  func oddEnds() throws {
    sender.end(6)
    sender.header(7)
    sender.image(7, 0)
    sender.header(8)
    sender.image(8, 0)
    sender.end(8)
    sender.image(8, 1)
    #expect(
      try events(8) == [
        .ignored(cause: "the end of a series that was not open"), .seriesStarted(series: 7), .frame,
        .seriesEnded(series: 7, triggered: 1), .seriesStarted(series: 8), .frame,
        .seriesEnded(series: 8, triggered: 1), .refusedFrame(cause: "an image of a series that has ended"),
      ])
  }

  @Test("Joined in the middle: frames count by the stream's own numbers, and loss shows as a gap")
  func joinedLate() throws {
    for frame in [5, 6, 9] as [UInt64] { sender.image(3, frame) }
    sender.end(3)
    #expect(
      try events(5) == [
        .seriesStarted(series: 3), .frame, .frame, .frame, .seriesEnded(series: 3, triggered: 10),
      ])
    var detector = GapDetector(series: 3)
    for sequence in 0..<3 as Range<UInt64> { _ = detector.observe(try #require(header(sequence))) }
    #expect(
      detector.finish(triggered: 10) == [
        FrameGap(series: 3, first: 0, last: 4, frames: 5, cause: .lostAtSource),
        FrameGap(series: 3, first: 7, last: 8, frames: 2, cause: .lostAtSource),
      ])
  }

  @Test("External triggers: each trigger is one frame, or nimages frames")
  func expectedFrames() throws {
    for (series, mode) in ["exte", "inte", "exts", "ints", "sideways"].enumerated() {
      sender.header(UInt64(series), config: #"{"trigger_mode":"\#(mode)","nimages":4,"ntrigger":5}"#)
      sender.image(UInt64(series), 0)
      sender.end(UInt64(series))
    }
    let ends = try events(15).compactMap { event -> UInt64? in
      if case .seriesEnded(_, let triggered) = event { triggered } else { nil }
    }
    #expect(ends == [5, 5, 20, 20, 1])
  }

  @Test("A full ring refuses the frame and the stream goes on")
  func ringFull() throws {
    for frame in 0..<18 as Range<UInt64> { sender.image(1, frame) }
    let seen = try events(19)
    #expect(seen.filter { $0 == .frame }.count == 16)
    #expect(seen.suffix(2) == [.ringFull, .ringFull])
    ring.release(through: 15)
    sender.image(1, 18)
    #expect(try next() == .frame)
    #expect(header(16)?.refusedBefore == 2)
  }

  @Test("A clock pair bounds the end of the exposure by arrival and the assumed latency")
  func clockPair() throws {
    // Its frames come while the receiver waits, or the arrival would say little.
    let url = sender
    let before = MonotonicTime.now
    let feeder = NamedThread("sender") {
      for frame in 0..<20 as Range<UInt64> {
        url.image(1, frame)
        sleepThread(for: Seconds(0.01))
      }
    }
    var pairs: [ClockPair] = []
    var frames = 0
    while frames < 20 {
      let event = try camera.next(into: ring, step: 0, atMost: Seconds(5))
      if case .clockPair(let pair) = event { pairs.append(pair) }
      if event == .frame || event == .ringFull { frames += 1 }
    }
    feeder.join()
    let first = try #require(pairs.first)
    let (earliest, latest) = (try #require(first.earliest), try #require(first.latest))
    #expect(first.deviceNanoseconds == 6000)
    #expect((latest - earliest).nanoseconds == 250_000_000)
    #expect(latest > before)
    #expect(latest < .now)
    // About 20 a second at most.
    let span = MonotonicTime.now - before
    #expect(Double(pairs.count) <= span.value / 0.05 + 1)
  }

  @Test("After stop the frames in flight are recorded until the end of the series")
  func stopsAtEnd() throws {
    sender.image(2, 0)
    #expect(try events(2) == [.seriesStarted(series: 2), .frame])
    try camera.stop()
    sender.image(2, 1)
    sender.end(2)
    #expect(try events(2) == [.frame, .seriesEnded(series: 2, triggered: 2)])
    sender.image(3, 0)
    #expect(try next() == .ignored(cause: "an image while none was asked for"))
  }

  @Test("After stop, silence ends the series with the frames that were seen")
  func stopsBySilence() throws {
    sender.header(2, config: #"{"trigger_mode":"ints","nimages":1000,"ntrigger":1}"#)
    sender.image(2, 0)
    #expect(try events(2) == [.seriesStarted(series: 2), .frame])
    try camera.stop()
    var event = CameraEvent.nothing
    let end = MonotonicTime.now + Seconds(5)
    while event == .nothing, MonotonicTime.now < end {
      event = try camera.next(into: ring, step: 0, atMost: Seconds(0.05))
      if case .clockPair = event { event = .nothing }
    }
    // Not the thousand that the configuration promised: nobody knows whether they were exposed.
    #expect(event == .seriesEnded(series: 2, triggered: 1))
  }

  @Test("A detector that was restarted sends series 1 again, and its frames were taken for repeated ones")
  func seriesNumberComesAgain() throws {
    for _ in 0..<2 {
      for series in [1, 2] as [UInt64] {
        sender.header(series)
        for frame in 0..<2 as Range<UInt64> { sender.image(series, frame) }
        sender.end(series)
      }
    }
    let seen = try events(18)
    #expect(
      seen.suffix(10) == [
        .renumbered(sent: 1, recorded: 3), .seriesStarted(series: 3), .frame, .frame,
        .seriesEnded(series: 3, triggered: 2),
        .renumbered(sent: 2, recorded: 4), .seriesStarted(series: 4), .frame, .frame,
        .seriesEnded(series: 4, triggered: 2),
      ])
    #expect((0..<8).map { header($0)?.series } == [1, 1, 2, 2, 3, 3, 4, 4])
    var detectors: [UInt64: GapDetector] = [:]
    for sequence in 0..<8 as Range<UInt64> {
      let frame = try #require(header(sequence))
      #expect(detectors[frame.series, default: GapDetector(series: frame.series)].observe(frame) == .new)
    }
  }

  @Test("A series number that was used stays used when the connection was lost")
  func seriesNumberComesAgainAfterReconnection() throws {
    sender.image(1, 0)
    #expect(try events(2) == [.seriesStarted(series: 1), .frame])
    camera.close()
    try camera.connect()
    try camera.start(ExposureRequest(series: 1, framePeriod: Seconds(1), exposure: Seconds(1)), into: ring)
    // What the sender gave to the connection that is gone is lost.
    var event = CameraEvent.nothing
    let end = MonotonicTime.now + Seconds(5)
    while event == .nothing, MonotonicTime.now < end {
      sender.image(1, 0)
      event = try camera.next(into: ring, step: 4, atMost: Seconds(0.05))
    }
    #expect(event == .renumbered(sent: 1, recorded: 2))
    #expect(try events(2) == [.seriesStarted(series: 2), .frame])
  }

  @Test("A series number that an index record cannot hold made every frame of it fail")
  func seriesNumberTooLarge() throws {
    sender.image(1 << 32, 0)
    #expect(try events(3) == [.renumbered(sent: 1 << 32, recorded: 0), .seriesStarted(series: 0), .frame])
    #expect(header(0)?.series == 0)
  }

  @Test("A series that goes on over a pause keeps its number")
  func sameSeriesAfterPause() throws {
    sender.image(7, 0)
    #expect(try events(2) == [.seriesStarted(series: 7), .frame])
    try camera.stop()
    var event = CameraEvent.nothing
    while event == .nothing { event = try next() }
    #expect(event == .seriesEnded(series: 7, triggered: 1))
    try camera.start(ExposureRequest(series: 1, framePeriod: Seconds(1), exposure: Seconds(1)), into: ring)
    sender.image(7, 1)
    #expect(try events(2) == [.seriesStarted(series: 7), .frame])
  }

  @Test(
    "Times that no clock reads trapped the arithmetic behind them; the frame is kept, without a time",
    arguments: [
      #""start_time":5000,"stop_time":-9223372036854775808"#, #""start_time":5000,"stop_time":9223372036854775807"#,
      #""start_time":-9223372036854775808,"stop_time":6000"#, #""start_time":-1,"stop_time":6000"#,
      #""start_time":6000,"stop_time":5000"#, #""start_time":5000,"real_time":9223372036854775807"#,
      #""start_time":5000,"stop_time":6000,"real_time":-9223372036854775808"#,
    ])
  func impossibleTimes(times: String) throws {
    let camera = camera
    // The receiver waits when the frame comes, so that a clock pair would be made of it.
    let feeder = NamedThread("sender") { [sender] in
      sleepThread(for: Seconds(0.02))
      sender.image(1, 0, times: #"{"htype":"dconfig-1.0",\#(times)}"#)
      sender.end(1)
    }
    var seen: [CameraEvent] = []
    while seen.last != .seriesEnded(series: 1, triggered: 1) {
      seen.append(try camera.next(into: ring, step: 0, atMost: Seconds(5)))
    }
    feeder.join()
    #expect(seen == [.seriesStarted(series: 1), .frame, .seriesEnded(series: 1, triggered: 1)])
    #expect(header(0)?.flags == .noDeviceTime)
    #expect(header(0)?.deviceNanoseconds == 0)
    #expect(header(0)?.exposureNanoseconds == 0)
  }
}
