import EmulatedUSB
import Linux
import Quantities
import Testing
import USB

@testable import NanobatteryTwin
@testable import Potentiostat

private let models = ["keysight-b2901a", "keysight-b2902a", "keysight-b2911a", "keysight-b2912a"]
private let all = models + ["keysight-b2985a", "keysight-b2987a"]

@Suite("Keysight instruments with their station")
struct KeysightStationTests {
  @Test("Connecting says who it is and changes nothing", arguments: all)
  func connects(model: String) throws {
    let bench = try KeysightBench(model)
    let before = bench.cell.steps.count
    let identity = try bench.station.connect()
    #expect(identity.model.lowercased() == model.dropFirst("keysight-".count))
    #expect(bench.cell.steps.count == before)
    #expect(
      bench.station.ranges.first?.range
        == Amperes(bench.station.abilities.holdsCurrent ? (identity.model.hasPrefix("B291") ? 10e-9 : 100e-9) : 2e-12))
  }

  @Test(
    "Prepared, the cell is open whatever the instrument was doing before",
    arguments: ["keysight-b2902a", "keysight-b2911a"],
    [
      // After a reset: INIT switches on, off is NORM.
      ["*RST"],
      ["*RST", ":OUTP:OFF:MODE NORM;:SOUR:VOLT 1;:OUTP ON"],
      ["*RST", ":OUTP:OFF:MODE ZERO"],
      [
        "*RST", ":OUTP:OFF:MODE ZERO;:SOUR:VOLT 1;:OUTP ON", ":TRIG:SOUR TIM;:TRIG:TIM 1E-3;:TRIG:COUN 100000", ":INIT",
      ],
      ["*RST", ":TRIG:SOUR TIM;:TRIG:TIM 1E-2;:TRIG:COUN INF;:SOUR:FUNC:MODE CURR", ":INIT"],
      [
        "*RST", ":SOUR:VOLT:RANG:AUTO 0;:SOUR:VOLT:RANG 200;:SOUR:VOLT 20;:OUTP:OFF:AUTO 1;:OUTP:PROT 1",
        ":BAD:COMMAND",
      ],
    ])
  func prepares(model: String, found: [String]) throws {
    let bench = try KeysightBench(model)
    for command in found { try bench.byHand(command) }
    _ = try bench.station.connect()
    bench.cell.forget()
    try bench.station.prepare(keysightAcquisition())
    #expect(bench.terminal == .highImpedance)
    // On the way from what was on to open nobody put 0 V on the cell.
    let shorts = bench.cell.steps.filter { if case .voltage(0, _) = $0.terminal { true } else { false } }
    #expect(shorts.isEmpty, "\(bench.cell.steps)")
    #expect(try bench.station.errors().isEmpty)
  }

  @Test(
    "The zero that is read with the contacts open is the meter's offset, and is subtracted",
    arguments: ["keysight-b2911a", "keysight-b2901a"])
  func zero(model: String) throws {
    var common = TwinPotentiostatSettings()
    common.measureOffset = 5e-12
    let bench = try KeysightBench(model, common: common)
    _ = try bench.station.connect()
    try bench.station.prepare(keysightAcquisition())
    let zero = try bench.station.measureZero(of: Amperes(100e-9), for: Seconds(0.5))
    #expect(abs(zero.current.value - 5e-12) < 10 * zero.standardError.value + 0.1e-12)
    #expect(bench.terminal == .highImpedance)
    bench.close()
    try bench.station.apply(.current(Amperes(20e-12)))
    bench.poll(for: 0.4)
    let currents = bench.samples.dropFirst(10).compactMap(\.current?.value)
    #expect(
      abs(currents.reduce(0, +) / Double(max(1, currents.count)) - 20e-12) < 0.3e-12, "\(currents.count) readings")
  }

  @Test(
    "Samples come as often as asked, in order, with bounds on the clock that no two of them contradict",
    arguments: ["keysight-b2912a", "keysight-b2901a"])
  func samples(model: String) throws {
    let bench = try KeysightBench(model)
    _ = try bench.station.connect()
    try bench.station.prepare(keysightAcquisition())
    bench.close()
    try bench.station.apply(.current(Amperes(2e-12)))
    bench.poll(for: 0.6)
    try bench.station.makeSafe()
    let samples = bench.samples
    #expect(samples.count > 45 && samples.count < 80)
    let steps = zip(samples, samples.dropFirst()).map { $1.deviceNanoseconds - $0.deviceNanoseconds }
    #expect(steps.allSatisfy { abs($0 - 10_000_000) < 2000 }, "the instrument's own timer: \(steps)")
    #expect(samples.allSatisfy { $0.voltage != nil && $0.current != nil })
    // The clock began at 3.7 s, 50 ppm fast.
    let lower = bench.pairs.compactMap { pair in pair.earliest.map { $0.nanoseconds - pair.deviceNanoseconds } }
    let upper = bench.pairs.compactMap { pair in pair.latest.map { $0.nanoseconds - pair.deviceNanoseconds } }
    let (most, least) = (try #require(lower.max()), try #require(upper.min()))
    #expect(most <= least + 60_000, "the rate makes 35 µs in 0.7 s")
  }

  @Test(
    "A voltage beyond the limit opens the output in the poll that sees it",
    arguments: ["keysight-b2901a", "keysight-b2911a"])
  func trip(model: String) throws {
    let bench = try KeysightBench(model)
    _ = try bench.station.connect()
    try bench.station.prepare(keysightAcquisition(voltage: Volts(-0.5)...Volts(3.3)))
    bench.close()
    try bench.station.apply(.current(Amperes(50e-12)))
    let end = MonotonicTime.now + Seconds(5)
    while bench.trips.isEmpty, MonotonicTime.now < end { bench.poll(for: 0.01) }
    #expect(bench.trips.first?.contains("voltage") ?? false)
    #expect(bench.terminal == .highImpedance)
  }

  @Test(
    "A hold begins at the voltage the cell has, in steps, and reaches its set point",
    arguments: ["keysight-b2902a", "keysight-b2912a"])
  func hold(model: String) throws {
    let bench = try KeysightBench(model)
    _ = try bench.station.connect()
    try bench.station.prepare(keysightAcquisition())
    bench.close()
    try bench.station.apply(.current(.zero))
    bench.poll(for: 0.5)
    let resting = try #require(bench.samples.last?.voltage)
    bench.cell.forget()
    try bench.station.apply(.voltage(resting + Volts(0.07)))
    bench.poll(for: 0.2)
    let reached = try #require(bench.samples.last?.voltage)
    #expect(abs(reached.value - resting.value - 0.07) < 0.002)
    let levels = bench.cell.steps.compactMap { if case .voltage(let v, _) = $0.terminal { v } else { nil } }
    #expect(levels.count == 5, "where the cell is, and four steps: \(levels)")
    #expect(zip(levels, levels.dropFirst()).allSatisfy { abs($1 - $0) <= 0.0201 })
    #expect(bench.trips.isEmpty, "\(bench.trips)")
  }

  @Test("A ramp that meets a limit ends there")
  func rampEnds() throws {
    let bench = try KeysightBench("keysight-b2911a")
    _ = try bench.station.connect()
    try bench.station.prepare(keysightAcquisition(voltage: Volts(-0.5)...Volts(3.4)))
    bench.close()
    try bench.station.apply(.current(.zero))
    bench.poll(for: 0.3)
    #expect(throws: InstrumentError.self) { try bench.station.apply(.voltage(Volts(4.4))) }
    #expect(bench.trips.count == 1)
    #expect(bench.terminal == .highImpedance)
    let most = bench.cell.steps.compactMap { if case .voltage(let v, _) = $0.terminal { v } else { nil } }.max() ?? 0
    #expect(most < 3.45)
  }

  @Test("Made safe, the output stays open whatever is asked for, until the latch is released", arguments: all)
  func held(model: String) throws {
    let bench = try KeysightBench(model)
    _ = try bench.station.connect()
    try bench.station.prepare(keysightAcquisition())
    bench.close()
    try bench.station.apply(.current(.zero))
    #expect(bench.terminal != .highImpedance)
    try bench.station.makeSafe()
    #expect(bench.terminal == .highImpedance)
    #expect(throws: InstrumentError.self) { try bench.station.apply(.current(.zero)) }
    #expect(throws: InstrumentError.self) { try bench.station.measureZero(of: Amperes(100e-9), for: Seconds(0.1)) }
    #expect(throws: InstrumentError.self) { try bench.station.prepare(keysightAcquisition()) }
    #expect(bench.terminal == .highImpedance)
    bench.latch.release()
    try bench.station.apply(.current(.zero))
    #expect(bench.terminal != .highImpedance)
  }

  @Test(
    "A cable that is pulled is reported once, and the instrument opens anew",
    arguments: ["keysight-b2901a", "keysight-b2985a"])
  func unplugged(model: String) throws {
    let bench = try KeysightBench(model)
    _ = try bench.station.connect()
    try bench.station.prepare(keysightAcquisition())
    try bench.station.apply(.current(.zero))
    bench.poll(for: 0.05)
    bench.device.unplug()
    bench.poll(for: 0.1)
    #expect(bench.failures.count == 1)
    #expect(!bench.station.isConnected)
    bench.device.plug()
    #expect(try bench.station.connect().manufacturer.contains("Technologies"))
  }

  @Test("Channel b of an instrument with two is addressed, one that is not there is refused")
  func channels() throws {
    var settings = PotentiostatSettings(model: "keysight-b2902a", usb: USBMatch(serial: nil))
    settings.channel = "b"
    let bench = try KeysightBench("keysight-b2902a", settings: settings)
    _ = try bench.station.connect()
    try bench.station.prepare(keysightAcquisition())
    try bench.station.apply(.current(.zero))
    bench.poll(for: 0.05)
    #expect(bench.terminal == .highImpedance, "the cell is at channel a")
    #expect(!bench.samples.isEmpty)
    var wrong = PotentiostatSettings(model: "keysight-b2901a", usb: USBMatch(serial: nil))
    wrong.channel = "b"
    let single = try KeysightBench("keysight-b2901a", settings: wrong)
    #expect { try single.station.connect() } throws: { "\($0)".contains("channel “b”") }
  }

  @Test("A model that answers where another is configured is refused with its own answer")
  func wrongModel() throws {
    let bench = try KeysightBench(
      "keysight-b2901a", settings: PotentiostatSettings(model: "keysight-b2911a", usb: USBMatch(serial: nil)))
    #expect { try bench.station.connect() } throws: { "\($0)".contains("B2901A") }
  }

  @Test("Above ±42 V the interlock has to be closed")
  func interlock() throws {
    let bench = try KeysightBench("keysight-b2911a")
    _ = try bench.station.connect()
    var high = keysightAcquisition()
    high.voltageRange = Volts(100)
    #expect { try bench.station.prepare(high) } throws: { "\($0)".contains("interlock") }
    #expect(bench.terminal == .highImpedance)
  }

  @Test("An emergency at the instrument is told in the samples")
  func emergency() throws {
    nonisolated(unsafe) var instrument: NanobatteryTwin.KeysightB2900?
    let bench = try KeysightBench("keysight-b2911a") { cell, clock in
      let made = NanobatteryTwin.KeysightB2900(.init(), cell: cell, clock: clock, at: .now)
      instrument = made
      return .keysight(made, 0x8D18) { .now }
    }
    _ = try bench.station.connect()
    try bench.station.prepare(keysightAcquisition())
    try bench.station.apply(.current(.zero))
    bench.poll(for: 0.05)
    bench.device.perform { instrument?.emergencyOff(32, at: .now) }
    bench.poll(for: 0.1)
    #expect(bench.samples.last?.flags.contains(.outputOff) == true)
    #expect(try bench.station.errors().contains { $0.contains("Emergency") })
  }
}
