import DEMessaging
import FrameRing
import Linux
import NanobatteryTwin
import Quantities
import Testing

@testable import FrameIngest

/// The twin's camera behind its emulated DE-Server, a receiver of it, and what went over the wire.
final class DEBench {
  static let width = 64
  static let height = 48

  let directory: TemporaryDirectory
  let ring: FrameRing
  let camera: TwinCamera
  let server: DEServer
  /// CRC-32C of the pixels of each frame that was sent, in order.
  let sent = Monitor<[(number: UInt64, crc: UInt32)]>([])
  var url: String { "tcp://\(server.address)" }

  init(
    slots: Int = 1024, source: CameraFaults = CameraFaults(), _ adjust: (inout DEServerSettings) -> Void = { _ in }
  ) throws {
    directory = try TemporaryDirectory()
    ring = try FrameRing.create(directory.path + "/ring", slots: slots, slotBytes: Self.width * Self.height * 2)
    var settings = TwinCameraSettings()
    settings.width = Self.width
    settings.height = Self.height
    settings.slots = 64
    settings.dose = 2000
    settings.ringPath = directory.path + "/twin-ring"
    settings.faults = source
    camera = try TwinCamera(settings, world: World(WorldSettings(seed: 1)))
    var front = DEServerSettings()
    front.address = "127.0.0.1:0"
    let sent = sent
    front.watch = { number, pixels in
      let crc = pixels.withUnsafeBytes { crc32c($0) }
      sent.update { $0.append((number, crc)) }
    }
    adjust(&front)
    server = try DEServer(front, camera: camera)
  }

  deinit {
    server.close()
    camera.close()
  }

  var settings: CameraSettings {
    CameraSettings(model: "de", url: url, maximumFrameBytes: Self.width * Self.height * 4)
  }

  func receiver() throws -> any Camera {
    let camera = try CameraModels.make(settings)
    try camera.connect()
    return camera
  }

  /// As the operator would at the DE-Server.
  func set(_ name: String, _ value: DEValue) throws { try DEConnection.open(url).setProperty(name, value) }

  static func request(_ series: UInt64 = 1, rate: Double = 400) -> ExposureRequest {
    ExposureRequest(series: series, framePeriod: Seconds(1 / rate), exposure: Seconds(0.9 / rate))
  }

  /// Records until `enough`, then to the end of the series.
  func record(_ camera: any Camera, rate: Double = 400, until enough: ([CameraEvent]) -> Bool) throws -> [CameraEvent] {
    try camera.start(Self.request(rate: rate), into: ring)
    var events: [CameraEvent] = []
    let end = MonotonicTime.now + Seconds(20)
    var isStopped = false
    while MonotonicTime.now < end {
      if !isStopped, enough(events) {
        isStopped = true
        try camera.stop()
      }
      let event = try camera.next(into: ring, step: 3, atMost: Seconds(0.05))
      if event != .nothing { events.append(event) }
      if case .seriesEnded = event { return events }
    }
    throw BenchError("the series did not end: \(events.suffix(5))")
  }

  /// Headers of all frames in our ring.
  var recorded: [FrameHeader] {
    (0..<ring.published).compactMap { ring.read($0) { header, _ in header } }
  }

  func pixels(_ sequence: UInt64) -> [UInt16] {
    ring.read(sequence) { _, pixels in Array(pixels.bindMemory(to: UInt16.self)) } ?? []
  }
}

struct BenchError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

extension [CameraEvent] {
  var frames: Int { count { $0 == .frame } }

  var refusals: [String] {
    compactMap { if case .refusedFrame(let cause) = $0 { cause } else { nil } }
  }

  var end: CameraEvent? { last { if case .seriesEnded = $0 { true } else { false } } }

  /// Exposures begun, as the end says.
  var triggered: UInt64? { if case .seriesEnded(_, let triggered) = end { triggered } else { nil } }
}
