import DEMessaging
import FrameRing
import Linux
import NanobatteryTwin
import Pixels
import Quantities
import Testing

@testable import FrameIngest

@Suite("Direct Electron camera")
struct DECameraTests {
  /// What is missing of a series, by cause, from the frames in the ring and the word of the receiver.
  private func missing(_ bench: DEBench, _ events: [CameraEvent]) -> [FrameLossCause: UInt64] {
    var detector = GapDetector(series: 1)
    for header in bench.recorded { _ = detector.observe(header) }
    _ = detector.finish(
      triggered: events.triggered, refusedByRing: UInt64(events.count { $0 == .ringFull }),
      unusable: UInt64(events.refusals.count))
    // triggered = in the ring + missing, by whatever cause.
    #expect(detector.beyondTriggered == 0)
    let all: [FrameLossCause] = [.lostAtSource, .ringFull, .unusable]
    #expect(detector.frames + all.reduce(0) { $0 + detector.missing($1) } == events.triggered)
    return Dictionary(uniqueKeysWithValues: all.map { ($0, detector.missing($0)) }.filter { $0.1 > 0 })
  }

  @Test("Every frame that the server sent is in the ring, as it was sent, in its order and with the time of its index")
  func whole() throws {
    let bench = try DEBench()
    let camera = try bench.receiver()
    #expect(camera.identity.model == "Twin DE")
    #expect(camera.identity.serial == "TWIN-DE-1")
    #expect([camera.identity.width, camera.identity.height] == [64, 48])
    #expect(camera.canBeCommanded)
    let events = try bench.record(camera) { $0.frames >= 60 }
    let frames = bench.recorded
    let sent = bench.sent.read { $0 }
    #expect(frames.count >= 60)
    #expect(frames.map(\.frameNumber) == sent.map(\.number))
    #expect(frames.map(\.pixelCRC) == sent.map(\.crc))
    #expect(bench.ring.statisticsHold)
    #expect(frames.map(\.frameNumber) == Array(0..<UInt64(frames.count)))
    #expect(frames.map(\.deviceNanoseconds) == (0..<frames.count).map { Int64($0) * 2_500_000 })
    #expect(frames.allSatisfy { $0.step == 3 && $0.series == 1 && $0.exposureNanoseconds == 2_500_000 })
    #expect(frames.allSatisfy { $0.flags == [] && $0.pixelType == .u16 && $0.bytes == 64 * 48 * 2 })
    #expect(events.end == .seriesEnded(series: 1, triggered: UInt64(frames.count)))
    #expect(missing(bench, events) == [:])
    #expect(camera.identity.clock.contains("400.0 frames per second"))
    // Not all frames look the same, or little would be shown.
    #expect(Set(sent.map(\.crc)).count > 50)
  }

  @Test("The end of an exposure lies in its clock pair, and the dose is told at the end of the series")
  func clockAndDose() throws {
    let bench = try DEBench()
    let camera = try bench.receiver()
    let began = MonotonicTime.now
    let events = try bench.record(camera, rate: 200) { $0.frames >= 40 }
    let pairs = events.compactMap { if case .clockPair(let pair) = $0 { pair } else { nil } }
    #expect(pairs.count >= 3)
    for pair in pairs {
      #expect(pair.latest! - pair.earliest! == bench.settings.maximumLatency)
      // The series began a moment after `began`: the device's time is at most that old.
      #expect(pair.deviceNanoseconds <= (pair.latest! - began).nanoseconds)
    }
    let readings = try #require(
      events.compactMap { event -> [CameraReading]? in
        if case .readings(let readings) = event { readings } else { nil }
      }.last)
    let perFrame = try #require(readings.first { $0.quantity == "electrons per pixel and frame" })
    // 2000 electrons per pixel and second for 4.8 ms, times what the specimen lets through.
    #expect((3...9.6).contains(perFrame.value), "\(perFrame)")
    #expect(perFrame.unit == "e-/px/frame")
    #expect(readings.contains { $0.quantity == "incident electron rate per pixel" && $0.unit == "e-/px/s" })
    #expect(readings.count == 10)
  }

  @Test("8-bit frames of a counting camera are widened, pixel by pixel")
  func counted() throws {
    let bench = try DEBench()
    try bench.set("Image Processing - Mode", .text("Counting"))
    try bench.set("Autosave Counted Movie Pixel Format", .text("uint8"))
    let camera = try bench.receiver()
    let events = try bench.record(camera) { $0.frames >= 20 }
    #expect(missing(bench, events) == [:])
    #expect(bench.recorded.map(\.pixelCRC) == bench.sent.read { $0.map(\.crc) })
    let pixels = bench.pixels(5)
    #expect(pixels.count == 64 * 48)
    #expect(Set(pixels).count > 5)
  }

  @Test(
    "Pixels that cannot be recorded are refused with the setting that helps",
    arguments: [
      ("Integrating", "Autosave Integrated Movie Pixel Format"), ("Counting", "Autosave Counted Movie Pixel Format"),
    ])
  func floatingPoint(_ mode: String, _ setting: String) throws {
    let bench = try DEBench()
    try bench.set("Image Processing - Mode", .text(mode))
    try bench.set(setting, .text("float32"))
    let camera = try bench.receiver()
    let error = #expect(throws: CameraError.self) { try camera.start(DEBench.request(), into: bench.ring) }
    #expect(error?.isRefusal == true)
    #expect(error?.description.contains("set “\(setting)” to uint16 or uint8") == true, "\(error!)")
  }

  @Test("Frames larger than the ring's slots are refused before the acquisition begins")
  func oversize() throws {
    let bench = try DEBench()
    var settings = bench.settings
    settings.maximumFrameBytes = 64 * 48 * 2 - 1
    let camera = try CameraModels.make(settings)
    try camera.connect()
    let error = #expect(throws: CameraError.self) { try camera.start(DEBench.request(), into: bench.ring) }
    #expect(error?.description.contains("frames of 64 × 48 are larger than the ring's slots") == true)
    #expect(bench.camera.counts.exposed == 0)
  }

  // MARK: What goes wrong at the camera and on the wire

  @Test("Frames that the camera lost, at the beginning too, are gaps, and the account balances")
  func lost() throws {
    var faults = CameraFaults()
    faults.lose = CameraFaults.Pattern(frames: 3, every: 10)
    let bench = try DEBench(source: faults)
    let events = try bench.record(try bench.receiver()) { $0.frames >= 50 }
    let numbers = bench.recorded.map(\.frameNumber)
    #expect(numbers == bench.sent.read { $0.map(\.number) })
    #expect(numbers.allSatisfy { $0 % 10 < 7 })
    let lost = missing(bench, events)
    #expect(lost == [.lostAtSource: events.triggered! - UInt64(numbers.count)])
    #expect(lost[.lostAtSource]! >= 15)
  }

  @Test("Repeated frames are told apart by their numbers")
  func repeated() throws {
    var faults = CameraFaults()
    faults.repeat = CameraFaults.Pattern(frames: 1, every: 5)
    let bench = try DEBench(source: faults)
    let events = try bench.record(try bench.receiver()) { $0.frames >= 50 }
    var detector = GapDetector(series: 1)
    let verdicts = bench.recorded.map { detector.observe($0) }
    #expect(verdicts.count { $0 == .repeated } >= 8)
    #expect(detector.frames == events.triggered)
  }

  @Test("Frames that come out of order are late, not lost")
  func reordered() throws {
    let bench = try DEBench { $0.faults.reorder = CameraFaults.Pattern(frames: 1, every: 3) }
    let events = try bench.record(try bench.receiver()) { $0.frames >= 48 }
    let numbers = bench.recorded.map(\.frameNumber)
    #expect(numbers != numbers.sorted())
    #expect(bench.recorded.map(\.pixelCRC) == bench.sent.read { $0.map(\.crc) })
    #expect(missing(bench, events) == [:])
  }

  @Test("A stall delays, and loses nothing; in the middle of a movie buffer too")
  func stalled() throws {
    var faults = CameraFaults()
    faults.stall = (span: Seconds(0.2), after: Seconds(0.05))
    let bench = try DEBench(source: faults) { $0.faults.pause = (buffer: 5, span: Seconds(1)) }
    let camera = try bench.receiver()
    // One look takes no longer than it was given, whatever the server does.
    var longest = Seconds(0)
    var last = MonotonicTime.now
    let events = try bench.record(camera, rate: 100) { events in
      longest = max(longest, .now - last)
      last = .now
      return events.frames >= 60
    }
    #expect(missing(bench, events) == [:])
    #expect(bench.recorded.map(\.pixelCRC) == bench.sent.read { $0.map(\.crc) })
    // 0.05 s, and what a busy machine takes.
    #expect(longest < Seconds(0.6), "\(longest)")
  }

  @Test("Frames without a usable index, and buffers of a wrong size, are refused and counted one by one")
  func damaged() throws {
    let bench = try DEBench {
      $0.faults.damageIndex = CameraFaults.Pattern(frames: 1, every: 5)
      $0.faults.wrongSize = CameraFaults.Pattern(frames: 1, every: 7)
    }
    let events = try bench.record(try bench.receiver()) { $0.frames >= 60 }
    let causes = Set(events.refusals)
    #expect(causes.contains("a frame without a usable index"))
    #expect(causes.contains("a movie buffer of 25599 bytes for 4 frames of 64 × 48"))
    #expect(missing(bench, events) == [.unusable: UInt64(events.refusals.count)])
    #expect(events.refusals.count >= 8)
  }

  @Test("Movie buffers that the server lost are told and are gaps; when it goes on, the camera is given up")
  func failed() throws {
    let bench = try DEBench { $0.faults.fail = CameraFaults.Pattern(frames: 1, every: 4) }
    let events = try bench.record(try bench.receiver()) { $0.frames >= 30 }
    #expect(events.contains(.ignored(cause: "the server says that a movie buffer failed")))
    #expect(missing(bench, events)[.lostAtSource, default: 0] >= 4)

    let hopeless = try DEBench { $0.faults.fail = CameraFaults.Pattern(frames: 1, every: 1) }
    let camera = try hopeless.receiver()
    let error = #expect(throws: CameraError.self) { try hopeless.record(camera) { _ in false } }
    #expect(error?.description.contains("8 movie buffers in a row failed") == true)
  }

  @Test("Our full ring does not hold the server up; what does not fit is counted")
  func ringFull() throws {
    let bench = try DEBench(slots: 16)
    let events = try bench.record(try bench.receiver()) { events in events.count { $0 == .ringFull } >= 10 }
    #expect(events.frames == 16)
    let refused = UInt64(events.count { $0 == .ringFull })
    #expect(events.triggered == 16 + refused)
    #expect(bench.ring.refused == refused)
    #expect(missing(bench, events) == [.ringFull: refused])
  }

  // MARK: Stopping

  @Test("Where datagrams do not get through, the acquisition is stopped over TCP")
  func stopOverTCP() throws {
    let bench = try DEBench { $0.isDeafToDatagrams = true }
    let events = try bench.record(try bench.receiver(), rate: 100) { $0.frames >= 10 }
    let told = "the emergency stop by UDP was not confirmed; the stop is asked for over TCP"
    #expect(events.contains(.ignored(cause: told)))
    #expect(missing(bench, events) == [:])
  }

  @Test("An acquisition of somebody else's is left alone")
  func foreign() throws {
    let bench = try DEBench()
    let other = try DEConnection.open(bench.url)
    _ = try other.ask(.startAcquisition, values: [.integer(1000), .boolean(false)])
    // The twin serves one client at a time: its acquisition outlives it.
    other.hangUp()
    let camera = try bench.receiver()
    let error = #expect(throws: CameraError.self) { try camera.start(DEBench.request(), into: bench.ring) }
    #expect(error?.description.contains("it is acquiring already, for somebody else; stop that first") == true)
    #expect(bench.camera.counts.exposed < 1000)
  }

  // MARK: Reaching it

  @Test(
    "Whatever version a server speaks is found out by asking",
    arguments: DEServerVersion.commandVersions, [false, true])
  func versions(_ version: UInt32, _ hangsUp: Bool) throws {
    let software: [UInt32: String] = [
      17: "2.8.3.12436", 16: "2.8.0.12073", 15: "2.8.0.1", 13: "2.7.4.10590", 12: "2.7.4.1", 11: "2.7.3.1",
      10: "2.7.2.1", 4: "2.5.25.1", 3: "2.1.17.1",
    ]
    let bench = try DEBench {
      $0.software = software[version]!
      $0.isStrict = true
      $0.hangsUp = hangsUp
    }
    #expect(try DEConnection.open(bench.url).version == version)
    guard !hangsUp else { return }
    let events = try bench.record(try bench.receiver(), rate: 200) { $0.frames >= 6 }
    #expect(missing(bench, events) == [:])
    #expect(
      events.contains { if case .readings(let all) = $0 { all.count == (version >= 12 ? 10 : 5) } else { false } })
  }

  @Test("A newer server that answers everybody is asked for its software")
  func software() throws {
    let bench = try DEBench { $0.software = "2.7.3.77" }
    let connection = try DEConnection.open(bench.url)
    #expect(connection.version == 11)
    #expect(connection.software == "2.7.3.77")
    #expect(connection.camera == "Twin DE")
  }

  @Test("Nobody there, another kind of server, and a wrong address are told apart")
  func unreachable() throws {
    let listener = try TCPListener("127.0.0.1:0")
    let greeter = NamedThread("greeter") {
      guard let stream = try? listener.accept(within: Seconds(5)) else { return }
      try? stream.write(Array("SSH-2.0-OpenSSH_9.2\r\n".utf8))
      _ = try? stream.readExactly(1000, within: Seconds(1))
    }
    defer { greeter.join() }
    func failure(_ url: String) throws -> String? {
      let camera = try CameraModels.make(CameraSettings(model: "de", url: url))
      return #expect(throws: CameraError.self) { try camera.connect() }?.description
    }
    #expect(
      try failure("tcp://\(listener.address)")
        == "camera at tcp://\(listener.address) answered LIST_CAMERAS with “SSH-…”; is it a camera of this model?")
    let free = try TCPListener("127.0.0.1:0").address
    #expect(
      try failure("tcp://\(free)")
        == "camera at tcp://\(free) cannot be reached: Connection refused; is it running, and is `camera.url` right?")
    #expect(try failure("tcp://no-such-host.invalid")?.contains("cannot be reached") == true)
    for url in ["", "tcp://", "http://host", "/run/socket"] {
      let error = #expect(throws: CameraError.self) { try CameraModels.make(CameraSettings(model: "de", url: url)) }
      #expect(error?.description.contains("write for example tcp://de-server:13240") == true)
    }
    #expect(try DEConnection.address(of: "tcp://[::1]") == "[::1]:13240")
    #expect(try DEConnection.address(of: "de-server") == "de-server:13240")
  }
}
