import EmulatedUSB
import Glibc
import Linux
package import NanobatteryTwin
import Quantities
package import USB

/// The twin's instruments behind a USB/IP socket in a directory of its own, with a thread that ticks them: what drivers
/// are tested against, over the same bytes as in the daemon.
package final class TwinBench: @unchecked Sendable {
  package let instruments: TwinInstruments
  package let world: World
  package let bus: USBIPBus
  private let server: USBIPServer
  private let directory: String
  private let ending = Monitor(false)
  private var ticker: NamedThread?

  package static let potentiostat = USBMatch(vendor: 0x05E6, product: 0x2450)
  package static let holder = USBMatch(vendor: 0x1209, product: 0x0B10)

  package init(_ settings: TwinInstruments.Settings = TwinInstruments.Settings()) throws {
    var template = Array("/tmp/twin-bench.XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else { throw LinuxError("mkdtemp") }
    directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let start = MonotonicTime.now
    world = World(WorldSettings(cell: CellParameters(), seed: 1, start: start))
    func clock(_ offset: Double, _ drift: Double) -> DeviceClock {
      DeviceClock(offset: Seconds(offset), driftPPM: drift, origin: start)
    }
    let instruments = TwinInstruments(
      settings, cell: world, potentiostatClock: clock(3.7, 35), holderClock: clock(12.4, -18))
    self.instruments = instruments
    server = try USBIPServer(directory + "/usb", instruments.exports)
    bus = USBIPBus(address: directory + "/usb", patience: Seconds(0.1))
    ticker = NamedThread("twin-bench") { [ending] in
      while !ending.read({ $0 }) {
        instruments.tick(.now)
        sleepThread(for: Seconds(0.001))
      }
    }
  }

  package func connection(_ match: USBMatch, name: String = "instrument") throws -> SCPIConnection {
    try SCPIConnection.open(match, on: bus, name: name)
  }

  package func end() {
    ending.update { $0 = true }
    ticker?.join()
    server.stop()
    unsafe _ = rmdir(directory)
  }
}
