import EmulatedUSB
import Linux
import NanobatteryTwin
import Quantities
import Testing
import TwinBench
import USB

@testable import Potentiostat

@Suite("Every Keithley with its station")
struct KeithleyStationTests {
  private func with(
    _ model: String, _ common: TwinPotentiostatSettings = .init(), _ body: (KeithleyBench) throws -> Void
  ) throws {
    let bench = KeithleyBench(model, common)
    defer { bench.end() }
    _ = try bench.station.connect()
    try body(bench)
  }

  @Test("It is registered on both sides, and says who it is", arguments: KeithleyBench.models)
  func identity(model: String) throws {
    try with(model) { bench in
      let number = model.split(separator: "-")[1].uppercased()
      #expect(bench.station.identity?.model.hasSuffix(number) == true)
      #expect(bench.station.ranges == bench.station.ranges.sorted { $0.range < $1.range })
      #expect(bench.station.abilities.fourWire)
      let serial = bench.device.descriptors.serial
      #expect(bench.station.identity?.serial == serial)
    }
  }

  @Test("Another model of the same maker is refused with its own answer", arguments: KeithleyBench.models)
  func otherModel(model: String) throws {
    let other = model == "keithley-2450" ? "keithley-2460" : "keithley-2450"
    let bench = KeithleyBench(other) { $0.model = model }
    defer { bench.end() }
    #expect {
      try bench.station.connect()
    } throws: { "\($0)".contains("MODEL \(other.suffix(4))") }
  }

  @Test("Preparing leaves the cell open whatever was set at the panel", arguments: KeithleyBench.models)
  func prepares(model: String) throws {
    let bench = KeithleyBench(model)
    defer { bench.end() }
    let isLua = model.hasPrefix("keithley-263")
    if isLua {
      try bench.type(
        "smua.source.offmode = smua.OUTPUT_NORMAL", "smua.source.func = smua.OUTPUT_DCVOLTS",
        "smua.source.levelv = 1", "smua.source.output = 1")
    } else {
      try bench.type(":ROUT:TERM REAR;:OUTP:VOLT:SMOD NORM;:OUTP:CURR:SMOD ZERO;:SOUR:FUNC VOLT;:SOUR:VOLT 1;:OUTP ON")
    }
    _ = try bench.station.connect()
    if case .voltage(let volts, _) = bench.terminal { #expect(abs(volts - 1) < 0.01) } else { Issue.record("not on") }
    try bench.station.prepare(KeithleyBench.acquisition())
    #expect(bench.terminal == .highImpedance)
    try bench.station.apply(.current(.zero))
    #expect(bench.terminal != .highImpedance)
    try bench.station.apply(.open)
    #expect(bench.terminal == .highImpedance, "off is open for the current source")
    try bench.station.apply(.voltage(Volts(0.1)))
    try bench.station.apply(.open)
    #expect(bench.terminal == .highImpedance, "and for the voltage source")
    #expect(try bench.station.errors() == [])
  }

  @Test("What is in the error queue is reported once, whoever asks for it", arguments: KeithleyBench.families)
  func notes(model: String) throws {
    let bench = KeithleyBench(model)
    defer { bench.end() }
    try bench.type(model == "keithley-2636b" ? "nonsense nonsense" : ":NONSENSE", ":NONSENSE")
    _ = try bench.station.connect()
    bench.station.checkConnection()
    #expect(bench.reports.notes.count == 2, "\(bench.reports.notes)")
    #expect(try bench.station.errors() == [])
    #expect(bench.reports.notes.count == 2)
  }

  @Test("Limits as wide as the source are taken", arguments: ["keithley-2450", "keithley-2636b"])
  func widestLimits(model: String) throws {
    try with(model) { bench in
      try bench.station.prepare(KeithleyBench.acquisition(volts: Volts(-200)...Volts(200)))
      #expect(bench.terminal == .highImpedance)
    }
  }

  @Test(
    "The zero read with the contacts open is subtracted, and a charge of 2 pA reads right",
    arguments: KeithleyBench.models)
  func zero(model: String) throws {
    var common = TwinPotentiostatSettings()
    common.measureOffset = 5e-12
    try with(model, common) { bench in
      try bench.station.prepare(KeithleyBench.acquisition())
      let zero = try bench.station.measureZero(of: bench.station.ranges[0].range, for: Seconds(0.35))
      let allowed = 10 * zero.standardError.value + 2 * (bench.station.range?.measureResolution.value ?? 0)
      #expect(abs(zero.current.value - 5e-12) < allowed)
      #expect(bench.terminal == .highImpedance, "the output is off again")
      bench.world.setContacts(closed: true, at: .now)
      try bench.station.apply(.current(Amperes(2e-12)))
      bench.poll(for: Seconds(0.35))
      let settled = bench.reports.samples.filter { !$0.flags.contains(.settling) }
      let currents = settled.compactMap(\.current?.value)
      #expect(currents.count > 12)
      let mean = currents.reduce(0, +) / Double(max(1, currents.count))
      // The source of the models with ranges from 1 µA steps by 50 pA: what they give is 0.
      let given = (bench.station.range?.sourceResolution.value ?? 0) > 2e-12 ? 0 : 2e-12
      #expect(abs(mean - given) < max(0.1e-12, 2 * (bench.station.range?.measureResolution.value ?? 0)))
      #expect(bench.reports.trips == [] && bench.reports.failures == [])
    }
  }

  @Test(
    "Samples come in order, as often as asked, with bounds of the clock that contain the truth",
    arguments: KeithleyBench.families)
  func samples(model: String) throws {
    try with(model) { bench in
      try bench.station.prepare(KeithleyBench.acquisition())
      bench.world.setContacts(closed: true, at: .now)
      try bench.station.apply(.current(Amperes(2e-12)))
      bench.poll(for: Seconds(0.6))
      try bench.station.makeSafe()
      let samples = bench.reports.samples
      #expect(samples.count > 40 && samples.count < 80)
      #expect(zip(samples, samples.dropFirst()).allSatisfy { $0.deviceNanoseconds < $1.deviceNanoseconds })
      #expect(samples.allSatisfy { $0.voltage != nil && $0.current != nil })
      let pairs = bench.reports.pairs
      let lowers = pairs.compactMap { pair in pair.earliest.map { $0.nanoseconds - pair.deviceNanoseconds } }
      let uppers = pairs.compactMap { pair in pair.latest.map { $0.nanoseconds - pair.deviceNanoseconds } }
      let lower = try #require(lowers.max())
      let upper = try #require(uppers.min())
      #expect(lower <= upper + 50_000, "no two bounds contradict each other")
      #expect(upper - lower < 15_000_000)
    }
  }

  @Test("A voltage beyond the limit opens the output in the poll that sees it", arguments: KeithleyBench.models)
  func trip(model: String) throws {
    try with(model) { bench in
      try bench.station.prepare(KeithleyBench.acquisition(volts: Volts(-0.5)...Volts(3.3), amperes: Amperes(1e-9)))
      bench.world.setContacts(closed: true, at: .now)
      try bench.station.apply(.current(Amperes(300e-12)))
      bench.poll(for: Seconds(5)) { !bench.reports.trips.isEmpty }
      #expect(bench.reports.trips.count == 1)
      #expect(bench.terminal == .highImpedance)
    }
  }

  @Test("A hold begins at the voltage the cell has, and reaches its set point", arguments: KeithleyBench.models)
  func hold(model: String) throws {
    try with(model) { bench in
      try bench.station.prepare(KeithleyBench.acquisition())
      bench.world.setContacts(closed: true, at: .now)
      try bench.station.apply(.current(.zero))
      bench.poll(for: Seconds(0.25))
      let resting = try #require(bench.reports.samples.last?.voltage)
      let target = resting + Volts(0.05)
      let rested = bench.reports.samples.count
      try bench.station.apply(.voltage(target))
      bench.poll(for: Seconds(0.2))
      let reached = try #require(bench.reports.samples.last?.voltage)
      #expect(abs(reached.value - target.value) < 0.002)
      #expect(bench.reports.trips == [] && bench.reports.failures == [])
      // On to another one: no step in between is larger than the ramp's.
      try bench.station.apply(.voltage(target - Volts(0.1)))
      bench.poll(for: Seconds(0.2))
      let voltages = bench.reports.samples[(rested - 1)...].compactMap(\.voltage?.value)
      let steps = zip(voltages, voltages.dropFirst()).map { abs($0 - $1) }
      #expect((steps.max() ?? 1) < 0.045)
      #expect(abs(try #require(voltages.last) - target.value + 0.1) < 0.002)
    }
  }

  @Test(
    "Made safe, the output stays open whatever is asked for, until the hold is ended", arguments: KeithleyBench.models)
  func latch(model: String) throws {
    try with(model) { bench in
      try bench.station.prepare(KeithleyBench.acquisition())
      try bench.station.apply(.current(.zero))
      try bench.station.makeSafe()
      #expect(bench.terminal == .highImpedance)
      #expect(throws: USB.InstrumentError.self) { try bench.station.apply(.current(Amperes(2e-12))) }
      #expect(bench.terminal == .highImpedance)
      bench.latch.release()
      try bench.station.apply(.current(Amperes(2e-12)))
      #expect(bench.terminal != .highImpedance)
    }
  }

  @Test("A range changes with the output open", arguments: KeithleyBench.families)
  func range(model: String) throws {
    try with(model) { bench in
      try bench.station.prepare(KeithleyBench.acquisition())
      bench.world.setContacts(closed: true, at: .now)
      try bench.station.apply(.current(.zero))
      bench.poll(for: Seconds(0.1))
      let next = bench.station.ranges.first { $0.range > (bench.station.range?.range ?? .zero) }
      let wanted = try #require(next?.range)
      try bench.station.setRange(wanted)
      #expect(bench.terminal == .highImpedance)
      try bench.station.apply(.current(.zero))
      bench.poll(for: Seconds(0.1))
      #expect(bench.reports.samples.last?.range == wanted)
    }
  }

  @Test("A cable that is pulled is one report, and the instrument is opened anew", arguments: KeithleyBench.families)
  func unplugged(model: String) throws {
    try with(model) { bench in
      try bench.station.prepare(KeithleyBench.acquisition())
      try bench.station.apply(.current(.zero))
      bench.poll(for: Seconds(0.05))
      bench.device.unplug()
      bench.poll(for: Seconds(0.1))
      #expect(bench.reports.failures.count == 1)
      #expect(!bench.station.isConnected)
      bench.device.plug()
      _ = try bench.station.connect()
      bench.latch.release()
      try bench.station.prepare(KeithleyBench.acquisition())
      #expect(bench.terminal == .highImpedance)
      try bench.station.apply(.current(.zero))
      bench.poll(for: Seconds(0.1))
      #expect(bench.reports.samples.count > 5)
    }
  }
}
