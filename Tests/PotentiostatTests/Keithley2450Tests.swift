import EmulatedUSB
import Linux
import NanobatteryTwin
import Quantities
import Testing
import TwinBench
import USB

@testable import Potentiostat

@Suite("Keithley 2450 family: wires, lines, warnings")
struct Keithley2450DriverTests {
  @Test("Four wires are set for both functions when the settings say so", arguments: [false, true])
  func fourWire(isFourWire: Bool) throws {
    let (bench, _) = KeithleyBench.k2450 { $0.fourWire = isFourWire }
    defer { bench.end() }
    _ = try bench.station.connect()
    try bench.station.prepare(KeithleyBench.acquisition())
    bench.station.close()
    let panel = try SCPIConnection.open(bench.settings.usb, on: bench.bus, name: "panel")
    defer { panel.close() }
    #expect(try panel.query(":SENS:CURR:RSEN?;:SENS:VOLT:RSEN?") == (isFourWire ? "1;1" : "0;0"))
  }

  @Test("Every reading sends a pulse out, at the end of its aperture")
  func triggerOut() throws {
    let (bench, twin) = KeithleyBench.k2450 { $0.triggerOut = 2 }
    defer { bench.end() }
    _ = try bench.station.connect()
    try bench.station.prepare(KeithleyBench.acquisition())
    bench.world.setContacts(closed: true, at: .now)
    try bench.station.apply(.current(Amperes(2e-12)))
    bench.poll(for: Seconds(0.4))
    try bench.station.makeSafe()
    let pulses = bench.device.perform { twin.outputPulses }
    let samples = bench.reports.samples
    #expect(pulses.count >= samples.count && pulses.count <= samples.count + 1)
    #expect(samples.count > 25)
    #expect(pulses.allSatisfy { $0.line == 2 && $0.width == Seconds(1e-4) })
    // Sample and pulse of the same reading are half an aperture apart, whatever the instrument's clock shows.
    let first = try #require(samples.first)
    let pairs = zip(samples, pulses).map { sample, pulse in
      Double(sample.deviceNanoseconds - first.deviceNanoseconds) - Double((pulse.time - pulses[0].time).nanoseconds)
    }
    #expect(pairs.allSatisfy { abs($0) < 100_000 })
  }

  @Test("With an input line a pulse begins every reading, and none comes without")
  func triggerIn() throws {
    let (bench, twin) = KeithleyBench.k2450 { $0.triggerIn = 4 }
    defer { bench.end() }
    _ = try bench.station.connect()
    try bench.station.prepare(KeithleyBench.acquisition())
    bench.world.setContacts(closed: true, at: .now)
    try bench.station.apply(.current(.zero))
    bench.poll(for: Seconds(0.1))
    #expect(bench.reports.samples.isEmpty)
    var sent: [MonotonicTime] = []
    for _ in 0..<6 {
      bench.device.perform {
        sent.append(.now)
        twin.pulse(line: 4, at: sent[sent.count - 1])
      }
      bench.poll(for: Seconds(0.04))
    }
    #expect(bench.reports.samples.count == 6)
    let gaps = zip(bench.reports.samples, bench.reports.samples.dropFirst()).map {
      $1.deviceNanoseconds - $0.deviceNanoseconds
    }
    let pauses = zip(sent, sent.dropFirst()).map { ($1 - $0).nanoseconds }
    #expect(zip(gaps, pauses).allSatisfy { abs($0 - $1) < 1_000_000 })
    // Missed triggers are a failure with words, not a wait without end.
    bench.poll(for: Seconds(1.5)) { !bench.reports.failures.isEmpty }
    #expect(bench.reports.failures.count == 1)
    #expect(bench.terminal == .highImpedance)
  }

  @Test("Lines that there are not are refused")
  func lines() throws {
    func refusal(_ adjust: (inout PotentiostatSettings) -> Void) -> String {
      let bench = KeithleyBench("keithley-2450", .init(), adjust)
      defer { bench.end() }
      do { _ = try bench.station.connect() } catch { return "\(error)" }
      return "taken"
    }
    #expect(refusal { $0.triggerOut = 7 }.contains("1 to 6"))
    #expect(refusal {
      $0.triggerOut = 3
      $0.triggerIn = 3
    }.contains("at once"))
    #expect(refusal { $0.triggerOut = 6 } == "taken")
  }

  @Test("An open interlock refuses the 200 V range, and only that")
  func interlock() throws {
    var settings = NanobatteryTwin.Keithley2450.Settings()
    settings.isInterlockClosed = false
    let (bench, _) = KeithleyBench.k2450(settings)
    defer { bench.end() }
    _ = try bench.station.connect()
    try bench.station.prepare(KeithleyBench.acquisition())
    var wide = KeithleyBench.acquisition()
    wide.voltageRange = Volts(100)
    #expect {
      try bench.station.prepare(wide)
    } throws: { "\($0)".contains("interlock") }
    #expect(bench.terminal == .highImpedance)
  }

  @Test("Errors and warnings of the event log are told; warnings stop nothing")
  func eventLog() throws {
    let (bench, twin) = KeithleyBench.k2450()
    defer { bench.end() }
    try bench.type(":SENS:CURR:NPLC 99", ":NO:SUCH")
    bench.device.perform { twin.warn(SCPIError(2763, "Source limited")) }
    _ = try bench.station.connect()
    let entries = try bench.station.errors()
    #expect(entries.map { String($0.prefix { $0 != "," }) } == ["-222", "-113", "warning 2763"])
    #expect(try bench.station.errors() == [])
    bench.device.perform { twin.warn(SCPIError(2763, "Source limited")) }
    try bench.station.prepare(KeithleyBench.acquisition())
    try bench.station.apply(.current(.zero))
  }

  @Test("A model without pA ranges says so")
  func remarks() throws {
    for model in ["keithley-2460", "keithley-2461"] {
      let bench = KeithleyBench(model)
      defer { bench.end() }
      _ = try bench.station.connect()
      #expect(bench.station.abilities.remarks.first?.contains("1 µA") == true)
    }
  }
}
