import EmulatedUSB
import Quantities
import Testing

@testable import NanobatteryTwin

@Suite("OBH-1 holder twin: probe, heater, inputs")
struct OpenBiasingHolderMotionTests {
  let cell = FakeCell()

  private func bench(_ change: (inout OpenBiasingHolder.Settings) -> Void = { _ in }) -> Bench<OpenBiasingHolder> {
    var settings = OpenBiasingHolder.Settings()
    change(&settings)
    let made = settings
    let cell = cell
    let bench = Bench { OpenBiasingHolder(made, cell: cell, clock: FakeClock(), at: $0) }
    bench.wait(1)
    return bench
  }

  private func ready(_ change: (inout OpenBiasingHolder.Settings) -> Void = { _ in }) -> Bench<OpenBiasingHolder> {
    let bench = bench(change)
    bench.send(":SYST:HEAR:TIM 60;:SYST:ARM;:ROUT:CLOS (@1!5,2!4)")
    bench.wait(0.01)
    return bench
  }

  // MARK: waveform

  @Test("a table is taken in parts and given back whole; beyond its end, or of no byte, nothing of it is taken")
  func waveform() {
    let bench = bench()
    bench.send(":SOUR:PIEZ:COAR:WAV:DATA 0,255,254;:SOUR:PIEZ:COAR:WAV:DATA 254,7,8")
    let table = bench.ask(":SOUR:PIEZ:COAR:WAV:DATA?")
    #expect(table.hasPrefix("#3256"))
    #expect(bench.device.piezo.table.prefix(3) == [255, 254, 2])
    #expect(bench.device.piezo.table.suffix(3) == [253, 7, 8])
    #expect(bench.error(after: ":SOUR:PIEZ:COAR:WAV:DATA 255,1,2") == -222)
    #expect(bench.error(after: ":SOUR:PIEZ:COAR:WAV:DATA 0,256") == -222)
    #expect(bench.error(after: ":SOUR:PIEZ:COAR:WAV:DATA 0") == -109)
    #expect(bench.device.piezo.table.prefix(1) == [255])
    bench.send(":SYST:HEAR:TIM 60;:SYST:ARM;:SOUR:PIEZ:COAR:STEP 30000")
    #expect(bench.error(after: ":SOUR:PIEZ:COAR:WAV:DATA 0,1") == -221)
    #expect(bench.error(after: ":SOUR:PIEZ:COAR:WAV USER") == -221)
  }

  // MARK: contact (§4.7 i, f)

  @Test(
    "a current just below the threshold is no contact, just above it is", arguments: [(4.9e-11, "0"), (5.1e-11, "1")])
  func threshold(current: Double, contact: String) {
    let bench = ready {
      $0.probe.gap = 1e-6
      $0.contactNoise = 0
    }
    bench.send(":OUTP ON;:SENS:CONT ON")
    bench.wait(0.05)
    bench.device.force(current: current, at: bench.hands.now)
    bench.wait(0.05)
    #expect(bench.ask(":SENS:CONT:STATUS?").hasPrefix(contact))
    #expect(bench.error(after: "*WAI") == (contact == "1" ? 304 : 0))
  }

  @Test("fewer readings in a row than asked for are no contact", arguments: [(2.5e-3, "0"), (3.5e-3, "1")])
  func dwellCount(seconds: Double, contact: String) {
    let bench = ready {
      $0.probe.gap = 1e-6
      $0.contactNoise = 0
    }
    bench.send(":SENS:CONT:COUN 3;:OUTP ON;:SENS:CONT ON")
    bench.wait(0.05)
    bench.device.force(current: 1e-9, at: bench.hands.now)
    bench.wait(seconds)
    bench.device.force(current: 0, at: bench.hands.now)
    bench.wait(0.1)
    #expect(bench.ask(":SENS:CONT:STATUS?").hasPrefix(contact))
  }

  @Test("the tip comes, touches, and is stopped by the firmware within 2 ms and 2 nm")
  func approach() throws {
    let bench = ready { $0.probe.gap = 200e-9 }
    bench.send(":OUTP ON;:SENS:CONT ON;:TRIG:OUTP:SOUR CONT")
    bench.wait(0.02)
    bench.send(":SOUR:PIEZ:FINE:SLEW 200;VOLT 0,0,150")
    bench.wait(0.1)
    #expect(bench.ask(":SENS:CONT:STATUS?").hasPrefix("0,0,"))
    #expect(bench.device.tipGap(at: bench.hands.now) > 90e-9)
    bench.wait(0.9)
    let status = bench.ask(":SENS:CONT:STATUS?").split(separator: ",")
    #expect(status[0] == "1")
    #expect(abs(try #require(Double(status[2]))) > 5e-11)
    // 1 nm each millisecond: what the tip went further than the threshold is at most three readings.
    let gap = bench.device.tipGap(at: bench.hands.now)
    #expect(gap < 0.15e-9 && gap > -4e-9, "\(gap)")
    #expect(bench.device.pulses == 1)
    #expect(bench.error(after: "*WAI") == 304)
    #expect(Int(bench.ask(":STAT:OPER:COND?"))! & 1 << 9 != 0)
    bench.wait(1)
    #expect(bench.device.tipGap(at: bench.hands.now) == gap, "it stays where it was stopped")
  }

  @Test("on contact the tip goes back so many volts where that is asked for")
  func retract() {
    let bench = ready { $0.probe.gap = 100e-9 }
    bench.send(":SENS:CONT:ACT RETR;RETR 5,VOLT;:OUTP ON;:SENS:CONT ON")
    bench.wait(0.02)
    bench.send(":SOUR:PIEZ:FINE:SLEW 200;VOLT 0,0,150")
    bench.wait(1)
    let gap = bench.device.tipGap(at: bench.hands.now)
    #expect(gap > 20e-9 && gap < 26e-9, "\(gap)")
  }

  // MARK: coarse

  @Test("coarse steps take their time, are counted, and move the tip only above the amplitude at which it slips")
  func coarse() {
    let bench = ready { $0.probe.gap = 10e-6 }
    bench.send(":SOUR:PIEZ:COAR:AMPL 60;FREQ 100;STEP 10")
    bench.wait(0.055)
    #expect(bench.ask(":SOUR:PIEZ:COAR:STEP?;COUN?") == "5;5")
    #expect(Int(bench.ask(":STAT:OPER:COND?"))! & 1 << 8 != 0)
    bench.wait(0.1)
    #expect(bench.ask(":SOUR:PIEZ:COAR:STEP?;COUN?") == "0;10")
    #expect(abs(bench.device.tipGap(at: bench.hands.now) - (10e-6 - 10 * 480e-9)) < 1e-12)
    bench.send(":SOUR:PIEZ:COAR:AMPL 10;STEP -5")
    bench.wait(0.1)
    #expect(bench.ask(":SOUR:PIEZ:COAR:COUN?") == "5")
    #expect(abs(bench.device.tipGap(at: bench.hands.now) - (10e-6 - 10 * 480e-9)) < 1e-12)
    bench.send(":SOUR:PIEZ:COAR:AMPL 60;STEP 30000")
    bench.wait(0.1)
    bench.send(":SYST:SAF")
    let count = bench.ask(":SOUR:PIEZ:COAR:COUN?")
    bench.wait(1)
    #expect(bench.ask(":SOUR:PIEZ:COAR:STEP?;COUN?") == "0;\(count)", "safe stops it within a step")
  }

  @Test("the safe state holds the fine piezo, or lets it go to zero at its slew", arguments: ["HOLD", "ZERO"])
  func safePiezo(policy: String) {
    let bench = ready { $0.probe.gap = 10e-6 }
    bench.send(":SYST:SAF:PIEZ \(policy);:SOUR:PIEZ:FINE:SLEW 100;VOLT 0,0,100")
    bench.wait(2)
    bench.send(":SYST:SAF")
    bench.wait(0.502)
    let volts = Double(bench.ask(":SOUR:PIEZ:FINE:VOLT?").split(separator: ",")[2])!
    #expect(abs(volts - (policy == "HOLD" ? 100 : 50)) < 0.5, "\(volts)")
  }

  @Test("the cell sees its electrode only while the tip touches")
  func contactGates() {
    let bench = bench { $0.probe.gap = 100e-9 }
    bench.send(":SYST:HEAR:TIM 60;:SYST:ARM;:ROUT:CLOS (@1!1,2!2)")
    bench.wait(0.01)
    #expect(!cell.contactsClosed)
    bench.send(":SOUR:PIEZ:FINE:VOLT 0,0,20")
    bench.wait(0.5)
    #expect(cell.contactsClosed)
    bench.send(":SOUR:PIEZ:FINE:VOLT 0,0,0")
    bench.wait(0.5)
    #expect(!cell.contactsClosed)
  }

  // MARK: heater (§4.7 m)

  private static let chip = ":SOUR:HEAT:CHIP 120,293.15,0.0012,0,0.02,1273.15"

  @Test("the heater follows its ramp to the temperature, and four-wire resistance and temperature agree")
  func heater() throws {
    let bench = ready()
    #expect(bench.error(after: ":SOUR:HEAT:MODE TEMP") == -221, "no chip file")
    bench.send("\(Self.chip);:SOUR:HEAT:RAMP 1000;TEMP 623.15;MODE TEMP")
    bench.wait(0.165)
    #expect(abs(bench.device.heaterTemperature - 293.15 - 150) < 40, "half way up the ramp")
    bench.wait(1)
    let values = bench.ask(":SENS:HEAT?").split(separator: ",").compactMap { Double($0) }
    try #require(values.count == 4)
    #expect(abs(values[1] - 623.15) < 0.5)
    #expect(abs(values[0] - 120 * (1 + 0.0012 * 330)) < 0.1)
    #expect(abs(values[3] / values[2] - values[0]) < 1e-3)
    #expect(Int(bench.ask(":STAT:OPER:COND?"))! & 1 << 10 != 0)
    #expect(bench.error(after: ":SOUR:HEAT:TEMP 1300") == -222, "beyond T_max")
    bench.send(":SYST:SAF")
    bench.wait(0.5)
    #expect(bench.ask(":SOUR:HEAT:MODE?") == "OFF")
    #expect(bench.device.heaterTemperature < 294)
  }

  @Test("sense lines that open switch the heater off within one cycle")
  func senseOpen() {
    let bench = ready()
    bench.send("\(Self.chip);:SOUR:HEAT:TEMP 500;MODE TEMP")
    bench.wait(0.5)
    bench.device.openHeaterSense(true, at: bench.hands.now)
    bench.wait(0.0011)
    #expect(bench.ask(":SOUR:HEAT:MODE?") == "OFF")
    #expect(bench.ask(":SENS:HEAT?") == "9.910000E+37,9.910000E+37,9.910000E+37,9.910000E+37")
    #expect(bench.ask(":STAT:QUES:COND?") == "16")
    #expect(bench.error(after: "*WAI") == 306)
    #expect(bench.error(after: ":SOUR:HEAT:MODE TEMP") == -221)
  }

  // MARK: bias, list, protection

  @Test("a list of levels runs at its dwell after the trigger, and the output goes off on overcurrent")
  func list() {
    let bench = ready { $0.probe.gap = -1e-9 }
    bench.send(":OUTP ON;:SOUR:VOLT:LIST 0.1,0.2,0.3;:SOUR:LIST:DWEL 0.1;:TRIG:SOUR BUS;:INIT")
    bench.wait(0.05)
    #expect(Int(bench.ask(":STAT:OPER:COND?"))! & 1 << 5 != 0)
    bench.send("*TRG")
    bench.wait(0.35)
    let levels = bench.device.log.compactMap { if case .bias(let level) = $0.event { level } else { nil } }
    #expect(levels == [0.1, 0.2, 0.3])
    #expect(bench.error(after: "*TRG") == -211)
    // 0.3 V over 100 MΩ are 3 nA.
    bench.send(":SOUR:VOLT:PROT:CURR 1E-9")
    bench.wait(0.01)
    #expect(bench.device.state == .armed)
    #expect(bench.ask(":SOUR:VOLT:PROT:TRIP?") == "1")
    #expect(bench.error(after: ":OUTP ON") == -221)
    #expect(bench.error(after: ":SOUR:VOLT:PROT:CLE;:OUTP ON") == 0)
  }

  @Test("the meter is off while a range settles, and says so in its records")
  func settling() throws {
    let bench = ready { $0.probe.gap = 1e-6 }
    bench.send(":SENS:CURR:RANG 1E-10;APER 0.01;:OUTP ON")
    bench.wait(0.1)
    #expect(Int(bench.ask(":STAT:OPER:COND?"))! & 1 << 1 != 0)
    bench.wait(2)
    #expect(Int(bench.ask(":STAT:OPER:COND?"))! & 1 << 1 == 0)
    let records = bench.device.records.elements
    let first = try #require(records.first)
    let last = try #require(records.last)
    #expect(first.status & 4 != 0 && last.status & 4 == 0)
    #expect(abs(first.current_A) > 1e-12)
    #expect(abs(last.current_A) < 1e-12)
  }

  // MARK: inputs, guard, options

  @Test("without its guard a line leaks as much as its insulation lets it, and too much raises the bit")
  func guarded() {
    let bench = bench()
    bench.send(":SENS:GUAR OFF;:SENS:LEAK:LIM 1E-11;:SENS:LEAK:MEAS? 1")
    bench.hands.move(1)
    #expect(bench.read() == "3.600000E+10,2.777778E-11")
    #expect(bench.ask(":STAT:QUES:COND?") == "4096")
    bench.send(":SENS:GUAR ON;:SENS:LEAK:MEAS? 1")
    bench.hands.move(1)
    #expect(bench.read() == "2.000000E+12,5.000000E-13")
    #expect(bench.ask(":STAT:QUES:COND?") == "0")
  }

  @Test("blanking, force and auxiliary inputs answer with values and units")
  func inputs() throws {
    let bench = bench { $0.probe.gap = -5e-9 }
    bench.send(":OUTP:BLAN ON")
    #expect(bench.ask(":OUTP:BLAN?") == "1")
    #expect(cell.history.notes.contains("holder: beam blanked"))
    #expect(bench.ask(":SENS:FORC?") == "1.000000E-09")
    #expect(bench.ask(":SENS:AUX?") == "\"pressure\",2.100000E-05,\"Pa\",\"faraday_cup\",1.200000E-09,\"A\"")
    #expect(bench.ask("*OPT?") == "PIEZO,HEATER,FORCE,AUX,BLANK")
  }

  @Test("what is not fitted is refused as missing hardware")
  func notFitted() {
    let bench = bench { $0.options = [.blank] }
    #expect(bench.ask("*OPT?") == "BLANK")
    for command in [":SOUR:PIEZ:FINE:VOLT 0,0,1", ":SOUR:HEAT:MODE TEMP", ":SENS:FORC?", ":SENS:AUX?", ":SENS:CONT ON"]
    {
      #expect(bench.error(after: command) == -241, "\(command)")
    }
  }

  @Test("nothing moves or heats unless the holder is armed")
  func unarmed() {
    let bench = bench()
    bench.send(Self.chip)
    for command in [
      ":SOUR:PIEZ:FINE:VOLT 0,0,1", ":SOUR:PIEZ:COAR:STEP 1", ":SENS:CONT ON", ":SOUR:HEAT:MODE CURR",
    ] {
      #expect(bench.error(after: command) == -221, "\(command)")
    }
  }

  // MARK: states

  @Test("inserting grounds every contact, and the safe state does not let them float")
  func insert() {
    let bench = bench()
    bench.send(":SYST:INS ON")
    #expect(bench.ask(":ROUT:CLOS:STAT?") == "(@1!0:8!0)")
    #expect(bench.device.isShunted)
    bench.send(":SYST:SAF")
    #expect(bench.device.isShunted && bench.device.state == .insert)
    bench.send(":SYST:INS OFF")
    #expect(bench.ask(":ROUT:CLOS:STAT?") == "(@)")
    #expect(!bench.device.isShunted)
    let states = bench.device.log.map(\.event).filter { if case .bias = $0 { false } else { true } }
    #expect(states.suffix(4) == [.shunt(closed: true), .state(.insert), .state(.safeOpen), .shunt(closed: false)])
  }

  @Test("switched on with the key in INSERT the shunt bank is closed and arming is refused")
  func keyInInsert() {
    let bench = bench { $0.isKeyInInsert = true }
    #expect(bench.device.isShunted)
    #expect(bench.ask("*ESR?;:INT:STAT?") == "128;0,1,1,1")
    #expect(bench.error(after: ":SYST:ARM") == -221)
  }

  @Test("a high-voltage fault of the piezo is a hardware fault with its own error and bit")
  func highVoltage() {
    let bench = ready()
    bench.device.injectHighVoltageFault(at: bench.hands.now)
    #expect(bench.device.state == .fault)
    #expect(bench.ask(":SYST:ERR?;:STAT:QUES?") == "305,\"Piezo high voltage fault\";2048")
  }

  @Test("an edge starts what waits for one, of the slope that was chosen")
  func edgeTrigger() {
    let bench = ready()
    bench.send(":OUTP ON;:SOUR:VOLT:LIST 1,2;:TRIG:SOUR EXT;:TRIG:INP:SLOP NEG;:INIT")
    bench.device.edge(input: 1, rising: true, at: bench.hands.now)
    #expect(bench.device.log.allSatisfy { $0.event != .bias(1) })
    bench.device.edge(input: 1, rising: false, at: bench.hands.now)
    #expect(bench.device.log.contains { $0.event == .bias(1) })
  }

  @Test("a device clear while a block is read changes no output")
  func clearDuringBlock() {
    let bench = ready()
    bench.send(":OUTP ON;:SOUR:VOLT 1")
    bench.wait(0.2)
    bench.send(":FETC? 5")
    bench.instrument.clear(at: bench.hands.now)
    #expect(bench.device.state == .active)
    #expect(bench.ask(":ROUT:CLOS:STAT?;:SOUR:VOLT?") == "(@2!4,1!5);1.000000E+00")
    #expect(bench.read() == nil)
  }

  @Test("a pulled cable in the middle of a list opens everything within 20 ms")
  func unplugInSweep() throws {
    let bench = ready()
    bench.send(":OUTP ON;:SOUR:VOLT:LIST 0.1,0.2;:SOUR:LIST:DWEL 10;:INIT")
    bench.wait(0.1)
    let pulled = bench.hands.now
    bench.instrument.usbLost(at: pulled)
    bench.wait(0.1)
    let safe = bench.device.log.filter { $0.time >= pulled }
    #expect(safe.map(\.event).contains(.state(.safeOpen)))
    #expect(try #require(safe.last).time - pulled <= Seconds(0.02))
    #expect(bench.device.closedRelays.isEmpty)
  }
}
