import Glibc
import Linux
import NanobatteryTwin
import ZeroMQ

/// The twin's camera as a DECTRIS detector: the stream, and the HTTP that commands it where that is wanted.
final class TwinSimplon {
  private let sender: SimplonSender
  private let port: SimplonPort?

  /// Nil when the configuration has another stream.
  init?(
    _ configuration: TwinConfiguration, _ camera: TwinCamera, report: @escaping @Sendable (String) -> Void
  ) throws(TwinFailure) {
    let (version, usual): (SimplonWire.Version, Int)
    switch configuration.camera.stream {
    case "simplon1": (version, usual) = (.legacy, 9999)
    case "simplon2": (version, usual) = (.cbor, 31001)
    default: return nil
    }
    var settings = SimplonSender.Settings()
    settings.wire = SimplonWire(version)
    settings.wire.serial = configuration.camera.serial
    settings.address = configuration.camera.address ?? "tcp://127.0.0.1:\(usual)"
    settings.isCommanded = configuration.camera.control != nil
    settings.faults = configuration.streamFaults
    let sender: SimplonSender
    do throws(ZeroMQError) {
      sender = try SimplonSender(settings, camera: camera, report: report)
    } catch {
      throw TwinFailure(error, settings.address)
    }
    do throws(LinuxError) {
      port = try configuration.camera.control.map { address throws(LinuxError) in
        try SimplonPort(address, sender: sender, report: report)
      }
    } catch {
      sender.close()
      throw TwinFailure(error, remedy: "“twin.camera.control” must be HOST:PORT of this computer that is free")
    }
    self.sender = sender
    let control = port.map { ", commanded at http://\($0.address)" } ?? ""
    say("camera: \(configuration.camera.stream) at \(sender.address)\(control)")
  }

  func close() {
    // First the sender: a client that waits for the end of its series is let go with it.
    sender.close()
    port?.close()
  }
}

extension TwinFailure {
  fileprivate init(_ error: ZeroMQError, _ address: String) {
    self.init(
      EX_OSERR, "\(error); “twin.camera.address” must be tcp://HOST:PORT of this computer that is free")
  }
}
