import EmulatedUSB
import Linux
import NanobatteryTwin
import Potentiostat
import Quantities
import TwinBench
import USB

/// One potentiostat of the twin with its station, in simulated time: a minute of a slow instrument takes as long as it takes
/// to compute.
final class SimulatedBench {
  let world: World
  let device: EmulatedUSBDevice
  let latch = SafetyLatch()
  let reports = StationReports()
  let station: PotentiostatStation
  let bus: InProcessBus
  let settings: PotentiostatSettings
  /// Called at every step of time.
  var onStep: (MonotonicTime) -> Void = { _ in }
  private var clock: SimulatedClock?

  /// - Parameters:
  ///   - base: V of the cell's open-circuit curve.
  ///   - grain: the longest step of time.
  ///   - make: the instrument with other settings than the registered ones, or at another cell.
  init(
    _ model: String, common: TwinPotentiostatSettings = .init(), base: Double = CellParameters().curve.base,
    grain: Seconds = Seconds(0.002), make: ((World, DeviceClock, MonotonicTime) -> TwinPotentiostat)? = nil
  ) {
    let start = MonotonicTime(nanoseconds: 1_000_000_000_000)
    let time = Monitor(start)
    var cell = CellParameters()
    cell.curve.base = base
    world = World(WorldSettings(cell: cell, seed: 1, start: start))
    let instrumentClock = DeviceClock(offset: Seconds(3.7), driftPPM: 35, origin: start)
    guard
      let twin = make?(world, instrumentClock, start)
        ?? TwinPotentiostatModels.named(model)?.make(common, world, instrumentClock, { time.read { $0 } })
    else { fatalError("no twin of \(model)") }
    device = twin.device
    bus = InProcessBus(simulating: [device])
    settings = PotentiostatSettings(
      model: model, usb: USBMatch(vendor: device.descriptors.vendor, product: device.descriptors.product))
    station = PotentiostatStation(settings, bus: bus, latch: latch) { [reports] in reports.add($0) }
    clock = SimulatedClock(start: start, grain: grain) { [weak self, bus] now in
      time.update { $0 = now }
      bus.step(now)
      self?.onStep(now)
    }
  }

  func run(_ body: (SimulatedBench) throws -> Void) throws {
    try clock?.run { try body(self) }
    station.close()
  }

  var isOpen: Bool {
    world.advance(to: clock?.now ?? .now)
    return world.connection.terminal.isHighImpedance
  }

  /// How long `body` takes.
  func time(_ body: () throws -> Void) rethrows -> Seconds {
    let began = MonotonicTime.now
    try body()
    return .now - began
  }

  func poll(for span: Double, until isDone: () -> Bool = { false }) {
    let end = MonotonicTime.now + Seconds(span)
    while MonotonicTime.now < end, !isDone() {
      station.tick()
      sleepThread(for: station.pollInterval)
    }
  }
}
