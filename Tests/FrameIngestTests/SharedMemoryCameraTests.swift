import FrameIngest
import FrameRing
import Linux
import Pixels
import Quantities
import Testing

@Suite("Shared-memory camera")
struct SharedMemoryCameraTests {
  private let directory: TemporaryDirectory
  private let ring: FrameRing

  init() throws {
    directory = try TemporaryDirectory()
    ring = try FrameRing.create(directory.path + "/ring", slots: 4, slotBytes: 4096)
  }

  private func camera(_ server: FakeCameraServer) throws -> any Camera {
    try CameraModels.make(CameraSettings(model: "shm", url: server.socketPath))
  }

  private func request(_ series: UInt64) -> ExposureRequest {
    ExposureRequest(series: series, framePeriod: Seconds(0.0025), exposure: Seconds(0.0024))
  }

  private func next(_ camera: any Camera, step: UInt32 = 2) throws -> CameraEvent {
    try camera.next(into: ring, step: step, atMost: Seconds(2))
  }

  @Test("It asks who the camera is, and starts a series in the words of the port")
  func identifyAndStart() throws {
    let server = try FakeCameraServer()
    let camera = try camera(server)
    try camera.connect()
    #expect(
      camera.identity
        == CameraIdentity(
          model: "fake", serial: "F1", address: server.socketPath, clock: "ns since power-up", width: 4, height: 2,
          pixelType: .u16))
    #expect(camera.canBeCommanded)
    try camera.start(request(3), into: ring)
    #expect(server.waitForRequest("START"))
    #expect(
      server.requests == ["IDENTIFY", #"START {"exposure_ns":2400000,"period_ns":2500000,"series":3}"#])
  }

  @Test("A frame is copied with its header, our arrival, our step and a checksum")
  func copies() throws {
    let server = try FakeCameraServer()
    let camera = try camera(server)
    try camera.connect()
    try camera.start(request(3), into: ring)
    server.send(value: 40) { $0.flags = .repeated }
    let before = MonotonicTime.now
    #expect(try next(camera) == .frame)
    let seen = ring.read(0) { header, pixels in (header, pixels.withMemoryRebound(to: UInt16.self, Array.init)) }
    let (header, pixels) = try #require(seen)
    #expect(pixels == Array(40..<48))
    #expect(header.arrival >= before)
    #expect(header.pixelCRC == littleEndian(pixels).withUnsafeBytes { crc32c($0) })
    #expect(ring.statisticsHold)
    #expect(header.frameNumber == 0)
    #expect(header.deviceNanoseconds == 0)
    #expect(header.exposureNanoseconds == 900)
    #expect(header.series == 3)
    #expect(header.step == 2)
    #expect(header.flags == .repeated)
    #expect(server.ring.filled == 0)
  }

  @Test("After stop come the frames in flight, then the end with what was triggered")
  func stops() throws {
    let server = try FakeCameraServer(.init(triggered: 9))
    let camera = try camera(server)
    try camera.connect()
    try camera.start(request(1), into: ring)
    for _ in 0..<3 { server.send() }
    try camera.stop()
    for _ in 0..<3 { #expect(try next(camera) == .frame) }
    #expect(try next(camera) == .seriesEnded(series: 1, triggered: 9))
    server.send()
    #expect(try next(camera) == .ignored(cause: "a frame while none was asked for"))
  }

  @Test("Our full ring does not hold the camera up; the refusal is counted")
  func ringFull() throws {
    let server = try FakeCameraServer()
    let camera = try camera(server)
    try camera.connect()
    try camera.start(request(1), into: ring)
    var events: [CameraEvent] = []
    for _ in 0..<6 {
      server.send()
      events.append(try next(camera))
    }
    #expect(events == [.frame, .frame, .frame, .frame, .ringFull, .ringFull])
    ring.release(through: 0)
    server.send()
    #expect(try next(camera) == .frame)
    #expect(ring.read(4) { header, _ in [header.frameNumber, header.refusedBefore] } == [6, 2])
  }

  @Test("Frames that cannot be used are refused with their cause, and the next slot says how many")
  func unusable() throws {
    let server = try FakeCameraServer(slots: 16, slotBytes: 8192)
    let camera = try camera(server)
    try camera.connect()
    try camera.start(request(1), into: ring)
    server.send { $0.pixelCRC ^= 1 }
    server.send { $0.width = 0 }
    server.send { header in
      header.width = 1025
      header.pixelCRC = 0
    }
    server.send { $0.frameNumber = 1 << 63 }
    server.send(series: 99)
    server.send { $0.pixelCRC = 0 }
    #expect(try next(camera) == .refusedFrame(cause: "pixels that do not match their checksum"))
    #expect(try next(camera) == .refusedFrame(cause: "a frame without pixels"))
    #expect(try next(camera) == .refusedFrame(cause: "a frame larger than the ring's slots"))
    #expect(try next(camera) == .refusedFrame(cause: "an impossible frame number"))
    #expect(try next(camera) == .ignored(cause: "a frame of another series"))
    #expect(try next(camera) == .frame)
    #expect(ring.read(0) { header, _ in [header.frameNumber, header.unusableBefore] } == [5, 4])
  }

  @Test("The clock is compared by request and reply")
  func clock() throws {
    let server = try FakeCameraServer()
    let camera = try camera(server)
    try camera.connect()
    let before = MonotonicTime.now
    let pair = try #require(try camera.probeClock())
    #expect(pair.deviceNanoseconds == 123_456_789)
    let (earliest, latest) = (try #require(pair.earliest), try #require(pair.latest))
    #expect(before <= earliest)
    #expect(earliest < latest)
    #expect(latest <= .now)
  }

  @Test("What was left in the camera's ring from before is nobody's")
  func leftovers() throws {
    let server = try FakeCameraServer()
    for _ in 0..<8 { server.send() }
    #expect(server.ring.filled == 8)
    let camera = try camera(server)
    try camera.connect()
    #expect(server.ring.filled == 0)
    try camera.start(request(2), into: ring)
    server.send(value: 70)
    #expect(try next(camera) == .frame)
    #expect(ring.read(0) { header, pixels in [header.series, UInt64(pixels[0])] } == [2, 70])
  }

  @Test("A camera that says no, nonsense or nothing gives an error that says so")
  func answers() throws {
    let missing = try CameraModels.make(CameraSettings(model: "shm", url: directory.path + "/nobody"))
    #expect(throws: CameraError.unreachable(address: directory.path + "/nobody", reason: "No such file or directory")) {
      try missing.connect()
    }
    let refusing = try FakeCameraServer(.init(answers: ["START": "ERR exposure longer than the period"]))
    let camera = try camera(refusing)
    try camera.connect()
    #expect(
      throws: CameraError.refused(
        address: refusing.socketPath, request: "START", answer: "exposure longer than the period")
    ) { try camera.start(request(1), into: ring) }
    let babbling = try FakeCameraServer(.init(answers: ["IDENTIFY": "220 ready"]))
    let other = try self.camera(babbling)
    #expect(
      throws: CameraError.misunderstood(address: babbling.socketPath, request: "IDENTIFY", answer: "220 ready")
    ) { try other.connect() }
  }

  @Test("A camera whose process goes away is noticed")
  func gone() throws {
    let server = try FakeCameraServer()
    let camera = try camera(server)
    try camera.connect()
    try camera.start(request(1), into: ring)
    server.close()
    #expect(throws: CameraError.disconnected(address: server.socketPath, reason: "the camera closed its port")) {
      try camera.next(into: ring, step: 0, atMost: Seconds(0.01))
    }
  }

  @Test("A model nobody built is named, with those that exist")
  func unknownModel() {
    let error = #expect(throws: CameraError.self) {
      _ = try CameraModels.make(CameraSettings(model: "kodak", url: "x"))
    }
    #expect(
      error?.description
        == "camera model “kodak” is not known; write one of: \(CameraModels.all.map(\.name).joined(separator: ", "))")
    #expect(throws: CameraError.self) { _ = try CameraModels.make(CameraSettings(model: "simplon", url: "detector")) }
  }

  @Test("Slot times that no clock reads trapped the arithmetic behind them; the frame is kept, without a time")
  func impossibleTimes() throws {
    let server = try FakeCameraServer()
    let camera = try camera(server)
    try camera.connect()
    try camera.start(request(1), into: ring)
    server.send { $0.deviceNanoseconds = .min }
    server.send { $0.deviceNanoseconds = (1 << 61) + 1 }
    server.send { $0.exposureNanoseconds = .max }
    server.send { $0.deviceNanoseconds = 1 << 61 }
    for _ in 0..<4 { #expect(try next(camera) == .frame) }
    let headers = (0..<4 as Range<UInt64>).compactMap { ring.read($0) { header, _ in header } }
    #expect(headers.map(\.flags) == [.noDeviceTime, .noDeviceTime, .noDeviceTime, []])
    #expect(headers.map(\.deviceNanoseconds) == [0, 0, 0, 1 << 61])
    #expect(headers.map(\.exposureNanoseconds) == [900, 900, 0, 900])
  }

  @Test("An answer to TIME that no clock reads is told, and no clock pair is made of it", arguments: [-1, Int64.max])
  func impossibleClock(reading: Int64) throws {
    let server = try FakeCameraServer(.init(answers: ["TIME": #"OK {"device_ns":\#(reading)}"#]))
    let camera = try camera(server)
    try camera.connect()
    #expect(throws: CameraError.impossibleTime(address: server.socketPath, nanoseconds: reading)) {
      try camera.probeClock()
    }
  }

  @Test("An end of series that claims 2⁶² frames made a gap of them all", arguments: [1 << 62, UInt64.max])
  func impossibleEnd(triggered: UInt64) throws {
    let server = try FakeCameraServer()
    let camera = try camera(server)
    try camera.connect()
    try camera.start(request(1), into: ring)
    server.send(0) { header in
      header = FrameHeader(frameNumber: triggered, series: header.series, flags: .seriesEnd)
    }
    #expect(try next(camera) == .seriesEnded(series: 1, triggered: nil))
  }
}
