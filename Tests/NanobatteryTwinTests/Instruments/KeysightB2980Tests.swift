import Quantities
import Testing

@testable import NanobatteryTwin

@Suite("Keysight B2985A twin")
struct KeysightB2980Tests {
  let cell = FakeCell()
  let bench: Bench<KeysightB2980>

  init() {
    let cell = cell
    bench = Bench { now in
      var settings = KeysightB2980.Settings()
      settings.currentNoise = 0
      settings.voltageNoise = 0
      return KeysightB2980(settings, cell: cell, clock: FakeClock(), at: now)
    }
    bench.send(":FORM:ELEM:SENS VOLT,CURR;:SENS:CURR:APER 0.02")
  }

  private func measure() -> [Double] {
    bench.send(":MEAS?")
    bench.wait(0.02)
    return (bench.read() ?? "").split(separator: ",").compactMap { Double($0.drop { $0 == "+" }) }
  }

  @Test("nothing flows before the input is on, the source is on and its low is joined")
  func loop() {
    bench.send(":SENS:FUNC \"CURR\";:SOUR:VOLT 3.2")
    #expect(cell.terminal == .highImpedance)
    bench.send(":OUTP:LOW COMM;:OUTP ON")
    #expect(cell.terminal == .highImpedance)
    bench.send(":INP ON")
    guard case .voltage(let volts, currentLimit: 20e-3) = cell.terminal else {
      Issue.record("\(String(describing: cell.terminal))")
      return
    }
    #expect(abs(volts - 3.2) <= 350e-6, "steps of 700 µV")
    bench.send(":INP OFF")
    #expect(cell.terminal == .highImpedance)
    #expect(bench.error(after: ":OUTP:LOW FLO") == -221, "not with the output on")
  }

  @Test("as an ammeter with the source at 0 V it shorts the cell: the trap")
  func short() {
    bench.send(":SENS:FUNC \"CURR\";:OUTP:LOW COMM;:OUTP ON;:INP ON")
    #expect(cell.terminal == .voltage(0, currentLimit: 20e-3))
    bench.send(":OUTP:OFF:MODE ZERO;:OUTP OFF")
    #expect(cell.terminal == .voltage(0, currentLimit: 20e-3))
  }

  @Test("as a voltmeter it draws nothing, and reads source minus cell")
  func voltmeter() {
    bench.send(":SENS:FUNC \"VOLT\";:OUTP:LOW COMM;:SOUR:VOLT 1.4;:OUTP ON;:INP ON")
    #expect(cell.terminal == .current(0, voltageLimit: 1000))
    bench.wait(1)
    let row = measure()
    #expect(row.count == 2)
    #expect(abs(row[0] + 1.8) < 1e-4)
    #expect(row[1] == 9.91e37, "no current is measured")
  }

  @Test("the input is off by its zero until zero correct, which is wrong with a current flowing")
  func zero() {
    bench.send(":SENS:FUNC \"CURR\";:CURR:RANG 2E-9")
    bench.wait(1)
    #expect(abs(measure()[1] - 1e-12) < 5e-15)
    bench.send(":INP:ZCOR 1")
    #expect(bench.ask(":INP:ZCOR?") == "1")
    #expect(abs(measure()[1]) < 5e-15)
    bench.send(":INP:ZCOR 0;:OUTP:LOW COMM;:SOUR:VOLT 3.7;:OUTP ON;:INP ON")
    bench.wait(1)
    #expect(abs(measure()[1] - 501e-12) < 1e-12)
    bench.send(":INP:ZCOR 1")
    #expect(abs(measure()[1]) < 1e-12, "the current was taken for zero")
    bench.send(":INP OFF")
    bench.wait(1)
    #expect(abs(measure()[1] + 500e-12) < 1e-12)
    bench.send(":INP:ZCOR:ACQ")
    #expect(abs(measure()[1]) < 5e-15, "acquired anew")
  }

  @Test("zero correct before the range has settled is off by its tail, and a change of range drops it")
  func hastyZero() {
    bench.send(":SENS:FUNC \"CURR\";:CURR:RANG 2E-12")
    bench.wait(0.1)
    bench.send(":INP:ZCOR 1")
    bench.wait(30)
    #expect(measure()[1] < -10e-15)
    bench.send(":INP:ZCOR:ACQ")
    #expect(abs(measure()[1]) < 1e-17)
    bench.send(":CURR:RANG 2E-9;:CURR:RANG 2E-12")
    bench.wait(30)
    #expect(bench.ask(":INP:ZCOR?") == "1")
    #expect(abs(measure()[1] - 1e-15) < 1e-17)
  }

  @Test(
    "a range settles as slowly as the data sheet says",
    arguments: [("2E-12", 16.0), ("2E-10", 1.4), ("2E-9", 13e-3), ("2E-6", 550e-6)])
  func settling(range: String, time: Double) {
    let full = Double(range) ?? 1
    bench.send(":SENS:CURR:APER 1E-4;:SENS:FUNC \"CURR\";:CURR:RANG \(range)")
    #expect(bench.ask(":CURR:RANG?") == KeysightFormat.text(full))
    bench.send(":MEAS?")
    bench.wait(1e-4)
    let early = Double((bench.read() ?? "").split(separator: ",").last?.drop { $0 == "+" } ?? "") ?? 0
    #expect(early > full * 5e-3)
    bench.wait(time)
    bench.send(":MEAS?")
    bench.wait(1e-4)
    let late = Double((bench.read() ?? "").split(separator: ",").last?.drop { $0 == "+" } ?? "") ?? 1
    // Off by the zero of the input from then on.
    #expect(abs(late - full * 5e-4) < full * 1e-4)
  }

  @Test("high impedance exists in the 20 V range alone, and more than 21 V needs the interlock")
  func ranges() {
    bench.send(":OUTP:OFF:MODE HIZ;:SOUR:VOLT:RANG 1000")
    #expect(bench.ask(":OUTP:OFF:MODE?") == "NORM")
    #expect(bench.error(after: ":OUTP:OFF:MODE HIZ") == -221)
    #expect(bench.error(after: ":SOUR:VOLT 100") == -221)
    #expect(bench.ask(":SYST:INT:TRIP?") == "1")
    #expect(bench.error(after: ":SYST:BATT?") == -113, "the B2985A has none")
  }

  @Test("beyond its range a reading is infinite")
  func overflow() {
    bench.send(":SENS:FUNC \"CURR\";:CURR:RANG 2E-12;:OUTP:LOW COMM;:SOUR:VOLT 5;:OUTP ON;:INP ON")
    #expect(measure()[1] == 9.9e37)
  }
}
