import EmulatedUSB
import Linux
import Potentiostat
import Quantities
import TwinBench
import USB

@testable import NanobatteryTwin

/// A cell that remembers every terminal that was put on it, and what it had then.
final class WatchedCell: CellSide, @unchecked Sendable {
  struct Step: Sendable {
    var terminal: CellTerminal
    var cellVoltage: Double
    var contactsClosed: Bool
  }

  let world: World
  private let log = Monitor<[Step]>([])

  init() {
    world = World(WorldSettings(cell: CellParameters(), seed: 1, start: .now))
  }

  var steps: [Step] { log.read { $0 } }
  func forget() { log.update { $0 = [] } }

  func setTerminal(_ terminal: CellTerminal, at time: MonotonicTime) {
    world.setTerminal(terminal, at: time)
    let step = Step(
      terminal: terminal, cellVoltage: world.cell.voltage, contactsClosed: world.connection.contactsClosed)
    log.update { $0.append(step) }
  }
  func setContacts(closed: Bool, at time: MonotonicTime) { world.setContacts(closed: closed, at: time) }
  func means(from start: MonotonicTime, to end: MonotonicTime) -> TerminalMeans { world.means(from: start, to: end) }
  func note(_ text: String, at time: MonotonicTime) {}
}

/// One Keysight instrument of the twin on a bus in process, with its station.
final class KeysightBench {
  let cell = WatchedCell()
  let latch = SafetyLatch()
  let device: EmulatedUSBDevice
  let bus: InProcessBus
  let station: PotentiostatStation
  private let reports = StationReports()

  /// - Parameters:
  ///   - model: as the configuration names it.
  ///   - make: the instrument with other settings than the registered ones.
  init(
    _ model: String, common: TwinPotentiostatSettings = .init(), settings: PotentiostatSettings? = nil,
    make: ((any CellSide, any InstrumentClock) -> TwinPotentiostat)? = nil
  ) throws {
    let clock = DeviceClock(offset: Seconds(3.7), driftPPM: 50, origin: .now)
    let registered = TwinPotentiostatModels.named(model)
    guard let twin = make?(cell, clock) ?? registered?.make(common, cell, clock, { .now }) else { throw NoModel() }
    device = twin.device
    bus = InProcessBus(devices: [device])
    station = PotentiostatStation(
      settings ?? PotentiostatSettings(model: model, usb: USBMatch(serial: nil)), bus: bus, latch: latch
    ) { [reports] report in reports.add(report) }
  }

  struct NoModel: Error {}

  deinit {
    station.close()
    bus.end()
  }

  var terminal: CellTerminal { cell.world.connection.terminal }
  var samples: [Sample] { reports.samples }
  var pairs: [ClockPair] { reports.pairs }
  var trips: [String] { reports.trips }
  var failures: [String] { reports.failures }

  /// Whoever was at the instrument before: commands sent by hand, without the driver.
  func byHand(_ commands: String...) throws {
    let connection = try SCPIConnection.open(USBMatch(serial: nil), on: bus, name: "by hand")
    defer { connection.close() }
    for command in commands { try connection.send(command) }
    _ = try connection.query("*IDN?")
  }

  func close() { cell.setContacts(closed: true, at: .now) }

  func poll(for span: Double) {
    let end = MonotonicTime.now + Seconds(span)
    while MonotonicTime.now < end {
      station.tick()
      sleepThread(for: Seconds(0.004))
    }
  }
}

func keysightAcquisition(
  range: Double = 100e-9, period: Double = 0.01,
  voltage: ClosedRange<Volts> = Volts(-0.5)...Volts(4.5), current: Double = 200e-12
) -> Acquisition {
  Acquisition(
    period: Seconds(period), currentRange: Amperes(range), voltageRange: Volts(5),
    limits: CellLimits(voltage: voltage, current: Amperes(-current)...Amperes(current)))
}
