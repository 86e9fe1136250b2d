import Linux
import Quantities
import Testing
import USB

@testable import NanobatteryTwin
@testable import Potentiostat

@Suite("Zero of a Keysight electrometer, in simulated time")
struct KeysightZeroTests {
  /// 1 pA flows through the input whenever it is closed; the input is off by 5e-4 of the range and settles from 1 % of it.
  private func with(_ body: (SimulatedBench) throws -> Void) throws {
    let bench = SimulatedBench("keysight-b2985a", grain: Seconds(0.01)) { _, clock, start in
      var settings = NanobatteryTwin.KeysightB2980.Settings()
      settings.currentNoise = 0.02e-15
      return .keysight(
        NanobatteryTwin.KeysightB2980(settings, cell: FixedCurrent(1e-12), clock: clock, at: start), 0x9218
      ) { .now }
    }
    try bench.run { bench in
      _ = try bench.station.connect()
      try body(bench)
    }
  }

  /// A: the mean of what is read on the range after it has settled.
  private func held(_ bench: SimulatedBench, _ range: Double, for span: Double) throws -> Double {
    let before = bench.reports.samples.count
    try bench.station.apply(.voltage(Volts(3.2)))
    bench.poll(for: span)
    let samples = bench.reports.samples.dropFirst(before).filter {
      !$0.flags.contains(.settling) && $0.range == Amperes(range)
    }
    #expect(samples.count > 20, "\(samples.count)")
    let currents = samples.compactMap(\.current?.value)
    return currents.reduce(0, +) / Double(max(1, currents.count))
  }

  @Test("Without a holder zero correct is acquired once for a range, settled and with the input open")
  func zeroCorrect() throws {
    try with { bench in
      try bench.station.prepare(keysightAcquisition(range: 2e-12, period: 0.05))
      try bench.station.apply(.current(.zero))
      bench.poll(for: 0.3)
      for range in [2e-12, 20e-12, 2e-12, 2e-12] {
        try bench.station.setRange(Amperes(range))
        let current = try held(bench, range, for: range < 3e-12 ? 19 : 3)
        // The tail of 2 pA's settling is 20 fA right after the change, what the input is off by is 1 fA.
        #expect(abs(current - 1e-12) < range * 3e-4, "\(range) A: \(current)")
      }
      #expect(bench.reports.failures == [] && bench.reports.trips == [])
    }
  }

  @Test("The way to a hold on the slowest range takes its settling time, and no more where the range stays")
  func takesTime() throws {
    try with { bench in
      try bench.station.prepare(keysightAcquisition(range: 2e-12, period: 0.05))
      try bench.station.apply(.current(.zero))
      let first = try bench.time { try bench.station.apply(.voltage(Volts(3.2))) }
      #expect(first > Seconds(15) && first < Seconds(18), "\(first)")
      try bench.station.apply(.current(.zero))
      bench.poll(for: 0.2)
      try bench.station.setRange(Amperes(2e-12))
      let second = try bench.time { try bench.station.apply(.voltage(Volts(3.2))) }
      #expect(second < Seconds(0.5), "\(second)")
    }
  }

  @Test("A zero that was read with the contacts open holds over changes of range")
  func readZero() throws {
    try with { bench in
      try bench.station.prepare(keysightAcquisition(range: 2e-12, period: 0.05))
      for range in [20e-12, 2e-12] {
        // 1 pA flows at the open contacts too: all of it is zero.
        let took = try bench.time {
          let zero = try bench.station.measureZero(of: Amperes(range), for: Seconds(0.6))
          #expect(abs(zero.current.value - 1e-12 - range * 5e-4) < range * 3e-4, "\(zero)")
        }
        #expect(took < Seconds(18), "the settling time once: \(took)")
      }
      for range in [2e-12, 20e-12, 2e-12] {
        try bench.station.setRange(Amperes(range))
        let current = try held(bench, range, for: range < 3e-12 ? 19 : 3)
        #expect(abs(current) < range * 3e-4, "\(range) A: \(current)")
      }
    }
  }

  @Test("Whoever wants the cell safe does not wait until a range has settled")
  func latched() throws {
    try with { bench in
      try bench.station.prepare(keysightAcquisition(range: 2e-12, period: 0.05))
      try bench.station.apply(.current(.zero))
      let wanted = MonotonicTime.now + Seconds(2)
      bench.onStep = { [latch = bench.latch] in if $0 >= wanted { latch.set() } }
      let took = bench.time {
        #expect(throws: InstrumentError.self) { try bench.station.apply(.voltage(Volts(3.2))) }
      }
      #expect(took < Seconds(2.2), "\(took)")
    }
  }
}

/// Whatever is put on it, this current flows into the input, at this voltage.
final class FixedCurrent: CellSide, @unchecked Sendable {
  private let current: Double
  private let voltage: Double
  init(_ current: Double, voltage: Double = 3.2) {
    self.current = current
    self.voltage = voltage
  }
  func setTerminal(_ terminal: CellTerminal, at time: MonotonicTime) {}
  func setContacts(closed: Bool, at time: MonotonicTime) {}
  func note(_ text: String, at time: MonotonicTime) {}
  func means(from start: MonotonicTime, to end: MonotonicTime) -> TerminalMeans {
    TerminalMeans(voltage: voltage, current: current, complianceShare: 0, smuOutputOn: true, cellVoltage: voltage)
  }
}
