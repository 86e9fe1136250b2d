import EmulatedUSB
import Linux
import MockUSBFS
import NanobatteryTwin
import Quantities

/// The USB instruments of the twin behind one USB/IP socket, and, if wanted, where libusb finds them.
final class TwinBus {
  private let instruments: TwinInstruments
  private let server: USBIPServer
  private let mock: MockUSBFS?

  init(
    path: String, world: World, clocks: TruthRecorder.Clocks, configuration: TwinConfiguration
  ) throws(LinuxError) {
    instruments = TwinInstruments(configuration, world, clocks)
    let devices = instruments.exports.map(\.device)
    mock = try configuration.usbMock.map { root throws(LinuxError) in try MockUSBFS(root: root, devices: devices) }
    do throws(LinuxError) {
      server = try USBIPServer(path, instruments.exports)
    } catch {
      mock?.stop()
      throw error
    }
  }

  /// Clients connected now.
  var connections: Int { server.connectionCount + (mock?.openHandles ?? 0) }

  /// Since when the potentiostat's output has been on, nil while it is off.
  var outputOnSince: MonotonicTime? { instruments.outputOnSince }

  func tick(at now: MonotonicTime) { instruments.tick(now) }
  func unplug(_ instrument: PlannedUnplug.Instrument) { device(instrument).unplug() }
  func plug(_ instrument: PlannedUnplug.Instrument) { device(instrument).plug() }
  func close() {
    mock?.stop()
    server.stop()
  }

  private func device(_ instrument: PlannedUnplug.Instrument) -> EmulatedUSBDevice {
    switch instrument {
    case .potentiostat: instruments.potentiostat
    case .holder: instruments.holder
    }
  }
}
