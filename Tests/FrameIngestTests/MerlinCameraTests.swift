import FrameRing
import Linux
import Pixels
import Quantities
import Testing
import TwinBench

@testable import FrameIngest

@Suite("Merlin camera")
struct MerlinCameraTests {
  private let directory: TemporaryDirectory
  private let ring: FrameRing

  init() throws {
    directory = try TemporaryDirectory()
    ring = try FrameRing.create(directory.path + "/ring", slots: 16, slotBytes: 65536)
  }

  private let request = ExposureRequest(series: 7, framePeriod: Seconds(0.0025), exposure: Seconds(0.0024))

  private func connected(_ merlin: FakeMerlin) throws -> any Camera {
    let camera = try CameraModels.make(merlin.settings)
    try camera.connect()
    try #require(merlin.waitForClient())
    return camera
  }

  /// Connected, and started with series 7.
  private func started(_ merlin: FakeMerlin) throws -> any Camera {
    let camera = try connected(merlin)
    try camera.start(request, into: ring)
    return camera
  }

  /// The next event that is neither a clock pair nor nothing.
  private func next(_ camera: any Camera) throws -> CameraEvent {
    let end = MonotonicTime.now + Seconds(5)
    while MonotonicTime.now < end {
      let event = try camera.next(into: ring, step: 4, atMost: Seconds(0.1))
      if case .clockPair = event { continue }
      if event != .nothing { return event }
    }
    return .nothing
  }

  private func events(_ camera: any Camera, _ count: Int) throws -> [CameraEvent] {
    try (0..<count).map { _ in try next(camera) }
  }

  private func header(_ sequence: UInt64) -> FrameHeader? { ring.read(sequence) { header, _ in header } }
  private func bytes(_ sequence: UInt64) -> [UInt8]? { ring.read(sequence) { _, pixels in Array(pixels) } }

  @Test("A series: what is asked of the camera, and its frames with swapped pixels")
  func series() throws {
    let merlin = try FakeMerlin()
    let camera = try started(merlin)
    #expect(camera.canBeCommanded)
    #expect(camera.identity.model == "Merlin, software 1.6.1.217")
    #expect(
      merlin.requests == [
        "GET,SOFTWAREVERSION,0", "GET,DETECTORSTATUS,0", "SET,ACQUISITIONTIME,2.4", "SET,ACQUISITIONPERIOD,2.5",
        "SET,NUMFRAMESTOACQUIRE,2147483647", "CMD,STARTACQUISITION,0",
      ])
    try merlin.send(merlinAcquisition() + merlinFrame(1) + merlinFrame(2) + merlinFrame(4))
    #expect(try events(camera, 3) == [.frame, .frame, .frame])
    try camera.stop()
    #expect(merlin.requests.last == "CMD,STOPACQUISITION,0")
    try merlin.send(merlinFrame(5))
    #expect(try events(camera, 2) == [.frame, .seriesEnded(series: 7, triggered: 5)])
    #expect((0..<4).map { header($0)?.frameNumber } == [0, 1, 3, 4])
    #expect(bytes(1) == littleEndian((0..<8).map { UInt16(2 + $0) }))
    let frame = try #require(header(1))
    #expect(frame.series == 7 && frame.step == 4 && frame.pixelType == .u16 && frame.flags == [])
    #expect(frame.width == 4 && frame.height == 2)
    #expect(frame.deviceNanoseconds == 1_589_813_509_971_626_178 && frame.exposureNanoseconds == 555_000)
    #expect(frame.pixelCRC == bytes(1)!.withUnsafeBytes { crc32c($0) })
    #expect(ring.statisticsHold)
    #expect(camera.identity.serial == "W529_F5,-,-,-" && camera.identity.model == "Merlin Quad, software 0.67.0.9")
    #expect(camera.identity.width == 4 && camera.identity.pixelType == .u16)
  }

  @Test("Pixels of 8, 16 and 32 bit come as they were sent, in this machine's order")
  func pixelTypes() throws {
    let merlin = try FakeMerlin()
    let camera = try started(merlin)
    let words = (0..<64).map { UInt32($0) &* 2_654_435_761 }
    let cases: [(String, [UInt8], [UInt8], PixelType)] = [
      ("U08", words.map { UInt8(truncatingIfNeeded: $0) }, words.map { UInt8(truncatingIfNeeded: $0) }, .u8),
      ("U01", words.map { UInt8($0 & 1) }, words.map { UInt8($0 & 1) }, .u8),
      (
        "U16", words.flatMap { bigEndian(UInt16(truncatingIfNeeded: $0)) },
        littleEndian(words.map { UInt16(truncatingIfNeeded: $0) }), .u16
      ),
      ("U32", words.flatMap { bigEndian($0) }, littleEndian(words), .u32),
    ]
    try merlin.send(merlinAcquisition())
    for (number, (type, sent, _, _)) in cases.enumerated() {
      try merlin.send(merlinFrame(number + 1, pixels: sent, type: type, width: 8, height: 8))
    }
    for (number, (type, _, expected, pixelType)) in cases.enumerated() {
      #expect(try next(camera) == .frame, "\(type)")
      #expect(bytes(UInt64(number)) == expected, "\(type)")
      #expect(header(UInt64(number))?.pixelType == pixelType)
    }
  }

  @Test("A message that comes in pieces of any length is one message")
  func pieces() throws {
    let merlin = try FakeMerlin()
    let camera = try started(merlin)
    let all = merlinAcquisition() + merlinFrame(1) + merlinFrame(2)
    let feeder = NamedThread("feeder") {
      for start in stride(from: 0, to: all.count, by: 7) {
        try? merlin.send(Array(all[start..<min(start + 7, all.count)]))
      }
    }
    #expect(try events(camera, 2) == [.frame, .frame])
    feeder.join()
    #expect(bytes(1) == littleEndian((0..<8).map { UInt16(2 + $0) }))
  }

  @Test("What does not add up is refused with its cause, and the stream goes on")
  func refused() throws {
    let merlin = try FakeMerlin()
    let camera = try started(merlin)
    try merlin.send(merlinAcquisition())
    try merlin.send(merlinFrame(1, type: "R64"))
    try merlin.send(merlinFrame(2, type: "U64"))
    try merlin.send(merlinFrame(3, type: "X99"))
    try merlin.send(merlinFrame(4, width: 5))
    try merlin.send(merlinFrame(5, type: "U32"))
    try merlin.send(merlinFrame(6, pixels: [UInt8](repeating: 0, count: 80000), width: 200, height: 200))
    try merlin.send(merlinFrame(0))
    try merlin.send(merlinMessage(Array("MQ1,000008,99999,".utf8) + [UInt8](repeating: 32, count: 100)))
    try merlin.send(merlinMessage(Array("NEW,something".utf8)))
    try merlin.send(merlinFrame(9))
    let expected: [CameraEvent] = [
      .refusedFrame(
        cause:
          "raw pixels (R64) in the order of the chips; set FILEFORMAT to 0 (binary, not raw) in the Merlin software"
      ),
      .refusedFrame(cause: "pixels of 64 bit; use one counter of at most 24 bit"),
      .refusedFrame(cause: "pixels of an unknown type “X99”"),
      .refusedFrame(cause: "16 bytes of pixels where 5 × 2 of U16 needs 20"),
      .refusedFrame(cause: "16 bytes of pixels where 4 × 2 of U32 needs 32"),
      .refusedFrame(cause: "an image of 200 × 200, larger than the ring's slots"),
      .refusedFrame(cause: "a frame without a usable sequence number"),
      .refusedFrame(cause: "a frame without a usable header"),
      .ignored(cause: "a message of an unknown kind"), .frame,
    ]
    #expect(try events(camera, expected.count) == expected)
    #expect(header(0)?.unusableBefore == 8 && header(0)?.frameNumber == 8)
  }

  @Test("What is left of an acquisition before is not recorded, however much of it comes, and counts against nobody")
  func stale() throws {
    let merlin = try FakeMerlin()
    let camera = try connected(merlin)
    try merlin.send(Array(merlinFrame(900).dropFirst(100)) + merlinFrame(901))
    try camera.start(request, into: ring)
    // These come after the drain, before the new acquisition's header.
    try merlin.send(Array(merlinFrame(902).dropFirst(100)) + merlinFrame(903))
    try merlin.send(merlinAcquisition() + merlinFrame(1))
    var seen: [CameraEvent] = []
    while seen.last != .frame, seen.count < 10 { seen.append(try next(camera)) }
    for event in seen.dropLast() { if case .ignored = event {} else { Issue.record("\(event)") } }
    #expect(seen.contains(.ignored(cause: "a frame of an acquisition before")))
    #expect(header(0)?.frameNumber == 0 && header(0)?.unusableBefore == 0)
  }

  @Test("Bytes between messages cost nothing but themselves: the next message is found")
  func resynchronised() throws {
    let merlin = try FakeMerlin()
    let camera = try started(merlin)
    let garbage =
      (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 77) } + Array("MPX,MPX,00000123MPX,0000000044,abcd".utf8)
    try merlin.send(merlinAcquisition() + merlinFrame(1) + garbage + merlinFrame(2) + merlinFrame(3))
    #expect(
      try events(camera, 4) == [.frame, .refusedFrame(cause: "bytes that are no Merlin message"), .frame, .frame])
    #expect(header(1)?.unusableBefore == 1)
    #expect(bytes(2) == littleEndian((0..<8).map { UInt16(3 + $0) }))
  }

  @Test("A full ring refuses the frame and the stream goes on")
  func ringFull() throws {
    let merlin = try FakeMerlin()
    let camera = try started(merlin)
    try merlin.send(merlinAcquisition())
    for sequence in 1...18 { try merlin.send(merlinFrame(sequence)) }
    let seen = try events(camera, 18)
    #expect(seen.filter { $0 == .frame }.count == 16 && seen.suffix(2) == [.ringFull, .ringFull])
    ring.release(through: 15)
    try merlin.send(merlinFrame(19))
    #expect(try next(camera) == .frame)
    #expect(header(16)?.refusedBefore == 2)
  }

  @Test("The last frame that was asked for ends the series, and the data connection may close behind it")
  func endsByItself() throws {
    let merlin = try FakeMerlin(["SET,NUMFRAMESTOACQUIRE": "SET,NUMFRAMESTOACQUIRE,0"])
    let camera = try started(merlin)
    try merlin.send(merlinAcquisition(frames: 2) + merlinFrame(1) + merlinFrame(2))
    #expect(try events(camera, 3) == [.frame, .frame, .seriesEnded(series: 7, triggered: 2)])
    merlin.closeData()
    #expect(try camera.next(into: ring, step: 0, atMost: Seconds(0.2)) == .nothing)
    try camera.start(request, into: ring)
    #expect(merlin.waitForClient(2))
    try merlin.send(merlinAcquisition() + merlinFrame(1))
    #expect(try next(camera) == .frame)
  }

  @Test("A data connection that ends in the middle of a series is a camera that is gone")
  func brokenOff() throws {
    let merlin = try FakeMerlin()
    let camera = try started(merlin)
    try merlin.send(merlinAcquisition() + merlinFrame(1))
    #expect(try next(camera) == .frame)
    merlin.closeData()
    #expect {
      _ = try next(camera)
    } throws: { error in
      "\(error)".contains("is gone: its data connection")
    }
  }

  @Test("An acquisition that somebody begins at the camera itself ends ours, with an error that says so")
  func superseded() throws {
    let merlin = try FakeMerlin()
    let camera = try started(merlin)
    try merlin.send(merlinAcquisition() + merlinFrame(1) + merlinAcquisition(frames: 5))
    #expect(try next(camera) == .frame)
    #expect {
      _ = try next(camera)
    } throws: { error in
      "\(error)".contains("another acquisition was begun at the camera")
    }
  }

  @Test(
    "The camera's codes are told in words", arguments: [(1, "busy"), (2, "does not know"), (3, "out of its range")])
  func codes(code: Int, words: String) throws {
    let merlin = try FakeMerlin(["SET,ACQUISITIONTIME": "SET,ACQUISITIONTIME,\(code)"])
    let camera = try connected(merlin)
    #expect {
      try camera.start(request, into: ring)
    } throws: { error in
      guard case CameraError.refused(_, let request, let answer) = error else { return false }
      return request == "SET ACQUISITIONTIME 2.4" && answer.contains(words)
    }
    #expect(!merlin.requests.contains("CMD,STARTACQUISITION,0"))
  }

  @Test("Where so many frames are out of range, fewer are asked for, and a camera that refuses both is not started")
  func fewerFrames() throws {
    let merlin = try FakeMerlin(["SET,NUMFRAMESTOACQUIRE": "SET,NUMFRAMESTOACQUIRE,3"])
    let camera = try connected(merlin)
    #expect(throws: CameraError.self) { try camera.start(request, into: ring) }
    #expect(merlin.requests.suffix(2) == ["SET,NUMFRAMESTOACQUIRE,2147483647", "SET,NUMFRAMESTOACQUIRE,999999"])
  }

  @Test("An acquisition of somebody else is left alone; one of ours that was lost sight of is ended")
  func runningAlready() throws {
    let foreign = try FakeMerlin(["GET,DETECTORSTATUS": "GET,DETECTORSTATUS,1,0"])
    let camera = try connected(foreign)
    #expect {
      try camera.start(request, into: ring)
    } throws: { error in
      "\(error)".contains("an acquisition that was begun elsewhere is running; end it in the Merlin software")
    }
    #expect(!foreign.requests.contains { $0.hasPrefix("CMD") || $0.hasPrefix("SET") })

    let own = try FakeMerlin([
      "GET,DETECTORSTATUS": "GET,DETECTORSTATUS,1,0", "GET,NUMFRAMESTOACQUIRE": "GET,NUMFRAMESTOACQUIRE,2147483647,0",
    ])
    let again = try connected(own)
    try again.start(request, into: ring)
    #expect(own.requests.filter { $0.hasPrefix("CMD") } == ["CMD,STOPACQUISITION,0", "CMD,STARTACQUISITION,0"])
  }

  @Test("A start that was refused is no acquisition of ours: what runs then is left alone")
  func refusedStart() throws {
    let merlin = try FakeMerlin([
      "CMD,STARTACQUISITION": "CMD,STARTACQUISITION,1", "GET,NUMFRAMESTOACQUIRE": "GET,NUMFRAMESTOACQUIRE,999999,0",
    ])
    let camera = try connected(merlin)
    #expect(throws: CameraError.self) { try camera.start(request, into: ring) }
    merlin.answer("GET,DETECTORSTATUS", "GET,DETECTORSTATUS,1,0")
    #expect {
      try camera.start(request, into: ring)
    } throws: { error in
      "\(error)".contains("begun elsewhere")
    }
    #expect(!merlin.requests.contains("CMD,STOPACQUISITION,0"))
  }

  @Test("Nobody there, no such host, and a camera of another kind are told apart")
  func wrongAddresses() throws {
    func message(_ settings: CameraSettings) -> String {
      do {
        try CameraModels.make(settings).connect()
        return "connected"
      } catch { return "\(error)" }
    }
    let free = try TCPListener("127.0.0.1:0").address
    let nobody = message(CameraSettings(model: "merlin", url: "tcp://127.0.0.1", control: "tcp://\(free)"))
    #expect(nobody.contains("cannot be reached") && nobody.contains("Connection refused"))
    let unknown = message(CameraSettings(model: "merlin", url: "tcp://no-such-host.invalid"))
    #expect(unknown.contains("cannot be reached") && unknown.contains("no-such-host.invalid"))
    let merlin = try FakeMerlin(["GET,SOFTWAREVERSION": "HTTP/1.1 400 Bad Request"])
    #expect(message(merlin.settings).contains("is it a camera of this model?"))
    let silent = try FakeMerlin(["GET,SOFTWAREVERSION": ""])
    #expect(message(silent.settings).contains("is gone: GET SOFTWAREVERSION"))
    for url in ["merlin", "tcp://", "tcp://host:99999", "tcp://a/b", "http://host"] {
      #expect(message(CameraSettings(model: "merlin", url: url)).contains("write for example tcp://camera:6342"))
    }
  }

  @Test("Addresses get their usual ports, on the host of the data where commands have no other")
  func addresses() throws {
    #expect(try NetworkAddress.of("tcp://merlin", key: "url", port: 6342) == "merlin:6342")
    #expect(try NetworkAddress.of("tcp://merlin:7000", key: "url", port: 6342) == "merlin:7000")
    #expect(try NetworkAddress.of("tcp://[fe80::1]", key: "url", port: 6342) == "[fe80::1]:6342")
    #expect(try NetworkAddress.of("tcp://[fe80::1]:7", key: "url", port: 6342) == "[fe80::1]:7")
  }

  @Test("A clock pair bounds the end of the exposure by arrival and the assumed latency")
  func clockPair() throws {
    let merlin = try FakeMerlin()
    let camera = try started(merlin)
    try merlin.send(merlinAcquisition())
    let before = MonotonicTime.now
    let feeder = NamedThread("feeder") {
      for sequence in 1...10 {
        sleepThread(for: Seconds(0.02))
        try? merlin.send(merlinFrame(sequence))
      }
    }
    var pairs: [ClockPair] = []
    var frames = 0
    while frames < 10 {
      let event = try camera.next(into: ring, step: 0, atMost: Seconds(5))
      if case .clockPair(let pair) = event { pairs.append(pair) }
      if event == .frame { frames += 1 }
    }
    feeder.join()
    let first = try #require(pairs.first)
    let (earliest, latest) = (try #require(first.earliest), try #require(first.latest))
    #expect(first.deviceNanoseconds == 1_589_813_509_971_626_178 + 555_000)
    #expect((latest - earliest).nanoseconds == 250_000_000)
    #expect(latest > before && latest < .now)
  }

  @Test("Streams under mutation end in frames that bear their checksums out, or in refusals; never in a hang")
  func mutations() throws {
    let whole = merlinAcquisition() + (1...6).flatMap { merlinFrame($0) }
    Mutations("merlin streams", 40, of: [whole, Array(whole[2000...]), merlinFrame(1)]).forEach { bytes, _ in
      guard let merlin = try? FakeMerlin(), let camera = try? started(merlin) else {
        Issue.record("no camera")
        return
      }
      let begin = MonotonicTime.now
      let first = ring.published
      if first > 0 { ring.release(through: first - 1) }
      try? merlin.send(bytes)
      merlin.closeData()
      // The connection's end is the stream's.
      var calls = 0
      while calls < 1000, (try? camera.next(into: ring, step: 0, atMost: Seconds(0.1))) != nil { calls += 1 }
      #expect(calls < 1000)
      #expect(MonotonicTime.now - begin < Seconds(4))
      for sequence in first..<ring.published {
        let holds = ring.read(sequence) { header, pixels in
          crc32c(pixels) == header.pixelCRC && header.bytes == pixels.count && header.series == 7
        }
        #expect(holds == true)
      }
    }
  }
}
