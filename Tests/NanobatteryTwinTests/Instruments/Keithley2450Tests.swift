import EmulatedUSB
import Quantities
import Testing

@testable import NanobatteryTwin

@Suite("Keithley 2450 twin")
struct Keithley2450Tests {
  let cell = FakeCell()
  let bench: Bench<Keithley2450>
  let clock = FakeClock(offset: 3_700_000_000, rate: 1.000035)

  init() {
    let cell = cell
    let clock = clock
    bench = Bench { now in
      var settings = Keithley2450.Settings()
      settings.currentNoise = 0
      settings.voltageNoise = 0
      settings.settlingShare = 0
      return Keithley2450(settings, cell: cell, clock: clock, at: now)
    }
    bench.send("*RST;*CLS;:ROUT:TERM REAR")
  }

  /// Sources `current` in the 10 nA range and measures voltage, as scpi-smu.md §9 does.
  private func sourceCurrent(_ current: String) {
    bench.send(":OUTP:CURR:SMOD HIMP;:OUTP:VOLT:SMOD HIMP")
    bench.send(":SOUR:FUNC CURR;:SOUR:CURR:RANG 1E-8;:SOUR:CURR:VLIM 5;:SOUR:CURR \(current)")
    bench.send(":SENS:FUNC \"VOLT\";:SENS:VOLT:RANG 20;:SENS:VOLT:NPLC 1;:SENS:VOLT:RSEN OFF")
    bench.send(":OUTP ON")
  }

  @Test("says who it is and which language it speaks")
  func identity() {
    #expect(bench.ask("*IDN?") == "KEITHLEY INSTRUMENTS,MODEL 2450,04412345,1.7.12b")
    #expect(bench.ask("*LANG?") == "SCPI")
    #expect(bench.ask(":SYST:LFR?") == "50")
    #expect(bench.ask(":TRIG:STAT?") == "IDLE;IDLE;0")
    #expect(bench.ask(":SYST:ERR?") == "0,\"No error;0;0 0\"")
    #expect(bench.ask(":BAD?") == "no answer")
    #expect(bench.ask(":SYST:ERR?") == "-113,\"Undefined header;1;1970/01/01 00:00:03.700\"")
  }

  @Test("the exchange of the fact sheet reads the cell's open-circuit voltage")
  func sheetExchange() {
    sourceCurrent("0")
    bench.send(":READ? \"defbuffer1\",READ,REL")
    #expect(bench.read() == nil, "the aperture takes 20 ms")
    bench.hands.move(0.02)
    #expect(bench.read() == "3.200000E+00,0.000000000")
    #expect(bench.ask(":SYST:ERR?") == "0,\"No error;0;0 0\"")
    bench.send(":OUTP OFF")
    #expect(cell.terminal == .highImpedance)
  }

  @Test("nothing is at the terminals that the cable is not at, and changing them switches off")
  func terminals() {
    sourceCurrent("2E-12")
    #expect(bench.ask(":OUTP?") == "1")
    bench.send(":ROUT:TERM FRON")
    #expect(bench.ask(":OUTP?") == "0")
    bench.send(":OUTP ON")
    #expect(cell.terminal == .highImpedance)
  }

  @Test("each output-off state shows its own thing to the cell")
  func offStates() {
    sourceCurrent("2E-12")
    bench.send(":OUTP OFF")
    #expect(cell.terminal == .highImpedance)
    bench.send(":OUTP:CURR:SMOD NORM")
    #expect(cell.terminal == .voltage(0, currentLimit: 1e-9), "discharges the cell")
    bench.send(":OUTP:CURR:SMOD ZERO")
    #expect(cell.terminal == .voltage(0, currentLimit: 1e-8))
    bench.send(":OUTP:CURR:SMOD GUAR")
    #expect(cell.terminal == .current(0, voltageLimit: 2))
    #expect(bench.ask(":OUTP:CURR:SMOD?") == "GUAR")
    #expect(bench.ask(":OUTP:VOLT:SMOD?") == "HIMP", "kept for each source function")
  }

  @Test("changing the source function switches the output off")
  func functionChange() {
    sourceCurrent("2E-12")
    bench.send(":SOUR:FUNC VOLT")
    #expect(bench.ask(":OUTP?;:SOUR:FUNC?") == "0;VOLT")
    #expect(cell.terminal == .highImpedance)
  }

  @Test("the source moves in its own steps and carries its offset")
  func sourceSteps() {
    sourceCurrent("2.2E-12")
    #expect(cell.terminal == .current(2e-12, voltageLimit: 5), "500 fA steps in the 10 nA range")
    #expect(bench.ask(":SOUR:CURR?") == "2.200000E-12")
  }

  @Test("a limit clamps, is flagged in the reading and answers the query")
  func compliance() {
    sourceCurrent("5E-9")
    bench.send(":TRIG:LOAD \"SimpleLoop\",1,0;:INIT")
    bench.wait(0.1)
    // 3.2 V + 5 nA · 1 GΩ would be 8.2 V: held at 5 V. SOURSTAT: read back, limited, output on.
    #expect(bench.ask(":TRAC:DATA? 1,1,\"defbuffer1\",READ,SOUR,SOURSTAT") == "5.000000E+00,1.800000E-09,168")
    bench.send(":OUTP ON")
    bench.wait(0.01)
    #expect(bench.ask(":SOUR:CURR:VLIM:TRIP?") == "1")
    bench.send(":SOUR:CURR 1E-12")
    bench.wait(0.01)
    #expect(bench.ask(":SOUR:CURR:VLIM:TRIP?") == "0")
  }

  @Test("a voltage source holds its current limit, and SOUR is the voltage that is there")
  func voltageSource() {
    bench.send(":SOUR:FUNC VOLT;:SOUR:VOLT:RANG 20;:SOUR:VOLT:ILIM 1E-9;:SOUR:VOLT 10;:SENS:FUNC \"CURR\"")
    bench.send(":SENS:CURR:RANG 1E-8;:OUTP ON;:READ? \"defbuffer1\",READ,SOUR,SOURSTAT")
    bench.hands.move(0.02)
    #expect(bench.read() == "1.000000E-09,4.200000E+00,168")
  }

  @Test("a reading beyond its range is 9.9E37 and readings have the range's step")
  func ranges() {
    sourceCurrent("0")
    bench.send(":SENS:VOLT:RANG 2;:READ?")
    bench.hands.move(0.02)
    #expect(bench.read() == "9.900000E+37")
    #expect(bench.ask(":SENS:VOLT:RANG?;:SOUR:CURR:RANG?") == "2.000000E+00;1.000000E-08")
    bench.send(":SENS:VOLT:RANG 3")
    #expect(bench.ask(":SENS:VOLT:RANG?") == "2.000000E+01", "the smallest range that holds it")
  }

  @Test("out of range changes nothing")
  func rejections() {
    sourceCurrent("0")
    for command in [
      ":SOUR:VOLT:ILIM 1E-10", ":SOUR:CURR:VLIM 0.01", ":SOUR:CURR:VLIM 211", ":SOUR:CURR 2", ":SOUR:CURR 2E-8",
      ":SENS:VOLT:NPLC 11", ":TRAC:POIN 9", ":TRAC:POIN 100001",
    ] {
      #expect(bench.error(after: command) == -222, "\(command)")
    }
    #expect(bench.ask(":SOUR:CURR:VLIM?;:SOUR:CURR?") == "5.000000E+00;0.000000E+00")
    #expect(bench.error(after: ":OUTP:CURR:SMOD OPEN") == -224)
    #expect(bench.error(after: ":SENS:FUNC VOLT") == -151)
    #expect(bench.error(after: ":TRAC:CLE \"nobuffer\"") == -224)
    #expect(bench.error(after: ":FORM REAL") == -224)
  }

  @Test("readings of a loop come at aperture, delay and overhead, stamped at the end of the aperture")
  func stamps() {
    sourceCurrent("2E-12")
    bench.wait(0.3)
    bench.send(":SENS:VOLT:NPLC 0.5;:TRIG:LOAD \"DurationLoop\",100,0.001,\"defbuffer1\";:INIT")
    let start = bench.hands.now
    #expect(bench.ask(":TRIG:STAT?") == "RUNNING;RUNNING;3")
    bench.wait(0.010_9)
    #expect(bench.ask(":TRAC:ACT?") == "0", "not before its stamp")
    bench.wait(0.000_2)
    #expect(bench.ask(":TRAC:ACT?") == "1")
    bench.wait(0.2)
    // (1 ms + 10 ms + 0.4 ms) each.
    #expect(bench.ask(":TRAC:ACT?") == "18")
    let row = bench.ask(":TRAC:DATA? 2,2,\"defbuffer1\",SEC,FRAC,REL,READ,SOUR,STAT")
    let stamp = clock.device(at: start + Seconds(0.011 + 0.0114))
    let fraction = KeithleyTime.padded(Int(stamp % 1_000_000_000), 9)
    #expect(row == "\(stamp / 1_000_000_000),0.\(fraction),0.011400399,3.202000E+00,2.000000E-12,0")
    #expect(bench.ask(":TRAC:DATA? 1,2,\"defbuffer1\",READ") == "3.202000E+00,3.202000E+00")
    #expect(bench.error(after: ":TRAC:DATA? 1,19,\"defbuffer1\",READ") == -222)
    bench.send(":ABOR")
    #expect(bench.ask(":TRIG:STAT?;:OUTP?") == "IDLE;IDLE;0;1")
  }

  @Test("while the trigger model runs settings are refused, the output is not")
  func running() {
    sourceCurrent("2E-12")
    bench.send(":TRIG:LOAD \"DurationLoop\",100,0,\"defbuffer1\";:INIT")
    for command in [
      ":SOUR:CURR 1E-12", ":SENS:VOLT:NPLC 2", ":SOUR:CURR:RANG 1E-7", ":ROUT:TERM FRON", ":SOUR:FUNC VOLT", ":INIT",
      ":READ?", ":TRAC:POIN 100",
    ] {
      #expect(bench.error(after: command) == -221, "\(command)")
    }
    #expect(bench.error(after: ":OUTP OFF") == 0)
    #expect(cell.terminal == .highImpedance)
  }

  @Test("a loop switches the output on, and off when its time is over")
  func loopEnds() {
    sourceCurrent("2E-12")
    bench.send(":OUTP OFF;:TRIG:LOAD \"DurationLoop\",0.1,0,\"defbuffer1\";:INIT")
    #expect(bench.ask(":OUTP?") == "1")
    bench.wait(0.2)
    #expect(bench.ask(":TRIG:STAT?;:OUTP?") == "IDLE;IDLE;0;0")
    #expect(bench.ask(":TRAC:ACT?") == "5")
  }

  @Test("a buffer in continuous mode wraps: the newest row is where END says")
  func wrap() {
    sourceCurrent("0")
    bench.send(":SENS:VOLT:NPLC 0.1;:TRAC:POIN 10;:TRIG:LOAD \"SimpleLoop\",13,0,\"defbuffer1\";:INIT")
    bench.wait(1)
    #expect(bench.ask(":TRAC:ACT?;:TRAC:ACT:STAR?;:TRAC:ACT:END?") == "10;4;3")
    let times = bench.ask(":TRAC:DATA? 1,10,\"defbuffer1\",REL").split(separator: ",").compactMap { Double($0) }
    #expect(times.max() == times[2])
    #expect(times.min() == times[3])
    bench.send(":TRAC:CLE \"defbuffer1\"")
    #expect(bench.ask(":TRAC:ACT?;:TRAC:ACT:STAR?;:TRAC:ACT:END?") == "0;0;0")
  }

  @Test("readings before everything has settled are questionable")
  func settling() {
    sourceCurrent("2E-12")
    bench.send(":TRIG:LOAD \"SimpleLoop\",4,0;:INIT")
    bench.wait(0.2)
    // Five time constants of 8 ms: two apertures of 20 ms begin before they are over.
    #expect(bench.ask(":TRAC:DATA? 1,4,\"defbuffer1\",STAT") == "1,1,0,0")
  }

  @Test("noise has the rms that was set, falls with the aperture, and offsets are there")
  func noise() {
    let cell = cell
    let noisy = Bench { now in
      var settings = Keithley2450.Settings()
      settings.currentNoise = 50e-15
      settings.measureOffset = 300e-15
      settings.sourceOffset = 120e-15
      settings.settlingShare = 0
      return Keithley2450(settings, cell: cell, clock: FakeClock(), at: now)
    }
    func spread(_ cycles: String) -> (mean: Double, rms: Double) {
      noisy.send("*RST;:ROUT:TERM REAR;:SOUR:FUNC CURR;:SOUR:CURR:RANG 1E-8;:SOUR:CURR:VLIM 5;:SOUR:CURR 2E-12")
      noisy.send(":SENS:FUNC \"VOLT\";:SENS:VOLT:RANG 20;:SENS:VOLT:NPLC \(cycles)")
      noisy.send(":TRIG:LOAD \"SimpleLoop\",400,0;:INIT")
      noisy.wait(20)
      let values = noisy.ask(":TRAC:DATA? 1,400,\"defbuffer1\",SOUR").split(separator: ",").compactMap { Double($0) }
      let mean = values.reduce(0, +) / Double(values.count)
      let square = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
      return (mean, square.squareRoot())
    }
    let one = spread("1")
    #expect(abs(one.mean - 2.42e-12) < 10e-15)
    #expect(abs(one.rms - 50e-15) < 6e-15)
    let hundredth = spread("0.01")
    #expect(abs(hundredth.rms - 500e-15) < 60e-15)
  }

  @Test("*RST switches off to 0 V: the trap for a connected cell")
  func resetTrap() {
    sourceCurrent("2E-12")
    bench.send("*RST;:ROUT:TERM REAR")
    guard case .voltage(0, _) = cell.terminal else {
      Issue.record("the terminals show \(String(describing: cell.terminal))")
      return
    }
    #expect(cell.history.notes.last == "potentiostat: output off, state NORM")
  }

  @Test("dates follow the calendar")
  func dates() {
    let stamp: Int64 = 1_362_149_167_714_614_838
    let text = KeithleyTime.text(stamp, decimals: 9, separator: "/", yearFirst: false)
    #expect(text.0 == "03/01/2013")
    #expect(text.1 == "14:46:07.714614838")
    #expect(KeithleyTime.text(-1, decimals: 3, separator: "/", yearFirst: true) == ("1969/12/31", "23:59:59.999"))
  }
}
