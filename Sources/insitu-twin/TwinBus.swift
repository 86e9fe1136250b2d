import EmulatedUSB
import Linux
import NanobatteryTwin
import Quantities

/// The USB instruments of the twin behind one USB/IP socket.
final class TwinBus {
  private let instruments: TwinInstruments
  private let server: USBIPServer

  init(
    path: String, world: World, clocks: TruthRecorder.Clocks, configuration: TwinConfiguration
  ) throws(LinuxError) {
    var settings = TwinInstruments.Settings()
    settings.potentiostat.currentNoise = configuration.potentiostat.noise.value
    settings.potentiostat.sourceOffset = configuration.potentiostat.sourceOffset.value
    settings.potentiostat.measureOffset = configuration.potentiostat.measureOffset.value
    settings.potentiostat.seed = configuration.seed
    instruments = TwinInstruments(
      settings, cell: world, potentiostatClock: clocks.potentiostat, holderClock: clocks.holder)
    server = try USBIPServer(path, instruments.exports)
  }

  /// Clients connected now.
  var connections: Int { server.connectionCount }

  /// Since when the potentiostat's output has been on, nil while it is off.
  var outputOnSince: MonotonicTime? { instruments.potentiostat.perform { instruments.keithley.outputOnSince } }

  func tick(at now: MonotonicTime) { instruments.tick(now) }
  func unplug(_ instrument: PlannedUnplug.Instrument) { device(instrument).unplug() }
  func plug(_ instrument: PlannedUnplug.Instrument) { device(instrument).plug() }
  func close() { server.stop() }

  private func device(_ instrument: PlannedUnplug.Instrument) -> EmulatedUSBDevice {
    switch instrument {
    case .potentiostat: instruments.potentiostat
    case .holder: instruments.holder
    }
  }
}
