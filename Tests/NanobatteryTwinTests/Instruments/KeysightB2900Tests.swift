import Quantities
import Testing

@testable import NanobatteryTwin

@Suite("Keysight B2900A twin")
struct KeysightB2900Tests {
  let cell = FakeCell()
  let bench: Bench<KeysightB2900>
  let clock = FakeClock(offset: 3_700_000_000, rate: 1.00005)

  init() {
    let cell = cell
    let clock = clock
    bench = Bench { now in
      var settings = KeysightB2900.Settings()
      settings.model = "B2912A"
      settings.currentNoise = 0
      settings.voltageNoise = 0
      settings.settlingShare = 0
      return KeysightB2900(settings, cell: cell, clock: clock, at: now)
    }
  }

  private func sourceCurrent(_ amperes: String) {
    bench.send(":OUTP:ON:AUTO 0;:OUTP:OFF:MODE HIZ;:SOUR:FUNC:MODE CURR;:SOUR:CURR:RANG 1E-8;:SOUR:CURR \(amperes)")
    bench.send(":SENS:VOLT:PROT 5;:SENS:VOLT:RANG 20;:SENS:CURR:RANG 1E-8;:SENS:CURR:APER 0.01")
    bench.send(":FORM:ELEM:SENS VOLT,CURR,TIME,STAT;:OUTP ON")
  }

  @Test("says who it is, and that nothing is wrong, as this maker does")
  func identity() {
    #expect(bench.ask("*IDN?").hasPrefix("Agilent Technologies,B2912A,MY"))
    #expect(bench.ask(":SYST:ERR?") == "+0,\"No error\"")
    #expect(bench.ask(":SYST:ERR:ALL?") == "+0,\"No error\"")
    bench.send(":BAD")
    bench.send(":SENS:CURR:APER 100")
    #expect(bench.ask("*STB?") == "4", "the error queue is not empty")
    #expect(bench.ask(":SYST:ERR:ALL?") == "-113,\"Undefined header\",-222,\"Data out of range\"")
    #expect(bench.ask(":SYST:ERR:ALL?") == "+0,\"No error\"")
    #expect(bench.error(after: ":SOUR3:VOLT 1") == -113)
  }

  @Test("after a reset INIT switches the output on by itself, and off is 0 V before the relay opens: both traps")
  func traps() {
    #expect(bench.ask(":OUTP:ON:AUTO?;:OUTP:OFF:MODE?") == "1;NORM")
    bench.send(":SOUR:VOLT 3.2;:TRIG:SOUR TIM;:TRIG:TIM 0.01;:TRIG:COUN 3;:INIT (@1)")
    #expect(bench.ask(":OUTP?") == "1")
    #expect(cell.terminal == .voltage(3.2, currentLimit: 1e-4))
    bench.send(":OUTP OFF")
    #expect(cell.terminal == .voltage(0, currentLimit: 1e-4), "discharges the cell")
    bench.wait(0.01)
    #expect(cell.terminal == .highImpedance)
  }

  @Test("with ON:AUTO 0 INIT leaves the output off, and its readings are not a number")
  func noAuto() {
    bench.send(":OUTP:ON:AUTO 0;:FORM:ELEM:SENS VOLT,CURR;:TRIG:SOUR TIM;:TRIG:TIM 0.01;:TRIG:COUN 1;:INIT")
    bench.wait(0.1)
    #expect(bench.ask(":OUTP?") == "0")
    #expect(bench.ask(":FETC:ARR? (@1)") == "+9.910000E+37,+9.910000E+37")
  }

  @Test("high impedance keeps off from being 0 V, ZERO stays there")
  func offModes() {
    bench.send(":OUTP:OFF:MODE HIZ;:SOUR:VOLT 3.2;:OUTP ON;:OUTP OFF")
    #expect(cell.terminal == .highImpedance)
    #expect(!cell.history.terminals.contains { $0.terminal == .voltage(0, currentLimit: 1e-4) })
    bench.send(":OUTP:OFF:MODE ZERO")
    bench.wait(1)
    #expect(cell.terminal == .voltage(0, currentLimit: 1e-4))
  }

  @Test("an emergency is 0 V and an open relay even with high impedance set")
  func emergency() {
    bench.send(":OUTP:OFF:MODE HIZ;:OUTP:PROT 1;:SOUR:VOLT 3.2;:SENS:CURR:PROT 1E-10;:OUTP ON")
    bench.send(":FORM:ELEM:SENS STAT")
    bench.send(":SOUR:VOLT 5;:MEAS?")
    bench.wait(0.01)
    #expect(bench.read() == "+2.000000E+00")
    #expect(
      cell.history.terminals.suffix(2).first?.terminal == .voltage(0, currentLimit: 1e-10)
        || cell.terminal == .voltage(0, currentLimit: 1e-10))
    bench.wait(0.01)
    #expect(cell.terminal == .highImpedance)
    #expect(bench.ask(":OUTP?") == "0")
  }

  @Test("the timer counts on the instrument's clock; a stamp is the beginning of its aperture")
  func stamps() {
    sourceCurrent("2E-12")
    bench.send(":SYST:TIME:TIM:COUN:RES:AUTO 0;:SYST:TIME:TIM:COUN:RES")
    bench.wait(1)
    bench.send(":TRIG:ACQ:SOUR TIM;:TRIG:ACQ:TIM 0.02;:TRIG:ACQ:COUN 5;:INIT:ACQ (@1)")
    bench.wait(0.0099)
    #expect(bench.ask(":SYST:DATA:QUAN? (@1)") == "0")
    bench.wait(0.0002)
    #expect(bench.ask(":SYST:DATA:QUAN? (@1)") == "1")
    bench.wait(1)
    #expect(bench.ask(":SYST:DATA:QUAN? (@1)") == "5")
    bench.send(":FORM:ELEM:SENS TIME")
    #expect(bench.ask(":SENS:DATA? 0,2") == "+1.000050E+00,+1.020050E+00")
    #expect(bench.ask(":SENS:DATA? 4") == "+1.080050E+00")
    #expect(bench.ask(":SENS:DATA? 5") == "+9.910000E+37", "no data: not a number")
    bench.send(":FORM:ELEM:SENS STAT,CURR,VOLT")
    #expect(bench.ask(":SENS1:DATA? 1,1") == "+3.202000E+00,+2.000000E-12,+1.000000E+00", "in its own order")
  }

  @Test("binary blocks: doubles, least byte first when swapped, with a line feed after")
  func blocks() throws {
    sourceCurrent("2E-12")
    bench.send(":FORM:ELEM:SENS VOLT;:FORM REAL,64;:FORM:BORD SWAP;:TRIG:SOUR TIM;:TRIG:COUN 2;:INIT")
    bench.wait(0.1)
    bench.send(":SENS:DATA? 0,2")
    let bytes = try #require(bench.instrument.response(at: bench.hands.now))
    #expect(Array(bytes.prefix(4)) == Array("#216".utf8))
    #expect(bytes.count == 4 + 16 + 1 && bytes.last == 10)
    let first = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[4 + $1]) << UInt64(8 * $1) }
    #expect(abs(Double(bitPattern: first) - 3.202) < 1e-5)
    bench.send(":FORM:BORD NORM;:FORM REAL,32;:SENS:DATA? 0,1")
    let short = try #require(bench.instrument.response(at: bench.hands.now))
    let bits = short[3..<7].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    #expect(abs(Float(bitPattern: bits) - 3.202) < 1e-5)
    #expect(Array(short.prefix(3)) == Array("#14".utf8))
  }

  @Test("compliance and over-range are in the status word")
  func status() {
    sourceCurrent("5E-9")
    bench.send(":FORM:ELEM:SENS VOLT,CURR,STAT;:MEAS? (@1)")
    bench.wait(0.02)
    #expect(bench.read() == "+5.000000E+00,+1.800000E-09,+3.000000E+00")
    #expect(bench.ask(":SENS:VOLT:PROT:TRIP?") == "1")
    bench.send(":SENS:VOLT:RANG 2;:SOUR:CURR 0;:MEAS? (@1)")
    bench.wait(0.02)
    #expect(bench.read() == "+9.900000E+37,+0.000000E+00,+8.193000E+03")
  }

  @Test("channel 2 is another one, and is not at the cell")
  func channels() {
    bench.send(":OUTP2:OFF:MODE HIZ;:SOUR2:VOLT 1;:OUTP2 ON")
    #expect(bench.ask(":OUTP2?;:OUTP1?;:SOUR2:VOLT?;:SOUR1:VOLT?") == "1;0;+1.000000E+00;+0.000000E+00")
    #expect(cell.terminal == .highImpedance)
    bench.send(":INIT:ACQ (@1:2)")
    #expect(bench.error(after: ":INIT:ACQ (@2)") == -213 || bench.ask(":SYST:DATA:QUAN? (@2)") == "1")
    #expect(bench.error(after: ":INIT (@3)") == -114)
  }

  @Test("a pulse on a line begins a reading each")
  func line() {
    sourceCurrent("0")
    bench.send(":SOUR:DIG:EXT3:FUNC TINP;:TRIG:ACQ:SOUR EXT3;:TRIG:ACQ:COUN 10;:INIT:ACQ")
    bench.wait(1)
    #expect(bench.ask(":SYST:DATA:QUAN?") == "0")
    bench.device.triggers[0].pulse(.external(3), at: bench.hands.now)
    bench.wait(0.02)
    #expect(bench.ask(":SYST:DATA:QUAN?") == "1")
  }
}
