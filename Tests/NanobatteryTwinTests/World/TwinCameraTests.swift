import FrameRing
import Glibc
import JSON
import Linux
import Quantities
import Testing

@testable import NanobatteryTwin

/// A camera of 64 × 48 pixels behind its socket, its world, and a client with the ring open as the gating reader.
private final class Setup {
  let directory: String
  let world: World
  let camera: TwinCamera
  let port: CameraPort
  let client: UnixStream
  let clock = DeviceClock(offset: Seconds(100), driftPPM: 80, origin: .now)

  init(slots: Int = 16, truth: Bool = false, _ faults: CameraFaults = CameraFaults()) throws {
    directory = "/tmp/insitu-camera-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    try FileSystem.makeDirectories(directory)
    let recorder = truth ? try TruthRecorder(directory: directory + "/truth") : nil
    world = World(WorldSettings(seed: 1, truth: recorder))
    var settings = TwinCameraSettings()
    settings.width = 64
    settings.height = 48
    settings.slots = slots
    settings.clock = clock
    settings.ringPath = directory + "/ring"
    settings.faults = faults
    camera = try TwinCamera(settings, world: world)
    port = try CameraPort(path: directory + "/twin-camera", camera: camera)
    client = try UnixStream.connect(directory + "/twin-camera")
  }

  func ask(_ line: String) throws -> String {
    try client.write(Array((line + "\n").utf8))
    return try client.readLine(within: Seconds(5))
  }

  func answer(_ line: String) throws -> JSONValue {
    let reply = try ask(line)
    #expect(reply.hasPrefix("OK "))
    return try JSONValue(parsing: String(reply.dropFirst(3)))
  }

  /// Headers up to and with the marker that ends the series; pixels are given to `look`.
  func frames(
    until ring: FrameRing, from first: UInt64 = 0, _ look: (FrameHeader, UnsafeRawBufferPointer) -> Void = { _, _ in }
  ) -> [FrameHeader] {
    var all: [FrameHeader] = []
    var next = first
    while ring.waitForPublished(beyond: next, atMost: Seconds(5)) {
      guard
        let header = ring.read(
          next,
          { header, pixels in
            look(header, pixels)
            return header
          })
      else { break }
      all.append(header)
      ring.release(through: next)
      next += 1
      if header.flags.contains(.seriesEnd) { break }
    }
    return all
  }

  func close() {
    port.close()
    camera.close()
    world.truth?.close()
    for name in ["truth/cell.csv", "truth/frames.csv", "truth/clocks.csv", "truth/events.csv"] {
      FileSystem.remove("\(directory)/\(name)")
    }
    rmdir(directory + "/truth")
    rmdir(directory)
  }
}

private let start = "START {\"series\":3,\"period_ns\":2500000,\"exposure_ns\":2400000}"

@Suite("The twin's camera")
struct TwinCameraTests {
  @Test("A series: numbers without gap, device times on the grid, arrival after the end, triggered = delivered")
  func series() throws {
    let setup = try Setup(truth: true)
    defer { setup.close() }
    let identity = try setup.answer("IDENTIFY")
    #expect(identity["width"]?.integer == 64 && identity["pixel"]?.string == "<u2")
    let ring = try FrameRing.open(try #require(identity["ring"]?.string), writable: true)

    #expect(try setup.answer(start)["series"]?.integer == 3)
    #expect(ring.waitForPublished(beyond: 9, atMost: Seconds(10)))
    let stopped = try setup.answer("STOP")
    #expect(stopped["series"]?.integer == 3)
    let triggered = try #require(stopped["triggered"]?.integer)
    var pixelsSeen = 0
    let all = setup.frames(until: ring) { _, pixels in pixelsSeen += pixels.count }

    let marker = try #require(all.last)
    #expect(marker.flags == .seriesEnd && marker.frameNumber == UInt64(triggered) && marker.bytes == 0)
    let frames = all.dropLast()
    #expect(frames.map(\.frameNumber) == (0..<UInt64(triggered)).map { $0 })
    #expect(pixelsSeen == frames.count * 64 * 48 * 2)
    let first = try #require(frames.first).deviceNanoseconds
    for frame in frames {
      #expect(frame.deviceNanoseconds == first + Int64(frame.frameNumber) * 2_500_000)
      #expect(frame.exposureNanoseconds == 2_400_000 && frame.series == 3 && frame.step == .max)
      #expect(frame.arrival >= setup.clock.host(at: frame.deviceNanoseconds + 2_400_000))
    }
    #expect(setup.camera.counts.published == UInt64(triggered))

    setup.port.close()
    setup.camera.close()
    setup.world.truth?.close()
    let rows = String(decoding: try FileSystem.read(setup.directory + "/truth/frames.csv"), as: UTF8.self)
      .split(separator: "\n").dropFirst()
    #expect(rows.count == Int(triggered))
    let row = try #require(rows.first).split(separator: ",")
    #expect(row[0] == "3" && row[1] == "0" && row[7] == "1")
    #expect(Int64(row[2]) == setup.clock.host(at: first).nanoseconds)
    #expect(Int64(row[3]) == setup.clock.host(at: first + 2_400_000).nanoseconds)
  }

  @Test("Lost frames skip their numbers, repeated ones come twice, and nothing else differs")
  func faults() throws {
    var faults = CameraFaults()
    faults.lose = CameraFaults.Pattern(frames: 2, every: 5)
    faults.repeat = CameraFaults.Pattern(frames: 1, every: 4)
    let setup = try Setup(slots: 64, faults)
    defer { setup.close() }
    let ring = try FrameRing.open(setup.camera.ringPath, writable: true)
    _ = try setup.answer(start)
    #expect(ring.waitForPublished(beyond: 11, atMost: Seconds(10)))
    let triggered = UInt64(try #require(try setup.answer("STOP")["triggered"]?.integer))
    let numbers = setup.frames(until: ring).dropLast().map(\.frameNumber)
    let delivered = (0..<triggered).filter { $0 % 5 < 3 }
    let expected = delivered.flatMap { (number: UInt64) -> [UInt64] in number % 4 == 3 ? [number, number] : [number] }
    #expect(numbers == expected)
    #expect(setup.camera.counts.lostByFault == triggered - UInt64(delivered.count))
  }

  @Test("A full ring drops exposures and counts them; what follows says how many")
  func fullRing() throws {
    let setup = try Setup(slots: 2)
    defer { setup.close() }
    let ring = try FrameRing.open(setup.camera.ringPath, writable: true)
    _ = try setup.answer(start)
    while setup.camera.counts.lostRingFull < 3 { usleep(1000) }
    let triggered = UInt64(try #require(try setup.answer("STOP")["triggered"]?.integer))
    let all = setup.frames(until: ring)
    #expect(all.last?.flags == .seriesEnd)
    #expect(all.dropLast().prefix(2).map(\.frameNumber) == [0, 1])
    let counts = setup.camera.counts
    #expect(counts.published + counts.lostRingFull == triggered)
    #expect(all.reduce(0) { $0 + $1.refusedBefore } == counts.lostRingFull)
  }

  @Test("A stall delays frames and loses none")
  func stall() throws {
    var faults = CameraFaults()
    faults.stall = (span: Seconds(0.1), after: Seconds(0.01))
    let setup = try Setup(slots: 256, faults)
    defer { setup.close() }
    let ring = try FrameRing.open(setup.camera.ringPath, writable: true)
    _ = try setup.answer(start)
    #expect(ring.waitForPublished(beyond: 60, atMost: Seconds(10)))
    let triggered = UInt64(try #require(try setup.answer("STOP")["triggered"]?.integer))
    let frames = setup.frames(until: ring).dropLast()
    #expect(frames.map(\.frameNumber) == (0..<triggered).map { $0 })
    let delays = frames.map { ($0.arrival - setup.clock.host(at: $0.deviceNanoseconds + $0.exposureNanoseconds)).value }
    #expect((delays.max() ?? 0) > 0.08)
  }

  @Test("Garbage gets ERR and harms nothing; the connection goes on")
  func garbage() throws {
    let setup = try Setup()
    defer { setup.close() }
    let wrong = [
      "", "HELLO", "identify", "IDENTIFY now", "START", "START {", "START 7", "START {\"series\":1}",
      "START {\"series\":-1,\"period_ns\":2500000,\"exposure_ns\":1}",
      "START {\"series\":1,\"period_ns\":2500000,\"exposure_ns\":2500001}",
      "START {\"series\":1,\"period_ns\":1,\"exposure_ns\":1}",
      "START {\"series\":1.5,\"period_ns\":2500000,\"exposure_ns\":1}", "STOP", "STOP 1", "TIME ?",
      "START " + String(repeating: "[", count: 3000),
    ]
    for line in wrong { #expect(try setup.ask(line).hasPrefix("ERR ")) }
    try setup.client.write([0xFF, 0xFE, 0, 1, 10])
    #expect(try setup.client.readLine(within: Seconds(5)).hasPrefix("ERR "))
    let before = setup.clock.device(at: .now)
    let time = try #require(try setup.answer("TIME")["device_ns"]?.integer)
    #expect(time >= before && time <= setup.clock.device(at: .now))
    #expect(try setup.ask("IDENTIFY\r").hasPrefix("OK "))
  }

  @Test("A line without an end is answered with ERR, and the camera is free for the next client")
  func endlessLine() throws {
    let setup = try Setup()
    defer { setup.close() }
    try setup.client.write([UInt8](repeating: 65, count: 5000))
    #expect(try setup.client.readLine(within: Seconds(5)).hasPrefix("ERR "))
    var next: UnixStream?
    for _ in 0..<500 where next == nil {
      let candidate = try UnixStream.connect(setup.directory + "/twin-camera")
      // Refused ones are hung up on, perhaps before they have asked.
      try? candidate.write(Array("TIME\n".utf8))
      if let line = try? candidate.readLine(within: Seconds(5)), line.hasPrefix("OK ") { next = candidate }
      usleep(2000)
    }
    #expect(next != nil)
  }

  @Test("One client at a time; START while running is refused; a client that goes ends its series")
  func oneClient() throws {
    let setup = try Setup(slots: 64)
    defer { setup.close() }
    let ring = try FrameRing.open(setup.camera.ringPath, writable: true)
    _ = try setup.answer(start)
    #expect(try setup.ask(start).hasPrefix("ERR series 3 is running"))
    let second = try UnixStream.connect(setup.directory + "/twin-camera")
    #expect(try second.readLine(within: Seconds(5)).hasPrefix("ERR another client"))
    setup.client.shutdown()
    #expect(setup.frames(until: ring).last?.flags == .seriesEnd)
  }
}
