import EmulatedUSB
import Linux
import Quantities
import Testing
import USB

@testable import NanobatteryTwin
@testable import Potentiostat

@Suite("Slow sampling and long ways, in simulated time")
struct LongPeriodTests {
  @Test(
    "An instrument that gives no reading any more is noticed within three sample periods",
    arguments: [0.02, 0.5, 10])
  func silence(period: Double) throws {
    nonisolated(unsafe) var made: NanobatteryTwin.Keithley2450?
    let bench = SimulatedBench("keithley-2450") { world, clock, start in
      let instrument = NanobatteryTwin.Keithley2450(.init(), cell: world, clock: clock, at: start)
      made = instrument
      return .keithley2450(instrument) { .now }
    }
    try bench.run { bench in
      _ = try bench.station.connect()
      try bench.station.prepare(KeithleyBench.acquisition(period: Seconds(period)))
      try bench.station.apply(.current(.zero))
      bench.poll(for: period * 3.5)
      #expect(bench.reports.samples.count >= 3)
      #expect(bench.reports.failures == [])
      bench.device.perform { made?.running = nil }
      let took = bench.time { bench.poll(for: 150) { !bench.reports.failures.isEmpty } }
      #expect(bench.reports.failures.count == 1 && bench.latch.isSet && bench.isOpen)
      // A quarter of a second is the interval at which an idle instrument is looked at.
      #expect(took < Seconds(1.4 + 2.6 * period), "\(took)")
    }
  }

  @Test(
    "Slow readings that come are no silence, from one script to the next as well",
    arguments: ["keithley-2636b", "keysight-b2911a", "keysight-b2985a", "emstat4-lr"], [0.4, 9.9])
  func slow(model: String, period: Double) throws {
    let bench = SimulatedBench(model, base: 0.9, grain: Seconds(0.01))
    try bench.run { bench in
      _ = try bench.station.connect()
      try bench.station.prepare(
        Acquisition(
          period: Seconds(period), currentRange: Amperes(1e-6), voltageRange: Volts(2),
          limits: CellLimits(voltage: Volts(-0.5)...Volts(1.6), current: Amperes(-1e-6)...Amperes(1e-6))))
      try bench.station.apply(.current(.zero))
      bench.poll(for: 60)
      #expect(bench.reports.failures == [] && bench.reports.trips == [])
      #expect(Double(bench.reports.samples.count) > 35 / period, "\(bench.reports.samples.count)")
    }
  }

  @Test("A script that is over while somebody wants the cell safe is the last, whoever polls")
  func latchedStation() throws {
    let bench = SimulatedBench("emstat4-lr", base: 0.9, grain: Seconds(0.01))
    try bench.run { bench in
      _ = try bench.station.connect()
      try bench.station.prepare(
        Acquisition(
          period: Seconds(0.5), currentRange: Amperes(1e-6), voltageRange: Volts(2),
          limits: CellLimits(voltage: Volts(-0.5)...Volts(1.6), current: Amperes(-1e-6)...Amperes(1e-6))))
      bench.world.setContacts(closed: true, at: .now)
      try bench.station.apply(.voltage(Volts(0.9)))
      bench.poll(for: 40)
      #expect(!bench.isOpen)
      // By another thread, which has not reached the instrument's yet.
      bench.latch.set()
      bench.poll(for: 6)
      var wasOn = false
      bench.onStep = { [world = bench.world] _ in wasOn = wasOn || !world.connection.terminal.isHighImpedance }
      bench.poll(for: 10)
      #expect(!wasOn && bench.isOpen)
      try bench.station.makeSafe()
      #expect(!wasOn && bench.isOpen)
    }
  }

  @Test(
    "A loop of readings that is over while somebody wants the cell safe is not begun anew",
    arguments: [false, true])
  func latchedLoop(isLatched: Bool) throws {
    nonisolated(unsafe) var made: NanobatteryTwin.Keithley2450?
    let bench = SimulatedBench("keithley-2450", grain: Seconds(5)) { _, clock, start in
      let instrument = NanobatteryTwin.Keithley2450(.init(), cell: FixedCurrent(0), clock: clock, at: start)
      made = instrument
      return .keithley2450(instrument) { .now }
    }
    try bench.run { bench in
      _ = try bench.station.connect()
      try bench.station.prepare(KeithleyBench.acquisition(period: Seconds(10)))
      try bench.station.apply(.current(.zero))
      // Its output is switched off by hand, and its loop's time is over.
      bench.device.perform { made?.setOutput(false, at: .now) }
      if isLatched { bench.latch.set() }
      sleepThread(for: Seconds(80_001))
      bench.station.tick()
      #expect((made?.outputOnSince == nil) == isLatched)
    }
  }

  private static let families = ["keithley-2450", "keithley-2636b", "keysight-b2911a", "keysight-b2985a"]

  @Test(
    "10 V are ramped over in less than whoever asked waits; more is refused before anything is on", arguments: families)
  func ramp(model: String) throws {
    let bench = SimulatedBench(model)
    try bench.run { bench in
      let driver = try #require(PotentiostatModels.named(model)).open(bench.bus, bench.settings)
      defer { driver.close() }
      let wide = CellLimits(voltage: Volts(-20)...Volts(20), current: Amperes(-1)...Amperes(1))
      let period = Seconds(0.005)
      try driver.prepare(
        Acquisition(period: period, currentRange: Amperes(1e-6), voltageRange: Volts(20), limits: wide))
      #expect {
        _ = try driver.begin(.voltage(Volts(12)), present: .zero, isWithinLimits: { _ in true })
      } throws: { "\($0)".contains("hold a voltage in between") }
      #expect(bench.isOpen)
      var readings = 0
      let took = try bench.time {
        readings = try driver.begin(.voltage(Volts(10)), present: .zero, isWithinLimits: { _ in true }).samples.count
      }
      #expect(readings >= 480, "\(readings)")
      // What the run grants: ten seconds, and for each of 500 readings the sample period and 20 ms.
      #expect(took < Seconds(10) + (period + Seconds(0.02)) * 500, "\(took)")
      try driver.open()
      #expect(bench.isOpen)
    }
  }

  @Test("However slowly is sampled, a ramp is not", arguments: ["keysight-b2911a", "keysight-b2985a"])
  func rampWhileSlow(model: String) throws {
    let bench = SimulatedBench(model)
    try bench.run { bench in
      _ = try bench.station.connect()
      var acquisition = keysightAcquisition(range: 1e-6, period: 2, current: 1e-6)
      acquisition.limits.voltage = Volts(-1)...Volts(5)
      try bench.station.prepare(acquisition)
      bench.world.setContacts(closed: true, at: .now)
      try bench.station.apply(.current(.zero))
      bench.poll(for: 5)
      let present = try #require(bench.reports.samples.last?.voltage)
      let took = try bench.time { try bench.station.apply(.voltage(present - Volts(1))) }
      #expect(took < Seconds(4), "\(took)")
      let before = bench.reports.samples.count
      bench.poll(for: 9)
      let after = bench.reports.samples.dropFirst(before)
      #expect((3...6).contains(after.count) && after.allSatisfy { $0.aperture == Seconds(1.6) })
      #expect(bench.reports.failures == [] && bench.reports.trips == [])
    }
  }

  @Test("A ramp whose readings take too long ends, and says how far it has come")
  func rampEnds() throws {
    let clock = SimulatedClock(start: MonotonicTime(nanoseconds: 0)) { _ in }
    try clock.run { () throws in
      let ramp = try VoltageRamp(from: 0, to: 1, device: "test")
      #expect(ramp.steps == 50)
      var level = 0.0
      #expect {
        _ = try ramp.follow(aperture: Seconds(0.01), { _ in true }) { (volts) throws(InstrumentError) in
          level = volts
        } read: { () throws(InstrumentError) in
          sleepThread(for: Seconds(0.5))
          return (
            Sample(
              deviceNanoseconds: 0, arrival: .now, voltage: nil, current: nil, range: .zero, aperture: .zero, flags: []),
            ClockPair(deviceNanoseconds: 0, earliest: nil, latest: nil)
          )
        }
      } throws: { "\($0)".contains("of 50 steps") }
      #expect(level < 0.3 && MonotonicTime.now.nanoseconds < 8_000_000_000)
    }
  }
}
