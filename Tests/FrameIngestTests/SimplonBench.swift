import FrameIngest
import FrameRing
import Glibc
import Linux
import NanobatteryTwin
import Pixels
import Quantities

/// A receiver before the twin's camera, which sends as a DECTRIS detector.
final class SimplonBench: @unchecked Sendable {
  let directory: TemporaryDirectory
  let twin: TwinCamera
  private(set) var sender: SimplonSender
  private(set) var port: SimplonPort?
  let ring: FrameRing
  let reports = Monitor<[CameraReport]>([])
  /// What was to be received: series, number, pixels. A frame that the camera repeats has other pixels each time.
  let truth = Monitor<[UInt64: [UInt64: [[UInt8]]]]>([:])
  private(set) var thread: CameraThread!

  static let (width, height) = (64, 48)

  /// - Parameter control: the receiver commands the detector, which understands this version of the API.
  init(
    _ wire: SimplonWire, control version: String? = nil, faults: CameraFaults = CameraFaults(), slots: Int = 256,
    _ change: (inout SimplonSender.Settings, inout CameraSettings) -> Void = { _, _ in }
  ) throws {
    directory = try TemporaryDirectory()
    var camera = TwinCameraSettings()
    (camera.width, camera.height) = (Self.width, Self.height)
    camera.dose = 20_000
    camera.slots = 256
    camera.clock = DeviceClock(offset: Seconds(100), driftPPM: 0, origin: .now)
    camera.ringPath = directory.path + "/twin-ring"
    camera.faults = faults
    twin = try TwinCamera(camera, world: World(WorldSettings(seed: 1)))

    var settings = SimplonSender.Settings()
    settings.wire = wire
    settings.address = "tcp://127.0.0.1:*"
    settings.isCommanded = version != nil
    settings.images = 20
    settings.series = 1
    settings.period_ns = 3_000_000
    settings.exposure_ns = 2_500_000
    let truth = truth
    settings.witness = { series, number, pixels in
      truth.update { $0[series, default: [:]][number, default: []].append(pixels) }
    }
    var receiver = CameraSettings(
      model: wire.version == .legacy ? "simplon" : "simplon2", url: "", maximumFrameBytes: 1 << 20)
    change(&settings, &receiver)
    sender = try SimplonSender(settings, camera: twin)
    receiver.url = sender.address
    if let version {
      let port = try SimplonPort("127.0.0.1:0", sender: sender, version: version)
      self.port = port
      receiver.control = "http://\(port.address)"
    } else {
      port = nil
    }
    ring = try FrameRing.create(
      directory.path + "/ring", slots: slots, slotBytes: Self.width * Self.height * wire.pixelType.bytesPerPixel)
    let reports = reports
    thread = CameraThread(try CameraModels.make(receiver), ring: ring) { report in reports.update { $0.append(report) }
    }
  }

  deinit {
    thread.send(.close)
    thread.join()
    sender.close()
    port?.close()
    twin.close()
  }

  /// The detector is gone, and a moment later there again, at the same addresses.
  func restartDetector() throws {
    var settings = sender.settings
    settings.address = sender.address
    let address = port?.address
    sender.close()
    port?.close()
    port = nil
    // The port that was let go of is free again after a moment.
    let end = MonotonicTime.now + Seconds(5)
    while true {
      do {
        sender = try SimplonSender(settings, camera: twin)
        break
      } catch { if MonotonicTime.now > end { throw error } }
      sleepThread(for: Seconds(0.02))
    }
    port = try address.map { try SimplonPort($0, sender: sender) }
  }

  func record(_ series: UInt64 = 1, period: Seconds = Seconds(0.003), exposure: Seconds = Seconds(0.0025)) {
    thread.send(.record(ExposureRequest(series: series, framePeriod: period, exposure: exposure), step: 1))
  }

  /// Waits for the n-th report that fits, and gives it; long, because other tests may keep all cores busy.
  func wait(_ times: Int = 1, for fits: @escaping (CameraReport) -> Bool) -> CameraReport? {
    reports.wait(atMost: Seconds(60)) { all in
      let fitting = all.filter(fits)
      return fitting.count >= times ? fitting[times - 1] : nil
    }
  }

  struct End: Equatable {
    var series: UInt64
    var triggered: UInt64?
    var received: UInt64
    var refusedByRing: UInt64
    var unusable: UInt64
  }

  /// Waits for the end of the n-th series.
  func end(_ times: Int = 1) -> End? {
    let report = wait(times) { if case .seriesEnded = $0 { true } else { false } }
    guard case .seriesEnded(let series, let triggered, let received, let refused, let unusable) = report else {
      return nil
    }
    return End(
      series: series, triggered: triggered, received: received, refusedByRing: refused,
      unusable: unusable.values.reduce(0, +))
  }

  /// All frames in the ring.
  var frames: [(header: FrameHeader, pixels: [UInt8])] {
    (0..<ring.published).compactMap { sequence in
      ring.read(sequence) { header, pixels in (header, Array(pixels)) }
    }
  }

  var warnings: [String] {
    reports.read { all in all.compactMap { if case .warning(let text) = $0 { text } else { nil } } }
  }
}
