import Quantities
import Testing

@testable import NanobatteryTwin

@Suite("Keithley 2450 family twin: trigger blocks and models")
struct Keithley2450TriggerTests {
  let cell = FakeCell()

  private func bench(_ model: KeithleyModel = .k2450) -> Bench<Keithley2450> {
    let cell = cell
    let bench = Bench { now in
      var settings = Keithley2450.Settings()
      settings.model = model
      settings.currentNoise = 0
      settings.voltageNoise = 0
      settings.settlingShare = 0
      return Keithley2450(settings, cell: cell, clock: FakeClock(), at: now)
    }
    bench.send(":ROUT:TERM REAR;:SOUR:FUNC CURR;:SOUR:CURR 0;:SENS:FUNC \"VOLT\";:SENS:VOLT:RANG 20;:OUTP ON")
    return bench
  }

  @Test("blocks wait for an edge, measure and notify; the notice is a pulse at the reading's end")
  func loop() {
    let bench = bench()
    bench.send(":DIG:LINE1:MODE TRIG,OUT;:TRIG:DIG1:OUT:STIM NOT1;:TRIG:DIG1:OUT:PULS 1E-4;:DIG:LINE2:MODE TRIG,IN")
    bench.send(":TRIG:LOAD \"Empty\";:TRIG:BLOC:BUFF:CLE 1;:TRIG:BLOC:WAIT 2, DIG2;:TRIG:BLOC:MEAS 3, \"defbuffer1\"")
    bench.send(":TRIG:BLOC:NOT 4, 1;:TRIG:BLOC:BRAN:COUN 5, 3, 2;:INIT")
    #expect(bench.ask(":SYST:ERR?") == "0,\"No error;0;0 0\"")
    #expect(bench.ask(":DIG:LINE1:MODE?") == "TRIG,OUT")
    bench.wait(1)
    #expect(bench.ask(":TRAC:ACT?;:TRIG:STAT?") == "0;WAITING;WAITING;2")
    #expect(bench.error(after: ":SENS:VOLT:NPLC 2") == -221, "as with a predefined model")
    var ends: [MonotonicTime] = []
    for _ in 0..<3 {
      bench.device.pulse(line: 2, at: bench.hands.now)
      ends.append(bench.hands.now + Seconds(0.02))
      bench.wait(0.05)
    }
    #expect(bench.ask(":TRAC:ACT?;:TRIG:STAT?") == "3;IDLE;IDLE;0")
    #expect(bench.device.outputPulses.map(\.time) == ends)
    #expect(bench.device.outputPulses.allSatisfy { $0.line == 1 && $0.width == Seconds(1e-4) })
    bench.device.pulse(line: 2, at: bench.hands.now)
    bench.wait(0.05)
    #expect(bench.ask(":TRAC:ACT?") == "3")
  }

  @Test("an edge during a reading is remembered once; one before the start is not")
  func memory() {
    let bench = bench()
    bench.send(":DIG:LINE2:MODE TRIG,IN;:TRIG:LOAD \"Empty\";:TRIG:BLOC:WAIT 1, DIG2;:TRIG:BLOC:MEAS 2")
    bench.send(":TRIG:BLOC:BRAN:ALW 3, 1")
    bench.device.pulse(line: 2, at: bench.hands.now)
    bench.send(":INIT")
    bench.wait(0.05)
    #expect(bench.ask(":TRAC:ACT?") == "0")
    for _ in 0..<3 { bench.device.pulse(line: 2, at: bench.hands.now) }
    bench.wait(0.01)
    for _ in 0..<2 { bench.device.pulse(line: 2, at: bench.hands.now) }
    bench.wait(0.5)
    #expect(bench.ask(":TRAC:ACT?") == "2")
    bench.send(":ABOR")
    #expect(bench.ask(":TRIG:STAT?") == "IDLE;IDLE;0")
  }

  @Test("blocks with a gap do not start, unknown events are refused, and a circle without time ends with an error")
  func wrong() {
    let bench = bench()
    bench.send(":TRIG:LOAD \"Empty\";:TRIG:BLOC:NOP 1;:TRIG:BLOC:MEAS 3")
    #expect(bench.error(after: ":INIT") == -200)
    #expect(bench.error(after: ":TRIG:BLOC:WAIT 2, DIG9") == -224)
    #expect(bench.error(after: ":TRIG:BLOC:NOT 2, 9") == -222)
    bench.send(":TRIG:LOAD \"Empty\";:TRIG:BLOC:NOP 1;:TRIG:BLOC:BRAN:ALW 2, 1;:INIT")
    bench.wait(0.01)
    #expect(bench.ask(":TRIG:STAT?") == "IDLE;IDLE;0")
    #expect(bench.ask(":SYST:ERR?").hasPrefix("-200"))
  }

  @Test("each model has its own name, ranges and limits")
  func models() {
    for (model, range, tooSmall) in [
      (KeithleyModel.k2450, "1.000000E-08", ":SOUR:VOLT:ILIM 1E-10"), (.k2460, "1.000000E-06", ":SOUR:VOLT:ILIM 1E-8"),
      (.k2461, "1.000000E-06", ":SOUR:VOLT:ILIM 1E-8"), (.k2470, "1.000000E-08", ":SOUR:VOLT:ILIM 1E-10"),
    ] {
      let bench = bench(model)
      #expect(bench.ask("*IDN?") == "KEITHLEY INSTRUMENTS,MODEL \(model.number),04412345,1.7.12b")
      bench.send(":SENS:CURR:RANG 1E-12")
      bench.send(":SOUR:FUNC VOLT")
      #expect(bench.ask(":SENS:CURR:RANG?") == range)
      #expect(bench.error(after: tooSmall) == -222)
    }
  }

  @Test("an open interlock keeps the source below 42 V")
  func interlock() {
    let cell = cell
    let bench = Bench { now in
      var settings = Keithley2450.Settings()
      settings.isInterlockClosed = false
      return Keithley2450(settings, cell: cell, clock: FakeClock(), at: now)
    }
    #expect(bench.ask(":OUTP:INT:TRIP?") == "0")
    bench.send(":ROUT:TERM REAR;:SOUR:FUNC VOLT;:SOUR:VOLT:ILIM 1E-6;:SOUR:VOLT 100;:OUTP ON")
    #expect(cell.terminal == .voltage(42, currentLimit: 1e-6))
  }
}
