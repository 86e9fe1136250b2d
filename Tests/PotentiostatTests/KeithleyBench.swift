import EmulatedUSB
import Linux
import NanobatteryTwin
import Quantities
import TwinBench
import USB

@testable import Potentiostat

/// One model of Keithley in front of one cell, with its station, on a bus in process.
final class KeithleyBench: @unchecked Sendable {
  static let models = [
    "keithley-2450", "keithley-2460", "keithley-2461", "keithley-2470", "keithley-2634b", "keithley-2635b",
    "keithley-2636b",
  ]

  /// One of each driver.
  static let families = ["keithley-2450", "keithley-2636b"]

  let world: World
  let device: EmulatedUSBDevice
  let bus: InProcessBus
  let settings: PotentiostatSettings
  let reports = StationReports()
  let latch = SafetyLatch()
  let station: PotentiostatStation

  private init(
    _ model: String, _ adjust: (inout PotentiostatSettings) -> Void,
    _ make: (World, DeviceClock) -> TwinPotentiostat
  ) {
    let start = MonotonicTime.now
    world = World(WorldSettings(cell: CellParameters(), seed: 1, start: start))
    device = make(world, DeviceClock(offset: Seconds(3.7), driftPPM: 35, origin: start)).device
    bus = InProcessBus(devices: [device])
    var settings = PotentiostatSettings(
      model: model, usb: USBMatch(vendor: device.descriptors.vendor, product: device.descriptors.product))
    adjust(&settings)
    self.settings = settings
    station = PotentiostatStation(settings, bus: bus, latch: latch) { [reports] in reports.add($0) }
  }

  /// Any model, as the twin makes it.
  convenience init(
    _ model: String, _ common: TwinPotentiostatSettings = .init(),
    _ adjust: (inout PotentiostatSettings) -> Void = { _ in }
  ) {
    self.init(model, adjust) { world, clock in
      guard let made = TwinPotentiostatModels.named(model) else { fatalError("no twin of \(model)") }
      return made.make(common, world, clock, { .now })
    }
  }

  static func k2450(
    _ settings: NanobatteryTwin.Keithley2450.Settings = .init(),
    _ adjust: (inout PotentiostatSettings) -> Void = { _ in }
  ) -> (KeithleyBench, NanobatteryTwin.Keithley2450) {
    var made: NanobatteryTwin.Keithley2450?
    let bench = KeithleyBench("keithley-\(settings.model.number)", adjust) { world, clock in
      let instrument = NanobatteryTwin.Keithley2450(settings, cell: world, clock: clock, at: .now)
      made = instrument
      return .keithley2450(instrument, { .now })
    }
    return (bench, made!)
  }

  static func k2636B(
    _ settings: NanobatteryTwin.Keithley2636B.Settings = .init(),
    _ adjust: (inout PotentiostatSettings) -> Void = { _ in }
  ) -> (KeithleyBench, NanobatteryTwin.Keithley2636B) {
    var made: NanobatteryTwin.Keithley2636B?
    let bench = KeithleyBench("keithley-\(settings.model.number.lowercased())", adjust) { world, clock in
      let instrument = NanobatteryTwin.Keithley2636B(settings, cell: world, clock: clock, at: .now)
      made = instrument
      return .keithley2636B(instrument, { .now })
    }
    return (bench, made!)
  }

  var terminal: CellTerminal { world.connection.terminal }

  /// What an operator typed in at the instrument before, without a driver.
  func type(_ lines: String...) throws {
    let connection = try SCPIConnection.open(settings.usb, on: bus, name: "panel")
    defer { connection.close() }
    for line in lines { try connection.send(line) }
  }

  func poll(for span: Seconds, until isDone: () -> Bool = { false }) {
    let end = MonotonicTime.now + span
    while MonotonicTime.now < end, !isDone() {
      station.tick()
      sleepThread(for: Seconds(0.003))
    }
  }

  func end() {
    station.close()
    bus.end()
  }

  static func acquisition(
    _ range: Amperes = Amperes(10e-9), period: Seconds = Seconds(0.01),
    volts: ClosedRange<Volts> = Volts(-0.5)...Volts(4.5), amperes: Amperes = Amperes(100e-12)
  ) -> Acquisition {
    Acquisition(
      period: period, currentRange: range, voltageRange: Volts(20),
      limits: CellLimits(voltage: volts, current: Amperes(-amperes.value)...amperes))
  }
}
