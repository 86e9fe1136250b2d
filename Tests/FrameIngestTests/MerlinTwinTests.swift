import FrameRing
import Linux
import Pixels
import Quantities
import Testing

@testable import FrameIngest
@testable import NanobatteryTwin

/// The twin's camera of 64 × 48 pixels behind a stream, what it sent, and a ring of our own.
final class TwinStream: @unchecked Sendable {
  let directory: TemporaryDirectory
  let ring: FrameRing
  let camera: TwinCamera
  let sent = Monitor<[SentFrame]>([])

  init(_ faults: CameraFaults = CameraFaults(), side: Int = 64) throws {
    directory = try TemporaryDirectory()
    ring = try FrameRing.create(directory.path + "/ring", slots: 512, slotBytes: 4 * side * 48)
    var settings = TwinCameraSettings()
    settings.width = side
    settings.height = 48
    settings.slots = 64
    settings.ringPath = directory.path + "/camera-ring"
    settings.faults = faults
    camera = try TwinCamera(settings, world: World(WorldSettings(seed: 1)))
  }

  deinit { camera.close() }

  var headers: [FrameHeader] { (0..<ring.published).compactMap { ring.read($0) { header, _ in header } } }

  /// What the ring holds, in the words of the sender; the receiver's numbers begin at `first`.
  func received(epoch: Int64 = 0) -> [SentFrame] {
    headers.map {
      SentFrame(
        series: $0.series, frame: $0.frameNumber, deviceNanoseconds: $0.deviceNanoseconds - epoch,
        pixelCRC: $0.pixelCRC)
    }
  }

  /// The pixels themselves bear their checksum out.
  var checksumsHold: Bool {
    (0..<ring.published).allSatisfy { sequence in
      ring.read(sequence) { header, pixels in crc32c(pixels) == header.pixelCRC } == true
    }
  }
}

private let epoch = MerlinText.epoch * 1_000_000_000

@Suite("Merlin camera and the twin's sender")
struct MerlinTwinTests {
  private func sender(_ twin: TwinStream, _ change: (inout MerlinSender.Settings) -> Void = { _ in }) throws
    -> (MerlinSender, CameraSettings)
  {
    var settings = MerlinSender.Settings()
    settings.dataAddress = "127.0.0.1:0"
    settings.controlAddress = "127.0.0.1:0"
    let sent = twin.sent
    settings.sent = { frame in sent.update { $0.append(frame) } }
    change(&settings)
    let sender = try MerlinSender(twin.camera, settings)
    return (
      sender,
      CameraSettings(
        model: "merlin", url: "tcp://\(sender.dataAddress)", maximumFrameBytes: 1 << 20,
        control: "tcp://\(sender.controlAddress)")
    )
  }

  private func request(_ series: UInt64) -> ExposureRequest {
    ExposureRequest(series: series, framePeriod: Seconds(0.0025), exposure: Seconds(0.0024))
  }

  /// Records until `frames` are there, stops, and gives what was told from then to the end, with what came before.
  private func record(_ camera: any Camera, _ twin: TwinStream, series: UInt64, frames: Int) throws -> [CameraEvent] {
    try camera.start(request(series), into: twin.ring)
    var events: [CameraEvent] = []
    var count = 0
    let end = MonotonicTime.now + Seconds(15)
    while MonotonicTime.now < end {
      let event = try camera.next(into: twin.ring, step: 1, atMost: Seconds(0.02))
      if event == .nothing { continue }
      if case .clockPair = event { continue }
      events.append(event)
      if event == .frame { count += 1 }
      if count == frames {
        count += 1
        try camera.stop()
      }
      if case .seriesEnded = event { return events }
    }
    Issue.record("no end of the series")
    return events
  }

  private static let patterns: [(String, CameraFaults)] = {
    func faults(_ change: (inout CameraFaults) -> Void) -> CameraFaults {
      var faults = CameraFaults()
      change(&faults)
      return faults
    }
    return [
      ("none", CameraFaults()),
      ("lost", faults { $0.lose = .init(frames: 2, every: 7) }),
      ("repeated", faults { $0.repeat = .init(frames: 1, every: 5) }),
      ("reordered", faults { $0.reorder = .init(frames: 1, every: 6) }),
      ("garbage", faults { $0.garbage = .init(frames: 1, every: 9) }),
      ("stalled", faults { $0.stall = (span: Seconds(0.3), after: Seconds(0.03)) }),
      (
        "all",
        faults {
          $0.lose = .init(frames: 1, every: 11)
          $0.repeat = .init(frames: 1, every: 7)
          $0.reorder = .init(frames: 1, every: 5)
          $0.garbage = .init(frames: 1, every: 13)
        }
      ),
    ]
  }()

  @Test("Frames in the ring are those that were sent, and the ledger balances", arguments: patterns.indices)
  func withFault(index: Int) throws {
    let (name, faults) = Self.patterns[index]
    let twin = try TwinStream(faults)
    let (sender, settings) = try sender(twin)
    defer { sender.close() }
    let camera = try CameraModels.make(settings)
    try camera.connect()
    let events = try record(camera, twin, series: 0, frames: 60)
    let sent = twin.sent.read { $0 }
    #expect(twin.received(epoch: epoch) == sent, "\(name)")
    #expect(twin.checksumsHold)
    #expect(camera.identity.model == "Merlin Twin, software 0.77.0.16")

    // triggered = frames there + lost at source + refused; garbage is counted and is no frame.
    var refused: UInt64 = 0
    for event in events {
      switch event {
      case .frame: break
      case .refusedFrame(let cause):
        #expect(cause == "bytes that are no Merlin message")
        refused += 1
      case .seriesEnded(let series, let triggered):
        #expect(series == 0)
        var detector = GapDetector(series: 0)
        for header in twin.headers { _ = detector.observe(header) }
        let missing = detector.finish(triggered: triggered, unusable: refused).reduce(0) { $0 + $1.frames }
        #expect(triggered == (sent.map(\.frame).max() ?? 0) + 1)
        #expect(triggered == detector.frames + missing)
        #expect(Set(sent.map(\.frame)).count == Int(detector.frames))
        if name == "lost" { #expect(missing > 10) }
        if name == "repeated" { #expect(detector.repeatedFrames > 8) }
        if name == "reordered" { #expect(detector.lateFrames > 8 && missing == 0) }
      default: Issue.record("\(event)")
      }
    }
    if name == "garbage" { #expect((4...8).contains(refused)) } else if name != "all" { #expect(refused == 0) }
  }

  @Test("One chip or four, 6, 12 or 24 bit", arguments: [6, 12, 24])
  func depths(depth: Int) throws {
    let twin = try TwinStream(side: depth == 12 ? 64 : 96)
    let (sender, settings) = try sender(twin)
    defer { sender.close() }
    do {
      // One client at a time: this one is gone before the camera comes.
      let control = try MerlinControl(connecting: sender.controlAddress)
      try control.set("COUNTERDEPTH", "\(depth)")
      #expect(try control.get("COUNTERDEPTH") == "\(depth)")
    }
    let camera = try CameraModels.make(settings)
    try camera.connect()
    _ = try record(camera, twin, series: 3, frames: 10)
    #expect(twin.headers.allSatisfy { $0.pixelType == (depth == 6 ? .u8 : depth == 12 ? .u16 : .u32) })
    #expect(twin.received(epoch: epoch).map(\.pixelCRC) == twin.sent.read { $0.map(\.pixelCRC) })
    #expect(twin.checksumsHold && twin.headers.allSatisfy { $0.series == 3 })
  }

  @Test("Raw frames are refused one by one, with the setting that helps")
  func raw() throws {
    let twin = try TwinStream()
    let (sender, settings) = try sender(twin)
    defer { sender.close() }
    do { try MerlinControl(connecting: sender.controlAddress).set("FILEFORMAT", "2") }
    let camera = try CameraModels.make(settings)
    try camera.connect()
    try camera.start(request(1), into: twin.ring)
    var event = CameraEvent.nothing
    while event == .nothing { event = try camera.next(into: twin.ring, step: 1, atMost: Seconds(1)) }
    guard case .refusedFrame(let cause) = event else {
      Issue.record("\(event)")
      return
    }
    #expect(cause.contains("FILEFORMAT"))
    #expect(twin.ring.published == 0)
  }

  @Test("Series after series, the data connection closed behind each, stale bytes in front of each")
  func seriesAfterSeries() throws {
    let twin = try TwinStream()
    let (sender, settings) = try sender(twin) {
      $0.closesBehindAcquisition = true
      $0.staleBytes = 3000
      $0.mostFrames = 1_000_000
    }
    defer { sender.close() }
    let camera = try CameraModels.make(settings)
    try camera.connect()
    for series in 0..<3 as Range<UInt64> {
      let events = try record(camera, twin, series: series, frames: 20)
      #expect(!events.contains { if case .refusedFrame = $0 { true } else { false } })
    }
    #expect(twin.received(epoch: epoch) == twin.sent.read { $0 })
    #expect(Set(twin.headers.map(\.series)) == [0, 1, 2])
  }

  @Test("An acquisition of somebody else is not touched; one that a killed daemon left is ended and followed by ours")
  func joinedInTheMiddle() throws {
    let twin = try TwinStream()
    let (sender, settings) = try sender(twin)
    defer { sender.close() }
    do {
      let control = try MerlinControl(connecting: sender.controlAddress)
      try control.set("NUMFRAMESTOACQUIRE", "100000")
      try control.command("STARTACQUISITION")
    }
    let camera = try CameraModels.make(settings)
    try camera.connect()
    #expect {
      try camera.start(request(1), into: twin.ring)
    } throws: { error in
      "\(error)".contains("begun elsewhere")
    }
    camera.close()
    try MerlinControl(connecting: sender.controlAddress).command("STOPACQUISITION")
    try waitUntilIdle(sender)

    // Begun by a process that is no more.
    do {
      let control = try MerlinControl(connecting: sender.controlAddress)
      try control.set("NUMFRAMESTOACQUIRE", MerlinCamera.wantedFrames)
      try control.command("STARTACQUISITION")
    }
    let next = try CameraModels.make(settings)
    try next.connect()
    twin.sent.update { $0 = [] }
    _ = try record(next, twin, series: 5, frames: 20)
    let frames = twin.received(epoch: epoch)
    #expect(frames.first?.frame == 0 && frames.count >= 20)
    #expect(twin.sent.read { $0 }.suffix(frames.count).map(\.pixelCRC) == frames.map(\.pixelCRC))
  }

  private func waitUntilIdle(_ sender: MerlinSender) throws {
    let control = try MerlinControl(connecting: sender.controlAddress)
    let end = MonotonicTime.now + Seconds(5)
    while try control.get("DETECTORSTATUS") != "0", MonotonicTime.now < end { sleepThread(for: Seconds(0.01)) }
  }

  @Test("A connection that breaks is made again, and the hole is between two series")
  func breaks() throws {
    var faults = CameraFaults()
    faults.breakOff = .init(frames: 1, every: 40)
    let twin = try TwinStream(faults)
    let (sender, settings) = try sender(twin)
    defer { sender.close() }
    let reports = Monitor<[CameraReport]>([])
    let thread = CameraThread(try CameraModels.make(settings), ring: twin.ring) { report in
      reports.update { $0.append(report) }
    }
    defer {
      thread.send(.close)
      thread.join()
    }
    thread.send(.record(request(1), step: 2))
    func waitFor(_ fits: @escaping (CameraReport) -> Bool, times: Int = 1) -> Bool {
      reports.wait(atMost: Seconds(15)) { $0.filter(fits).count >= times ? true : nil } ?? false
    }
    #expect(waitFor({ if case .seriesStarted = $0 { true } else { false } }, times: 3))
    thread.send(.stop)
    #expect(waitFor { $0 == .stopped })
    // The size is known by the frames: it is told when the first series has ended.
    #expect(
      reports.read { all in
        all.contains { if case .identified(let identity) = $0 { identity.width == 64 } else { false } }
      })
    let headers = twin.headers
    #expect(Set(headers.map(\.series)).isSuperset(of: [1, 2]))
    // Each series is a beginning of what was sent in it, without a hole of its own.
    for series in Set(headers.map(\.series)) {
      let numbers = headers.filter { $0.series == series }.map(\.frameNumber)
      #expect(numbers == (0..<UInt64(numbers.count)).map { $0 })
    }
    let sent = Set(twin.sent.read { $0.map(\.pixelCRC) })
    #expect(headers.allSatisfy { sent.contains($0.pixelCRC) })
    #expect(twin.checksumsHold)
  }
}
