import EmulatedUSB
import Linux
import NanobatteryTwin
import Quantities
import Testing
import TwinBench
import USB

@testable import Potentiostat

@Suite("Keithley 2636B: what the resident script does")
struct Keithley2636BDriverTests {
  /// Rests the cell on a driver of its own, without a station that would judge anything.
  private func running(
    _ settings: NanobatteryTwin.Keithley2636B.Settings = .init(), bias: Bias = .current(.zero),
    _ acquisition: Acquisition = KeithleyBench.acquisition(Amperes(1e-9)),
    _ adjust: (inout PotentiostatSettings) -> Void = { _ in },
    _ body: (KeithleyBench, NanobatteryTwin.Keithley2636B, any PotentiostatDriver) throws -> Void
  ) throws {
    let (bench, twin) = KeithleyBench.k2636B(settings, adjust)
    defer { bench.end() }
    let model = try #require(PotentiostatModels.named(bench.settings.model))
    let driver = try model.open(bench.bus, bench.settings)
    defer { driver.close() }
    try driver.prepare(acquisition)
    bench.world.setContacts(closed: true, at: .now)
    _ = try driver.begin(bias, present: Volts(3.2), isWithinLimits: { _ in true })
    try body(bench, twin, driver)
  }

  private func wait(atMost span: Seconds, until isDone: () -> Bool) -> Seconds {
    let start = MonotonicTime.now
    while !isDone(), MonotonicTime.now - start < span { sleepThread(for: Seconds(0.002)) }
    return .now - start
  }

  @Test("A host that goes silent finds its cell open: a second and a half, and a reading")
  func silence() throws {
    try running { bench, twin, driver in
      for _ in 0..<20 {
        _ = try driver.poll()
        sleepThread(for: Seconds(0.01))
      }
      #expect(bench.terminal != .highImpedance)
      let span = wait(atMost: Seconds(4)) { bench.terminal == .highImpedance }
      #expect(
        span > Keithley2636B.silence - Seconds(0.2) && span < Keithley2636B.silence + Seconds(0.3), "after \(span)")
      // Its rows are still there, and it says what had happened: no bias follows as if the one before had been held.
      var rows = 0
      for _ in 0..<20 { rows += try driver.finish().samples.count }
      #expect(rows > 110)
      #expect {
        _ = try driver.begin(.current(Amperes(2e-12)), present: nil, isWithinLimits: { _ in true })
      } throws: { "\($0)".contains("silent for 1.50 s") }
      #expect(bench.terminal == .highImpedance)
      #expect(try driver.errors() == [], "told once")
      _ = try driver.begin(.current(Amperes(2e-12)), present: nil, isWithinLimits: { _ in true })
      #expect(bench.terminal != .highImpedance)
    }
  }

  @Test("An output that its script had opened before its host did is told in the record")
  func silenceBeforeStop() throws {
    try running { bench, _, driver in
      for _ in 0..<5 {
        _ = try driver.poll()
        sleepThread(for: Seconds(0.01))
      }
      _ = wait(atMost: Seconds(4)) { bench.terminal == .highImpedance }
      try driver.open()
      #expect(try driver.poll().samples.count > 50)
      #expect(try driver.errors() == ["the output is open: its host was silent for 1.50 s"])
      #expect(try driver.errors() == [])
    }
  }

  @Test("A host that dies, cable and all, finds the same")
  func dies() throws {
    try running { bench, _, driver in
      for _ in 0..<5 { _ = try driver.poll() }
      bench.device.unplug()
      let span = wait(atMost: Seconds(4)) { bench.terminal == .highImpedance }
      #expect(
        span > Keithley2636B.silence - Seconds(0.2) && span < Keithley2636B.silence + Seconds(0.3), "after \(span)")
    }
  }

  @Test("A host that comes back at once waits until its dead self's script has opened the output")
  func comesBack() throws {
    try running { bench, _, driver in
      for _ in 0..<5 {
        _ = try driver.poll()
        sleepThread(for: Seconds(0.01))
      }
      driver.close()
      let start = MonotonicTime.now
      let identity = try bench.station.connect()
      #expect(identity.model == "Model 2636B")
      #expect(MonotonicTime.now - start < Seconds(2.5))
      #expect(bench.terminal == .highImpedance)
    }
  }

  @Test("The script opens the output at a voltage limit although its host judges nothing, and says so in the row")
  func voltageLimit() throws {
    let acquisition = KeithleyBench.acquisition(Amperes(1e-9), volts: Volts(-0.5)...Volts(3.3))
    try running(bias: .current(Amperes(50e-12)), acquisition) { bench, _, driver in
      var samples: [Sample] = []
      var ended: USB.InstrumentError?
      let end = MonotonicTime.now + Seconds(5)
      while ended == nil, MonotonicTime.now < end {
        do throws(USB.InstrumentError) { samples += try driver.poll().samples } catch { ended = error }
        sleepThread(for: Seconds(0.003))
      }
      #expect(bench.terminal == .highImpedance)
      #expect("\(try #require(ended))".contains("limit of the cell"))
      let last = try #require(samples.last)
      #expect(last.flags.contains(.outputOff))
      let volts = try #require(last.voltage?.value)
      #expect(volts > 3.3 && volts < 3.36, "\(volts)")
      #expect(samples.dropLast().allSatisfy { ($0.voltage?.value ?? 9) < 3.3 + 0.017 })
    }
  }

  @Test("The script opens the output at a current limit during a hold")
  func currentLimit() throws {
    let acquisition = KeithleyBench.acquisition(Amperes(100e-12), amperes: Amperes(1e-12))
    try running(bias: .voltage(Volts(3.6)), acquisition) { bench, _, driver in
      _ = wait(atMost: Seconds(3)) {
        _ = try? driver.poll()
        return bench.terminal == .highImpedance
      }
      #expect(bench.terminal == .highImpedance)
    }
  }

  @Test("The 100 pA range reads a hold, and every range has its own zero")
  func lowestRange() throws {
    var settings = NanobatteryTwin.Keithley2636B.Settings()
    settings.measureOffset = 90e-15
    settings.higherRangeOffset = 400e-15
    let (bench, _) = KeithleyBench.k2636B(settings)
    defer { bench.end() }
    _ = try bench.station.connect()
    try bench.station.prepare(KeithleyBench.acquisition(Amperes(50e-12)))
    let zero = try bench.station.measureZero(of: Amperes(50e-12), for: Seconds(0.8))
    #expect(zero.range == Amperes(100e-12))
    #expect(abs(zero.current.value - 90e-15) < 15e-15)
    bench.world.setContacts(closed: true, at: .now)
    try bench.station.apply(.current(Amperes(2e-12)))
    bench.poll(for: Seconds(0.8))
    let held = bench.reports.samples.filter { !$0.flags.contains(.settling) }
    #expect(held.allSatisfy { $0.range == Amperes(1e-9) }, "the current source begins at 1 nA")
    let mean = held.compactMap(\.current?.value).reduce(0, +) / Double(held.count)
    #expect(abs(mean - 2e-12) < 20e-15, "\(mean)")
    let present = try #require(held.last?.voltage)
    try bench.station.apply(.voltage(present))
    bench.poll(for: Seconds(0.3))
    #expect(bench.reports.samples.last?.range == Amperes(100e-12))
    #expect(bench.reports.trips == [] && bench.reports.failures == [])
  }

  @Test("Between two biases under the same source the output stays on")
  func noGlitch() throws {
    try running(bias: .current(Amperes(2e-12))) { bench, twin, driver in
      let since = twin.outputOnSince
      for level in [4e-12, -2e-12, 0] {
        for _ in 0..<10 {
          _ = try driver.poll()
          sleepThread(for: Seconds(0.005))
        }
        _ = try driver.finish()
        _ = try driver.begin(.current(Amperes(level)), present: nil, isWithinLimits: { _ in true })
      }
      #expect(twin.outputOnSince == since)
      #expect(bench.terminal != .highImpedance)
    }
  }

  @Test("No row is lost or told twice over many biases")
  func rows() throws {
    try running { _, _, driver in
      var stamps: [Int64] = []
      for level in 0..<6 {
        for _ in 0..<12 {
          stamps += try driver.poll().samples.map(\.deviceNanoseconds)
          sleepThread(for: Seconds(0.007))
        }
        stamps += try driver.finish().samples.map(\.deviceNanoseconds)
        _ = try driver.begin(.current(Amperes(Double(level) * 1e-12)), present: nil, isWithinLimits: { _ in true })
      }
      let steps = zip(stamps, stamps.dropFirst()).map { $1 - $0 }
      #expect(stamps.count > 40)
      #expect(steps.allSatisfy { $0 > 8_000_000 && $0 < 60_000_000 }, "\(steps)")
    }
  }

  @Test("Four wires are set when the settings say so", arguments: [false, true])
  func fourWire(isFourWire: Bool) throws {
    let (bench, _) = KeithleyBench.k2636B { $0.fourWire = isFourWire }
    defer { bench.end() }
    _ = try bench.station.connect()
    try bench.station.prepare(KeithleyBench.acquisition())
    bench.station.close()
    let panel = try SCPIConnection.open(bench.settings.usb, on: bench.bus, name: "panel")
    defer { panel.close() }
    #expect(Double(try panel.query("print(smua.sense)")) == (isFourWire ? 1 : 0))
  }

  @Test("A pulse goes out with every reading, and with an input line a pulse begins every reading")
  func triggers() throws {
    try running(
      .init(), bias: .current(.zero), KeithleyBench.acquisition(Amperes(1e-9)),
      {
        $0.triggerOut = 3; $0.triggerIn = 5
      }
    ) {
      bench, twin, driver in
      var samples: [Sample] = []
      for _ in 0..<7 {
        bench.device.perform { twin.pulse(line: 5, at: .now) }
        for _ in 0..<10 {
          samples += try driver.poll().samples
          sleepThread(for: Seconds(0.004))
        }
      }
      samples += try driver.finish().samples
      #expect(samples.count == 8, "one when it began, and seven")
      let pulses = bench.device.perform { twin.outputPulses }
      #expect(pulses.map(\.line) == Array(repeating: 3, count: 8))
      #expect(zip(pulses.dropFirst(), pulses.dropFirst(2)).allSatisfy { ($1.time - $0.time) > Seconds(0.02) })
    }
  }

  @Test("What the model has not is refused before anything is sent")
  func unable() throws {
    func refusal(_ model: String, _ adjust: (inout PotentiostatSettings) -> Void) -> String {
      let bench = KeithleyBench(model, .init(), adjust)
      defer { bench.end() }
      do { _ = try bench.station.connect() } catch { return "\(error)" }
      return "taken"
    }
    #expect(refusal("keithley-2634b") { $0.triggerOut = 1 }.contains("no digital lines"))
    #expect(refusal("keithley-2635b") { $0.channel = "b" }.contains("no channel “b”"))
    #expect(refusal("keithley-2636b") { $0.triggerIn = 15 }.contains("1 to 14"))
    #expect(refusal("keithley-2636b") { $0.channel = "b" } == "taken")
  }

  @Test("Errors of the instrument are told with what was asked for")
  func errorQueue() throws {
    let bench = KeithleyBench("keithley-2636b")
    defer { bench.end() }
    try bench.type("smua.source.levelv = 1e6", "x = = 1")
    _ = try bench.station.connect()
    let errors = try bench.station.errors()
    #expect(errors.count == 2)
    #expect(errors.first == "1102, Parameter too big")
    #expect(errors.last?.hasPrefix("-285, TSP Syntax error at line 1: unexpected symbol near") == true)
    #expect(try bench.station.errors() == [])
    try bench.station.prepare(KeithleyBench.acquisition())
    #expect {
      try bench.station.apply(.current(Amperes(1e-3)))
    } throws: { "\($0)".contains("5005") }
  }

  @Test("Rows that are none are refused", arguments: ["R,1,2,3", "R,1,nan,0,0,0", "X", "T,1,2,3", "R,1,1e12,0,0,0"])
  func garbage(line: String) {
    #expect(throws: USB.InstrumentError.self) { try Potentiostat.Keithley2636B.parse(line, device: "test") }
  }
}
