package import EmulatedUSB
import Glibc
import Linux
package import NanobatteryTwin
package import Quantities
package import USB

/// One MethodSCRIPT instrument in front of a cell below 1 V, which all models can reach, behind a USB/IP socket of its own.
package final class PalmSensBench: @unchecked Sendable {
  package let instrument: MethodScriptInstrument
  package let device: EmulatedUSBDevice
  package let world: World
  package let bus: USBIPBus
  package let start: MonotonicTime
  package let match: USBMatch
  private let server: USBIPServer
  private let directory: String
  private let ending = Monitor(false)
  private var ticker: NamedThread?

  package init(_ hardware: PalmSensHardware, _ settings: MethodScriptInstrument.Settings = .init()) throws {
    var template = Array("/tmp/palmsens-bench.XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else { throw LinuxError("mkdtemp") }
    directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    start = .now
    var cell = CellParameters()
    cell.curve.base = 0.9
    world = World(WorldSettings(cell: cell, seed: 1, start: start))
    instrument = MethodScriptInstrument(
      hardware, settings, cell: world, clock: DeviceClock(offset: Seconds(3.7), driftPPM: 35, origin: start))
    device = TwinPotentiostat.palmSens(instrument) { .now }.device
    match = USBMatch(vendor: hardware.vendor, product: hardware.product)
    server = try USBIPServer(directory + "/usb", [.init(busID: "1-1", device: device)])
    bus = USBIPBus(address: directory + "/usb", patience: Seconds(0.1))
    ticker = NamedThread("palmsens-bench") { [device, ending] in
      while !ending.read({ $0 }) {
        device.tick(.now)
        sleepThread(for: Seconds(0.001))
      }
    }
  }

  package var isCellOn: Bool { device.perform { instrument.isCellOn } }
  package var isRunning: Bool { device.perform { instrument.isRunning } }
  package var received: [String] { device.perform { instrument.received } }

  /// Lines as another program would have sent them before.
  package func type(_ lines: String) { device.perform { instrument.receive(Array(lines.utf8), at: .now) } }

  package func end() {
    ending.update { $0 = true }
    ticker?.join()
    server.stop()
    unsafe _ = rmdir(directory)
  }
}
