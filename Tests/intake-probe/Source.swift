import FrameIngest
import FrameRing
import Glibc
import Linux
import NanobatteryTwin
import Quantities

/// What a receiver is fed by: the twin's camera behind one of its senders, in this process but on threads of its own.
struct Source {
  /// A model of the configuration, or a variant of its stream.
  enum Kind: String, CaseIterable {
    case simplon
    case simplonPlain = "simplon-plain"
    case simplonBigEndian = "simplon-lz4"
    case simplon2
    case simplon2Plain = "simplon2-plain"
    case merlin
    case array
    case arrayBigEndian = "array-big"
    case sls
    case de
    case shm
    case replay
  }

  static let (width, height) = (128, 96)
  static let period_ns: Int64 = 2_000_000

  let settings: CameraSettings
  /// Kept as long as frames are wanted.
  private let keeps: [AnyObject]

  init(_ kind: Kind, directory: String) throws {
    if kind == .replay {
      settings = try Self.file(directory)
      keeps = []
      return
    }
    var twin = TwinCameraSettings()
    (twin.width, twin.height, twin.slots) = (Self.width, Self.height, 64)
    twin.dose = 20_000
    twin.ringPath = directory + "/twin-ring"
    let camera = try TwinCamera(twin, world: World(WorldSettings(seed: 1)))
    let front = try Self.front(kind, camera, directory)
    settings = front.settings
    keeps = [camera, front.sender]
  }

  private static func front(
    _ kind: Kind, _ camera: TwinCamera, _ directory: String
  ) throws -> (settings: CameraSettings, sender: AnyObject) {
    switch kind {
    case .simplon: return try simplon(.legacy, .bslz4, camera)
    case .simplonPlain: return try simplon(.legacy, .none, camera)
    case .simplonBigEndian: return try simplon(.legacy, .lz4, camera)
    case .simplon2: return try simplon(.cbor, .bslz4, camera)
    case .simplon2Plain: return try simplon(.cbor, .none, camera)
    case .merlin:
      var settings = MerlinSender.Settings()
      (settings.dataAddress, settings.controlAddress) = ("127.0.0.1:0", "127.0.0.1:0")
      let sender = try MerlinSender(camera, settings)
      return (
        CameraSettings(model: "merlin", url: "tcp://\(sender.dataAddress)", control: "tcp://\(sender.controlAddress)"),
        sender
      )
    case .array: return try array(.array, isBigEndian: false, camera)
    case .arrayBigEndian: return try array(.array, isBigEndian: true, camera)
    case .sls: return try array(.slsDetector, isBigEndian: false, camera)
    case .de:
      var settings = DEServerSettings()
      settings.address = "127.0.0.1:0"
      let server = try DEServer(settings, camera: camera)
      return (CameraSettings(model: "de", url: "tcp://\(server.address)"), server)
    default:
      let port = try CameraPort(path: directory + "/port", camera: camera)
      return (CameraSettings(model: "shm", url: directory + "/port"), port)
    }
  }

  private static func simplon(
    _ version: SimplonWire.Version, _ compression: SimplonWire.Compression, _ camera: TwinCamera
  ) throws -> (settings: CameraSettings, sender: AnyObject) {
    var settings = SimplonSender.Settings()
    settings.wire = SimplonWire(version)
    settings.wire.compression = compression
    settings.address = "tcp://127.0.0.1:*"
    (settings.period_ns, settings.exposure_ns, settings.images) = (period_ns, period_ns * 9 / 10, 100_000)
    let sender = try SimplonSender(settings, camera: camera)
    return (CameraSettings(model: version == .legacy ? "simplon" : "simplon2", url: sender.address), sender)
  }

  private static func array(
    _ format: ArraySender.Format, isBigEndian: Bool, _ camera: TwinCamera
  ) throws -> (settings: CameraSettings, sender: AnyObject) {
    var settings = ArraySender.Settings()
    settings.endpoint = "tcp://127.0.0.1:*"
    (settings.format, settings.isBigEndian) = (format, isBigEndian)
    (settings.period_ns, settings.exposure_ns) = (period_ns, period_ns * 9 / 10)
    let sender = try ArraySender(camera, settings)
    return (CameraSettings(model: "array", url: sender.endpoint), sender)
  }

  private static func file(_ directory: String) throws -> CameraSettings {
    let path = directory + "/movie.raw"
    let bytes = (0..<(1000 * width * height * 2)).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    try FileSystem.replace(path, with: bytes)
    var settings = CameraSettings(model: "replay", url: "file://\(path)?width=\(width)&height=\(height)&type=u16")
    settings.replayRate = .chosen(Hertz(500))
    return settings
  }
}
