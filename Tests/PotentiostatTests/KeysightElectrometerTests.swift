import Linux
import Quantities
import Testing
import USB

@testable import NanobatteryTwin
@testable import Potentiostat

private let models = ["keysight-b2985a", "keysight-b2987a"]

@Suite("A Keysight electrometer with its station")
struct KeysightElectrometerTests {
  /// Nothing on the closed contacts was further from the cell's voltage than a step of the ramp and the source's error.
  private func neverShorts(_ steps: [WatchedCell.Step]) -> [WatchedCell.Step] {
    steps.filter { step in
      guard step.contactsClosed, case .voltage(let volts, _) = step.terminal else { return false }
      return abs(volts - step.cellVoltage) > 0.05
    }
  }

  @Test(
    "Prepared, the cell is open whatever the instrument was doing before", arguments: models,
    [
      ["*RST"],
      ["*RST", ":OUTP:LOW COMM;:OUTP:OFF:MODE NORM;:SOUR:VOLT 3.2;:OUTP ON;:INP ON"],
      ["*RST", ":OUTP:LOW COMM;:OUTP:OFF:MODE ZERO;:SENS:FUNC \"VOLT\";:INP ON;:OUTP ON"],
      // The 1000 V range has no high impedance.
      ["*RST", ":OUTP:LOW COMM;:SOUR:VOLT:RANG 1000;:SOUR:VOLT 3.2;:OUTP ON;:INP ON"],
      [
        "*RST", ":OUTP:LOW COMM;:SOUR:VOLT 3.2;:OUTP ON;:INP ON",
        ":TRIG:ACQ:SOUR TIM;:TRIG:ACQ:TIM 1E-3;:TRIG:ACQ:COUN INF", ":INIT:ACQ",
      ],
    ])
  func prepares(model: String, found: [String]) throws {
    let bench = try KeysightBench(model)
    for command in found { try bench.byHand(command) }
    _ = try bench.station.connect()
    bench.cell.forget()
    try bench.station.prepare(keysightAcquisition(range: 2e-9))
    #expect(bench.terminal == .highImpedance)
    let shorts = bench.cell.steps.filter { if case .voltage(0, _) = $0.terminal { true } else { false } }
    #expect(shorts.isEmpty, "\(bench.cell.steps)")
    #expect(try bench.station.errors().isEmpty)
  }

  @Test("At rest the voltmeter reads the cell and no current flows", arguments: models)
  func rest(model: String) throws {
    let bench = try KeysightBench(model)
    _ = try bench.station.connect()
    try bench.station.prepare(keysightAcquisition(range: 2e-9))
    bench.close()
    let charge = bench.cell.world.cell.charge_C
    try bench.station.apply(.current(.zero))
    bench.poll(for: 0.4)
    let voltage = try #require(bench.samples.last?.voltage)
    // The cell is still recovering from what the cable's capacitance took when the contacts closed.
    #expect(abs(voltage.value - bench.cell.world.cell.voltage) < 10e-3)
    #expect(bench.samples.allSatisfy { $0.current == nil })
    #expect(bench.samples.first?.flags.contains(.settling) == true)
    #expect(bench.samples.last?.flags == .openCircuit, "nothing flowed: no hole in the charge")
    #expect(abs(bench.cell.world.cell.charge_C - charge) < 1e-15)
  }

  @Test("A voltage is held from where the cell is, and never 0 V is put across it", arguments: models)
  func hold(model: String) throws {
    let bench = try KeysightBench(model)
    _ = try bench.station.connect()
    try bench.station.prepare(keysightAcquisition(range: 2e-9))
    bench.close()
    try bench.station.apply(.current(.zero))
    bench.poll(for: 0.3)
    let resting = try #require(bench.samples.last?.voltage)
    try bench.station.apply(.voltage(resting + Volts(0.05)))
    bench.poll(for: 0.3)
    let now = MonotonicTime.now
    let truth = bench.cell.world.means(from: now - Seconds(0.02), to: now).current
    let sample = try #require(bench.samples.last)
    #expect(abs((sample.voltage?.value ?? 0) - resting.value - 0.05) < 1e-9, "the set voltage")
    #expect(abs(bench.cell.world.cell.voltage - resting.value - 0.05) < 1.5e-3)
    #expect(abs((sample.current?.value ?? 1) - truth) < 0.5e-12, "\(truth) A flow")
    #expect(bench.station.voltageAccuracy.value > 5e-3)
    #expect(bench.trips.isEmpty, "\(bench.trips)")
    // Back to rest, and another hold.
    try bench.station.apply(.current(.zero))
    bench.poll(for: 0.2)
    try bench.station.apply(.voltage(resting))
    bench.poll(for: 0.1)
    try bench.station.makeSafe()
    #expect(neverShorts(bench.cell.steps).isEmpty, "\(neverShorts(bench.cell.steps))")
    let onClosed = bench.cell.steps.filter { $0.contactsClosed }
    #expect(onClosed.contains { if case .voltage = $0.terminal { true } else { false } })
    #expect(bench.terminal == .highImpedance)
  }

  @Test("A hold without a known voltage measures the cell first")
  func holdBlind() throws {
    let bench = try KeysightBench("keysight-b2985a")
    _ = try bench.station.connect()
    try bench.station.prepare(keysightAcquisition(range: 2e-9))
    bench.close()
    let voltage = bench.cell.world.cell.voltage
    try bench.station.apply(.voltage(Volts(voltage + 0.02)))
    bench.poll(for: 0.05)
    #expect(neverShorts(bench.cell.steps).isEmpty, "\(neverShorts(bench.cell.steps))")
    #expect(abs(bench.cell.world.cell.voltage - voltage) < 0.03)
  }

  @Test("A source that is off is no error of the cell's voltage where a hold begins")
  func sourceError() throws {
    let bench = try KeysightBench("keysight-b2985a") { cell, clock in
      var settings = NanobatteryTwin.KeysightB2980.Settings()
      settings.sourceOffset = 8e-3
      return .keysight(NanobatteryTwin.KeysightB2980(settings, cell: cell, clock: clock, at: .now), 0x9218) { .now }
    }
    _ = try bench.station.connect()
    try bench.station.prepare(keysightAcquisition(range: 2e-9))
    bench.close()
    try bench.station.apply(.current(.zero))
    bench.poll(for: 1.5)
    let told = try #require(bench.samples.last?.voltage)
    let cell = bench.cell.world.cell.voltage
    #expect(abs(told.value - cell + 8e-3) < 2e-3)
    #expect(abs(told.value - cell) < bench.station.voltageAccuracy.value)
    try bench.station.apply(.voltage(told))
    bench.poll(for: 0.1)
    #expect(abs(bench.samples.last?.current?.value ?? 1) < 1.5e-12, "8 mV at 1 GΩ would be 8 pA")
  }

  @Test("2 pA and less are read right", arguments: [(2e-12, 2e-10), (-2e-12, 2e-10), (1e-12, 20e-12)])
  func small(current: Double, range: Double) throws {
    let bench = try KeysightBench("keysight-b2985a") { cell, clock in
      var settings = NanobatteryTwin.KeysightB2980.Settings()
      settings.measureOffset = 20e-15
      return .keysight(
        NanobatteryTwin.KeysightB2980(settings, cell: FixedCurrent(current), clock: clock, at: .now), 0x9218
      ) {
        .now
      }
    }
    _ = try bench.station.connect()
    try bench.station.prepare(keysightAcquisition(range: range, period: 0.02))
    try bench.station.apply(.voltage(Volts(3.2)))
    bench.poll(for: 1.8)
    let settled = bench.samples.filter { !$0.flags.contains(.settling) }.compactMap(\.current?.value)
    let unsettled = bench.samples.filter { $0.flags.contains(.settling) }
    #expect(settled.count > 10 && unsettled.count > 60, "1.4 s: \(unsettled.count) marked, \(settled.count) not")
    let mean = settled.reduce(0, +) / Double(max(1, settled.count))
    #expect(abs(mean - current - 20e-15) < range * 1e-4 + 1e-15, "\(mean)")
    let first = try #require(unsettled.first?.current?.value)
    #expect(abs(first - current - 20e-15) > range * 1e-3, "the mark is deserved: \(first)")
  }

  @Test("The zero of a slow range waits until it has settled, and what the input itself is off by is in it")
  func zero() throws {
    var common = TwinPotentiostatSettings()
    common.measureOffset = 30e-15
    let bench = try KeysightBench("keysight-b2985a", common: common)
    _ = try bench.station.connect()
    try bench.station.prepare(keysightAcquisition(range: 20e-12))
    let zero = try bench.station.measureZero(of: Amperes(20e-12), for: Seconds(0.3))
    // 10 fA of the input before zero correct.
    #expect(abs(zero.current.value - 40e-15) < 3e-15, "\(zero.current)")
    #expect(zero.range == Amperes(20e-12))
    #expect(bench.terminal == .highImpedance)
  }

  @Test("A held current is refused with what to do instead, and the cell stays as it was", arguments: models)
  func heldCurrent(model: String) throws {
    let bench = try KeysightBench(model)
    _ = try bench.station.connect()
    #expect(!bench.station.abilities.holdsCurrent && !bench.station.abilities.measuresBoth)
    try bench.station.prepare(keysightAcquisition(range: 2e-9))
    bench.cell.forget()
    #expect {
      try bench.station.apply(.current(Amperes(2e-12)))
    } throws: { error in
      guard case InstrumentError.unable(_, let reason)? = error as? InstrumentError else { return false }
      return reason.contains("no current source") && reason.contains("Hold a voltage")
    }
    #expect(bench.cell.steps.isEmpty)
  }

  @Test("Limits hold: a voltage at rest and a current in a hold trip and open")
  func limits() throws {
    let rest = try KeysightBench("keysight-b2985a")
    _ = try rest.station.connect()
    try rest.station.prepare(keysightAcquisition(range: 2e-9, voltage: Volts(-0.5)...Volts(1)))
    rest.close()
    try? rest.station.apply(.current(.zero))
    rest.poll(for: 0.5)
    #expect(rest.trips.first?.contains("voltage") == true)
    #expect(rest.terminal == .highImpedance)

    let hold = try KeysightBench("keysight-b2985a")
    _ = try hold.station.connect()
    try hold.station.prepare(keysightAcquisition(range: 2e-9, current: 20e-12))
    hold.close()
    try hold.station.apply(.current(.zero))
    hold.poll(for: 0.2)
    #expect(throws: InstrumentError.self) { try hold.station.apply(.voltage(Volts(4.4))) }
    #expect(hold.trips.first?.contains("current") == true, "\(hold.trips)")
    #expect(hold.terminal == .highImpedance)
    #expect(neverShorts(hold.cell.steps).count < 12, "a ramp leads the cell by what drops in its resistance")
  }

  @Test("More than 20 V is refused, for then nothing is high impedance; four wires there are not")
  func refusals() throws {
    let bench = try KeysightBench("keysight-b2985a")
    _ = try bench.station.connect()
    var high = keysightAcquisition(range: 2e-9)
    high.voltageRange = Volts(100)
    #expect { try bench.station.prepare(high) } throws: { "\($0)".contains("±20 V") }
    var settings = PotentiostatSettings(model: "keysight-b2985a", usb: USBMatch(serial: nil))
    settings.fourWire = true
    let four = try KeysightBench("keysight-b2985a", settings: settings)
    #expect { try four.station.connect() } throws: { "\($0)".contains("sense wires") }
  }

  @Test("The B2987A says how full its battery is, and complains when it is low")
  func battery() throws {
    let full = try KeysightBench("keysight-b2987a")
    _ = try full.station.connect()
    #expect(full.station.abilities.remarks.contains { $0.contains("87 %") })
    #expect(try full.station.errors().isEmpty)
    let low = try KeysightBench("keysight-b2987a") { cell, clock in
      var settings = NanobatteryTwin.KeysightB2980.Settings()
      settings.model = "B2987A"
      settings.battery = 9
      return .keysight(NanobatteryTwin.KeysightB2980(settings, cell: cell, clock: clock, at: .now), 0x9318) { .now }
    }
    _ = try low.station.connect()
    #expect(try low.station.errors().contains { $0.contains("battery is at 9 %") })
  }
}
