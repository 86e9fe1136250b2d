package import EmulatedUSB
import Glibc
import Linux
package import MockUSBFS
package import NanobatteryTwin
import Quantities

/// The twin's instruments and a `TestMeter` where real libusb finds them, in programs that are started by
/// `PreloadedProgram`. Ports: 1-1 the Keithley 2450, 1-2 the holder, 1-3 the meter.
package final class MockBench: @unchecked Sendable {
  package let root: String
  package let mock: MockUSBFS
  package let instruments: TwinInstruments
  package let meter: EmulatedUSBDevice
  private let ending = Monitor(false)
  private var ticker: NamedThread?

  package enum Port { package static let (potentiostat, holder, meter) = (0, 1, 2) }

  package init(_ options: MockUSBFS.Options = MockUSBFS.Options()) throws {
    let place = FileSystem.isWritable("/dev/shm") ? "/dev/shm" : "/tmp"
    var template = Array("\(place)/usbfs.XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else { throw LinuxError("mkdtemp") }
    root = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let start = MonotonicTime.now
    let world = World(WorldSettings(cell: CellParameters(), seed: 1, start: start))
    func clock(_ offset: Double, _ drift: Double) -> DeviceClock {
      DeviceClock(offset: Seconds(offset), driftPPM: drift, origin: start)
    }
    let instruments = TwinInstruments(
      TwinInstruments.Settings(), cell: world, potentiostatClock: clock(3.7, 35), holderClock: clock(12.4, -18))
    let meter = TestMeter.device()
    self.instruments = instruments
    self.meter = meter
    mock = try MockUSBFS(root: root, devices: instruments.exports.map(\.device) + [meter], options: options)
    ticker = NamedThread("mock-bench") { [ending] in
      while !ending.read({ $0 }) {
        instruments.tick(.now)
        meter.tick(.now)
        sleepThread(for: Seconds(0.001))
      }
    }
  }

  package func end() {
    mock.stop()
    ending.update { $0 = true }
    ticker?.join()
    unsafe _ = rmdir(root)
  }
}
