import Linux
import NanobatteryTwin
import ZeroMQ

/// The twin's camera as a DECTRIS detector: the stream, and the HTTP that commands it where that is wanted.
final class TwinSimplon: CameraOutlet {
  private let sender: SimplonSender
  private let port: SimplonPort?

  init(
    _ configuration: TwinConfiguration.Camera, _ version: SimplonWire.Version, _ camera: TwinCamera,
    report: @escaping @Sendable (String) -> Void
  ) throws(LinuxError) {
    var settings = SimplonSender.Settings()
    settings.wire = SimplonWire(version)
    settings.wire.serial = configuration.serial
    settings.address = configuration.endpoint
    settings.isCommanded = configuration.control != nil
    settings.faults = camera.settings.faults
    let sender: SimplonSender
    do throws(ZeroMQError) { sender = try SimplonSender(settings, camera: camera, report: report) } catch {
      throw LinuxError(error.call, error.endpoint, number: error.number)
    }
    do throws(LinuxError) {
      port = try configuration.control.map { address throws(LinuxError) in
        try SimplonPort(address, sender: sender, report: report)
      }
    } catch {
      sender.close()
      throw error
    }
    self.sender = sender
  }

  var isConnected: Bool { sender.isSending }
  var connections: UInt64 { sender.counts.seriesEnded }

  func close() {
    // First the sender: a client that waits for the end of its series is let go with it.
    sender.close()
    port?.close()
  }
}
