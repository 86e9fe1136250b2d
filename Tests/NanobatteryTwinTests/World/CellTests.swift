import Quantities
import Testing

@testable import NanobatteryTwin

/// A world driven by hand: time is what the test says.
private struct CellBench {
  let world: World
  var now = MonotonicTime(nanoseconds: 1_000_000_000_000)

  init(_ change: (inout CellParameters) -> Void = { _ in }) {
    var parameters = CellParameters()
    change(&parameters)
    world = World(WorldSettings(cell: parameters, seed: 7, start: now))
  }

  mutating func run(_ seconds: Double) {
    now = now + Seconds(seconds)
    world.advance(to: now)
  }

  /// Runs in steps of 10 ms until `done`, at most `seconds`; the time it took.
  mutating func run(atMost seconds: Double, until done: (TerminalMeans) -> Bool) -> Double? {
    let start = now
    while (now - start).value < seconds {
      now = now + Seconds(0.01)
      if done(world.means(from: now - Seconds(0.01), to: now)) { return (now - start).value }
    }
    return nil
  }
}

@Suite("The nanobattery")
struct CellTests {
  @Test("2 pA charges it to 4.2 V in 15 to 40 s, a hold decays below 0.2 pA, and it relaxes in rest")
  func formation() throws {
    var bench = CellBench()
    bench.world.setContacts(closed: true, at: bench.now)
    bench.run(2)
    let rested = bench.world.cell.voltage
    #expect(rested > 3.0 && rested < 3.3)

    bench.world.setTerminal(.current(2e-12, voltageLimit: 5), at: bench.now)
    let charging = try #require(bench.run(atMost: 60) { $0.voltage >= 4.2 })
    #expect(charging > 15 && charging < 40)
    #expect(abs(bench.world.cell.charge_C - 2e-12 * charging) < 1e-15)

    bench.world.setTerminal(.voltage(4.2, currentLimit: 100e-12), at: bench.now)
    let held = try #require(
      bench.run(atMost: 60) { mean in
        #expect(abs(mean.voltage - 4.2) < 1e-6)
        return mean.current < 0.2e-12
      })
    #expect(held > 5 && held < 20)

    bench.world.setTerminal(.highImpedance, at: bench.now)
    bench.run(0.1)
    let early = bench.world.cell.voltage
    bench.run(8)
    let late = bench.world.cell.voltage
    #expect(early - late > 0.02)
    #expect(late > 4.0)
    #expect(abs(late - bench.world.cell.openCircuitVoltage) < 0.05)
  }

  @Test("What the source delivers is found again in the cell, the cable and the leaks")
  func conservation() {
    var parameters = CellParameters()
    parameters.thermalNoise = false
    parameters.flickerNoise = Amperes(0)
    var model = CellModel(parameters)
    let start = model.storedCharge
    var delivered = 0.0
    var leaked = 0.0
    for index in 0..<40_000 {
      let terminal: CellTerminal =
        index < 30_000 ? .current(2e-12, voltageLimit: 5) : .voltage(3.9, currentLimit: 10e-12)
      let flow = model.step(2.5e-4, terminal: terminal, contactsClosed: true)
      delivered += flow.current * 2.5e-4
      leaked +=
        model.terminalVoltage
        * (1 / parameters.leakageResistance.value + 1 / parameters.selfDischargeResistance.value) * 2.5e-4
    }
    let stored = model.storedCharge - start
    #expect(abs(delivered - leaked - stored) < 1e-3 * abs(delivered))
  }

  @Test("A current source at its voltage limit holds the limit and says so")
  func currentCompliance() {
    var bench = CellBench()
    bench.world.setContacts(closed: true, at: bench.now)
    bench.world.setTerminal(.current(50e-12, voltageLimit: 3.9), at: bench.now)
    bench.run(10)
    let mean = bench.world.means(from: bench.now - Seconds(0.1), to: bench.now)
    #expect(mean.complianceShare == 1)
    #expect(abs(mean.voltage - 3.9) < 1e-6)
    #expect(mean.current < 50e-12)
    #expect(mean.smuOutputOn)
  }

  @Test("A voltage source far from the cell's voltage is limited in current, either way", arguments: [4.0, 2.0])
  func inrush(target: Double) {
    var bench = CellBench()
    bench.world.setContacts(closed: true, at: bench.now)
    bench.run(1)
    let from = bench.now
    bench.world.setTerminal(.voltage(target, currentLimit: 5e-12), at: from)
    bench.run(0.05)
    let mean = bench.world.means(from: from, to: bench.now)
    #expect(mean.complianceShare > 0.99)
    #expect(abs(abs(mean.current) - 5e-12) < 1e-15)
    #expect((mean.current > 0) == (target > 3.2))
  }

  @Test("An output that is off in state NORMAL discharges the cell; high impedance and open contacts do not")
  func outputOff() {
    func charge(after terminal: CellTerminal, contacts: Bool) -> Double {
      var bench = CellBench { $0.initialStateOfCharge = 0.6 }
      bench.world.setContacts(closed: true, at: bench.now)
      bench.run(1)
      let before = bench.world.cell.stateOfCharge
      if !contacts { bench.world.setContacts(closed: false, at: bench.now) }
      bench.world.setTerminal(terminal, at: bench.now)
      bench.run(10)
      return bench.world.cell.stateOfCharge - before
    }
    let normal = CellTerminal.voltage(0, currentLimit: 1e-12)
    #expect(charge(after: normal, contacts: true) < -0.12)
    #expect(abs(charge(after: .highImpedance, contacts: true)) < 0.02)
    #expect(abs(charge(after: normal, contacts: false)) < 0.005)
  }

  @Test("With open contacts the source sees the cable: 2 pA into 2 pF is 1 V/s")
  func openContacts() {
    var bench = CellBench { $0.leakageResistance = Ohms(1e18) }
    bench.world.setTerminal(.current(2e-12, voltageLimit: 10), at: bench.now)
    bench.run(1)
    let mean = bench.world.means(from: bench.now - Seconds(0.002), to: bench.now)
    #expect(abs(mean.voltage - 0.999) < 0.01)
    #expect(abs(mean.cellVoltage - OpenCircuitCurve().value(at: 0.15).voltage) < 1e-3)
  }

  @Test(
    "Stiff and absurd parameters give finite numbers",
    arguments: [
      CellParameters.with { $0.seriesResistance = Ohms(0) },
      .with {
        $0.exchangeCurrent = Amperes(1)
        $0.seriesResistance = Ohms(1)
      },
      .with { $0.exchangeCurrent = Amperes(0) },
      .with { $0.capacity = Coulombs(0) },
      .with { $0.doubleLayerCapacitance = Farads(0) },
      .with { $0.strayCapacitance = Farads(0) },
      .with { $0.strayCapacitance = Farads(1) },
      .with { $0.leakageResistance = Ohms(0) },
      .with { $0.slowDiffusion.timeConstant = Seconds(0) },
    ])
  func robustness(parameters: CellParameters) {
    let start = MonotonicTime(nanoseconds: 0)
    let world = World(WorldSettings(cell: parameters, seed: 3, start: start))
    world.setContacts(closed: true, at: start)
    let terminals: [CellTerminal] = [
      .voltage(200, currentLimit: 1), .voltage(-200, currentLimit: 1), .current(1, voltageLimit: 200),
      .current(-1, voltageLimit: 200), .voltage(.nan, currentLimit: 1), .voltage(0, currentLimit: 0), .highImpedance,
    ]
    var now = start
    for terminal in terminals {
      world.setTerminal(terminal, at: now)
      now = now + Seconds(0.0203)
      let mean = world.means(from: now - Seconds(0.02), to: now)
      #expect(mean.voltage.isFinite && mean.current.isFinite && mean.cellVoltage.isFinite)
      #expect(abs(mean.current) <= 1.0001)
      #expect(world.cell.stateOfCharge.isFinite && world.cell.charge_C.isFinite)
    }
  }

  @Test("The open-circuit voltage rises everywhere")
  func monotone() {
    let curve = OpenCircuitCurve()
    var last = -Double.infinity
    for index in -300...1300 {
      let (voltage, slope) = curve.value(at: Double(index) / 1000)
      #expect(voltage > last && slope > 0)
      last = voltage
    }
    #expect(abs(curve.value(at: 0).voltage - 3.0) < 0.01)
    #expect(abs(curve.value(at: 1).voltage - 4.2) < 0.01)
  }

  @Test("Means over windows are those of the steps, to any instant within them")
  func windows() {
    var bench = CellBench()
    bench.world.setContacts(closed: true, at: bench.now)
    let start = bench.now
    bench.run(0.5)
    bench.world.setTerminal(.current(2e-12, voltageLimit: 5), at: bench.now)
    bench.run(0.5)
    // Half of this window has 0 A, half 2 pA.
    let mean = bench.world.means(from: start + Seconds(0.4), to: start + Seconds(0.6))
    #expect(abs(mean.current - 1e-12) < 1e-18)
    #expect(abs(mean.complianceShare) < 1e-12)
    // The mean of a window is the weighted mean of its parts, wherever it is cut.
    let cut = start + Seconds(0.612_345_678)
    let a = bench.world.means(from: start + Seconds(0.55), to: cut)
    let b = bench.world.means(from: cut, to: start + Seconds(0.7))
    let whole = bench.world.means(from: start + Seconds(0.55), to: start + Seconds(0.7))
    let share = 0.062_345_678 / 0.15
    #expect(abs(whole.voltage - (a.voltage * share + b.voltage * (1 - share))) < 1e-9)
    // A window without length is the step it lies in.
    let point = bench.world.means(from: cut, to: cut)
    #expect(abs(point.current - 2e-12) < 1e-18)
    #expect(abs(point.voltage - b.voltage) < 0.1)
  }

  @Test("Ten seconds are kept; before that, the oldest is given")
  func history() {
    var bench = CellBench()
    let start = bench.now
    bench.world.setContacts(closed: true, at: start)
    bench.world.setTerminal(.current(1e-12, voltageLimit: 5), at: start)
    for _ in 0..<11_000 {
      // Queries between the grid's points break steps, as instruments do.
      bench.run(0.000_999_9)
    }
    let old = bench.world.means(from: bench.now - Seconds(10), to: bench.now - Seconds(9.9))
    #expect(abs(old.current - 1e-12) < 1e-18)
    let before = bench.world.means(from: start - Seconds(5), to: start - Seconds(4))
    #expect(before.voltage.isFinite && before.current.isFinite)
  }

  @Test("The same seed gives the same noise, and the noise of a voltage source is that of its resistance")
  func noise() {
    func currents(_ seed: UInt64) -> [Double] {
      var parameters = CellParameters()
      parameters.initialStateOfCharge = 0.5
      var now = MonotonicTime(nanoseconds: 0)
      let world = World(WorldSettings(cell: parameters, seed: seed, start: now))
      world.setContacts(closed: true, at: now)
      world.setTerminal(.voltage(world.cell.voltage, currentLimit: 1e-9), at: now)
      now = now + Seconds(0.5)
      world.advance(to: now)
      return (0..<2000).map { _ in
        now = now + Seconds(0.00025)
        return world.means(from: now - Seconds(0.00025), to: now).current
      }
    }
    let first = currents(5)
    #expect(first == currents(5))
    #expect(first != currents(6))
    let mean = first.reduce(0, +) / Double(first.count)
    let deviation = (first.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(first.count)).squareRoot()
    // 4 µV/√Hz in 2 kHz over 1 GΩ and the double layer's 1.25 GΩ: about 0.08 pA.
    #expect(deviation > 0.03e-12 && deviation < 0.2e-12)
  }

  @Test("Time never goes back, and a long pause is bridged")
  func time() {
    var bench = CellBench()
    bench.world.setContacts(closed: true, at: bench.now)
    bench.run(1)
    let now = bench.world.now
    bench.world.setTerminal(.current(2e-12, voltageLimit: 5), at: now - Seconds(0.5))
    bench.world.advance(to: now - Seconds(1))
    #expect(bench.world.now == now)
    bench.world.setTerminal(.highImpedance, at: now)
    bench.run(200)
    #expect(bench.world.now == bench.now)
    #expect(bench.world.cell.voltage > 2.0)
  }
}

extension CellParameters {
  fileprivate static func with(_ change: (inout CellParameters) -> Void) -> CellParameters {
    var parameters = CellParameters()
    change(&parameters)
    return parameters
  }
}
