import Glibc
import Linux
import NanobatteryTwin
import Quantities
import ZeroMQ

extension TruthRecorder.Clocks {
  /// The clocks of the configuration, each with a wander of its own, from `start` on.
  init(_ configuration: TwinConfiguration, from start: MonotonicTime) {
    func clock(_ clock: TwinConfiguration.Clock, _ stream: UInt64) -> DeviceClock {
      DeviceClock(
        offset: clock.offset, driftPPM: clock.driftPPM, wanderSeed: configuration.seed &+ stream,
        wanderPPB: clock.wanderPPB, origin: start)
    }
    self.init(
      potentiostat: clock(configuration.potentiostat.clock, 1000), holder: clock(configuration.holderClock, 2000),
      camera: clock(configuration.camera.clock, 3000))
  }
}

extension TruthRecorder {
  /// The recorder of a directory; nil when no truth is wanted.
  static func open(_ directory: String?, _ clocks: Clocks) throws(TwinFailure) -> TruthRecorder? {
    guard let directory else { return nil }
    do throws(LinuxError) {
      return try TruthRecorder(directory: directory, clocks: clocks) { say($0) }
    } catch {
      throw TwinFailure(error, remedy: "give a --truth directory that can be written")
    }
  }
}

extension TwinInstruments {
  /// The potentiostat and the holder of the configuration in front of one world.
  convenience init(_ configuration: TwinConfiguration, _ world: World, _ clocks: TruthRecorder.Clocks) {
    let smu = configuration.potentiostat
    var settings = TwinPotentiostatSettings()
    settings.currentNoise = smu.noise.value / 2.0.squareRoot()  // stated at 10 ms there, at 20 ms here
    settings.seed = configuration.seed
    settings.sourceOffset = smu.sourceOffset.value
    settings.measureOffset = smu.measureOffset.value
    var all = Settings()
    if let gap = configuration.holderGap { all.holder.probe.gap = gap.value }
    self.init(
      all, model: (smu.model, settings), cell: world, potentiostatClock: clocks.potentiostat,
      holderClock: clocks.holder)
  }
}

extension TwinConfiguration.Camera {
  /// The camera's own socket, or its stream.
  func outlet(
    _ camera: TwinCamera, runtime: String, report: @escaping @Sendable (String) -> Void
  ) throws(LinuxError) -> any CameraOutlet {
    switch stream {
    case .shm: return try CameraPort(path: runtime + "/twin-camera", camera: camera, report: report)
    case .simplon1: return try TwinSimplon(self, .legacy, camera, report: report)
    case .simplon2: return try TwinSimplon(self, .cbor, camera, report: report)
    case .merlin:
      var settings = MerlinSender.Settings()
      settings.dataAddress = streamAddress
      settings.controlAddress = try Self.portBelow(streamAddress)
      return try MerlinSender(camera, settings, report: report)
    case .de:
      var settings = DEServerSettings()
      settings.address = streamAddress
      settings.faults = DEServerFaults(camera.settings.faults)
      return try DEServer(settings, camera: camera, report: report)
    case .array:
      var settings = ArraySender.Settings()
      settings.endpoint = endpoint
      settings.period_ns = period.nanoseconds
      settings.exposure_ns = max(1, period.nanoseconds / 100 * 96)
      do throws(ZeroMQError) { return try ArraySender(camera, settings, report: report) } catch {
        throw LinuxError(error.call, error.endpoint, number: error.number)
      }
    }
  }

  /// `HOST:PORT` of the stream: what was configured, else the product's own port on this computer alone.
  var streamAddress: String {
    let usual =
      switch stream {
      case .shm: 0
      case .simplon1, .array: 9999
      case .simplon2: 31001
      case .merlin: 6342
      case .de: 13240
      }
    return address ?? "127.0.0.1:\(usual)"
  }

  /// Of ZeroMQ; an address may be one already, such as `ipc://…`.
  var endpoint: String { streamAddress.contains("://") ? streamAddress : "tcp://\(streamAddress)" }

  /// Commands come one port below the data, as with the Merlin software's own.
  private static func portBelow(_ address: String) throws(LinuxError) -> String {
    guard let colon = address.lastIndex(of: ":"), let port = UInt16(address[address.index(after: colon)...]), port > 1
    else { throw LinuxError("address", address, number: EINVAL) }
    return "\(address[..<colon]):\(port - 1)"
  }

  /// For people.
  var place: String {
    if stream == .shm { return "twin-camera" }
    return "camera as \(stream.rawValue) at \(streamAddress)" + (control.map { ", commanded at http://\($0)" } ?? "")
  }
}
