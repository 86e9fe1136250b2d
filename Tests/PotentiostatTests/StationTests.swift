import EmulatedUSB
import Linux
import NanobatteryTwin
import Potentiostat
import Quantities
import Testing
import TwinBench
import USB

private let limits = CellLimits(voltage: Volts(-0.5)...Volts(4.5), current: Amperes(-100e-12)...Amperes(100e-12))
private func acquisition(_ limits: CellLimits = limits) -> Acquisition {
  Acquisition(period: Seconds(0.01), currentRange: Amperes(10e-9), voltageRange: Volts(20), limits: limits)
}

private func with(
  _ settings: TwinInstruments.Settings = .init(),
  _ body: (TwinBench, PotentiostatStation, StationReports) throws -> Void
)
  throws
{
  let bench = try TwinBench(settings)
  defer { bench.end() }
  let reports = StationReports()
  let station = PotentiostatStation(
    PotentiostatSettings(model: "keithley-2450", usb: TwinBench.potentiostat), bus: bench.bus, latch: reports.latch
  ) { reports.add($0) }
  _ = try station.connect()
  try body(bench, station, reports)
}

extension PotentiostatStation {
  fileprivate func poll(for span: Seconds) {
    let end = MonotonicTime.now + span
    while MonotonicTime.now < end {
      tick()
      sleepThread(for: Seconds(0.005))
    }
  }
}

@Suite("A Keithley 2450 with its station")
struct StationTests {
  @Test("Connecting and preparing leave the cell open, at high impedance for both source functions")
  func prepares() throws {
    try with { bench, station, _ in
      #expect(bench.world.connection.terminal == .highImpedance || !bench.world.connection.contactsClosed)
      try station.prepare(acquisition())
      #expect(bench.world.connection.terminal == .highImpedance)
    }
  }

  @Test("The zero that is read with the contacts open is the meter's offset, and is subtracted")
  func zero() throws {
    var settings = TwinInstruments.Settings()
    settings.potentiostat.measureOffset = 5e-12
    try with(settings) { bench, station, reports in
      try station.prepare(acquisition())
      let zero = try station.measureZero(of: Amperes(10e-9), for: Seconds(0.5))
      #expect(abs(zero.current.value - 5e-12) < 10 * zero.standardError.value + 10e-15)
      #expect(bench.world.connection.terminal == .highImpedance, "the output is off again")
      bench.world.setContacts(closed: true, at: .now)
      try station.apply(.current(Amperes(2e-12)))
      station.poll(for: Seconds(0.4))
      let currents = reports.samples.dropFirst(10).compactMap(\.current?.value)
      let mean = currents.reduce(0, +) / Double(currents.count)
      #expect(abs(mean - 2e-12) < 0.1e-12)
    }
  }

  @Test(
    "Samples come in order, about as often as asked, with stamps of the instrument's own clock and bounds that hold")
  func samples() throws {
    try with { bench, station, reports in
      try station.prepare(acquisition())
      bench.world.setContacts(closed: true, at: .now)
      try station.apply(.current(Amperes(2e-12)))
      station.poll(for: Seconds(0.6))
      try station.makeSafe()
      let samples = reports.samples
      #expect(samples.count > 40 && samples.count < 80)
      #expect(zip(samples, samples.dropFirst()).allSatisfy { $0.deviceNanoseconds < $1.deviceNanoseconds })
      #expect(samples.allSatisfy { $0.voltage != nil && $0.current != nil })
      // The twin's clock began at 3.7 s when the bench began: the bounds must contain the true relation, rate 35 ppm.
      let pairs = reports.pairs
      let offsets = pairs.compactMap { pair in pair.earliest.map { $0.nanoseconds - pair.deviceNanoseconds } }
      let uppers = pairs.compactMap { pair in pair.latest.map { $0.nanoseconds - pair.deviceNanoseconds } }
      #expect(offsets.max()! <= uppers.min()! + 50_000, "no two bounds contradict each other")
    }
  }

  @Test("A voltage beyond the limit opens the output in the same poll that sees it")
  func trip() throws {
    try with { bench, station, reports in
      let tight = CellLimits(voltage: Volts(-0.5)...Volts(3.3), current: limits.current)
      try station.prepare(acquisition(tight))
      bench.world.setContacts(closed: true, at: .now)
      try station.apply(.current(Amperes(50e-12)))
      let end = MonotonicTime.now + Seconds(5)
      while reports.trips.isEmpty && MonotonicTime.now < end { station.poll(for: Seconds(0.01)) }
      #expect(reports.trips.count == 1)
      #expect(reports.trips.first?.contains("voltage") ?? false)
      #expect(bench.world.connection.terminal == .highImpedance)
    }
  }

  @Test("A hold begins at the voltage the cell has, and reaches its set point")
  func hold() throws {
    try with { bench, station, reports in
      try station.prepare(acquisition())
      bench.world.setContacts(closed: true, at: .now)
      try station.apply(.current(.zero))
      station.poll(for: Seconds(0.5))
      let resting = try #require(reports.samples.last?.voltage)
      let target = resting + Volts(0.05)
      try station.apply(.voltage(target))
      station.poll(for: Seconds(0.3))
      let reached = try #require(reports.samples.last?.voltage)
      #expect(abs(reached.value - target.value) < 0.002)
      #expect(reports.trips.isEmpty)
      try station.apply(.open)
      #expect(bench.world.connection.terminal == .highImpedance)
    }
  }

  @Test("Made safe, the output stays open whatever is asked for, until the hold is ended")
  func held() throws {
    try with { bench, station, reports in
      try station.prepare(acquisition())
      try station.apply(.current(.zero))
      try station.makeSafe()
      #expect(bench.world.connection.terminal == .highImpedance)
      #expect(throws: USB.InstrumentError.self) { try station.apply(.current(Amperes(2e-12))) }
      #expect(throws: USB.InstrumentError.self) { try station.measureZero(of: Amperes(10e-9), for: Seconds(0.1)) }
      #expect(throws: USB.InstrumentError.self) { try station.prepare(acquisition()) }
      #expect(bench.world.connection.terminal == .highImpedance)
      reports.latch.release()
      try station.apply(.current(Amperes(2e-12)))
      #expect(bench.world.connection.terminal != .highImpedance)
    }
  }

  @Test("A range changes with the output open")
  func range() throws {
    try with { bench, station, reports in
      try station.prepare(acquisition())
      bench.world.setContacts(closed: true, at: .now)
      try station.apply(.current(.zero))
      station.poll(for: Seconds(0.1))
      try station.setRange(Amperes(100e-9))
      #expect(bench.world.connection.terminal == .highImpedance)
      try station.apply(.current(.zero))
      station.poll(for: Seconds(0.1))
      #expect(reports.samples.last?.range == Amperes(100e-9))
    }
  }

  @Test("A cable that is pulled ends sampling with one report, and the next run opens the instrument anew")
  func unplugged() throws {
    try with { bench, station, reports in
      try station.prepare(acquisition())
      try station.apply(.current(.zero))
      station.poll(for: Seconds(0.05))
      bench.instruments.potentiostat.unplug()
      station.poll(for: Seconds(0.1))
      #expect(reports.failures.count == 1)
      #expect(!station.isConnected)
      #expect(throws: USB.InstrumentError.self) { try station.apply(.current(.zero)) }
      bench.instruments.potentiostat.plug()
      #expect(try station.connect().model == "MODEL 2450")
    }
  }

  @Test("Another instrument at the address is refused with its own answer")
  func wrongInstrument() throws {
    let bench = try TwinBench()
    defer { bench.end() }
    let station = PotentiostatStation(
      PotentiostatSettings(model: "keithley-2450", usb: TwinBench.holder), bus: bench.bus
    ) { _ in }
    #expect {
      try station.connect()
    } throws: { "\($0)".contains("OPENHOLDER") }
  }
}
