import EmulatedUSB
import Quantities
import Testing

@testable import NanobatteryTwin

@Suite("OBH-1 holder twin")
struct OpenBiasingHolderTests {
  let cell = FakeCell()
  let bench: Bench<OpenBiasingHolder>

  init() {
    let cell = cell
    bench = Bench { OpenBiasingHolder(OpenBiasingHolder.Settings(), cell: cell, clock: FakeClock(), at: $0) }
    bench.wait(1)
  }

  private func connect() {
    bench.send(":SYST:ARM;:ROUT:CLOS (@1!1,2!2)")
    bench.wait(0.01)
  }

  /// Keeps the heartbeat going with a token that changes.
  private func beat(_ token: Int) { bench.send(":SYST:HEAR \(token)") }

  @Test("starts in SAFE_OPEN with power-on in the event register and every relay open")
  func powerOn() {
    #expect(bench.device.state == .safeOpen)
    #expect(bench.device.log.map(\.event) == [.state(.boot), .state(.safeOpen)])
    #expect(bench.ask("*ESR?;:ROUT:CLOS:STAT?;:SYST:SAF:CAUS?") == "128;(@);\"NONE\"")
    #expect(bench.ask("*IDN?") == "OPENHOLDER,OBH-1,000001,1.0.0")
    #expect(!cell.contactsClosed)
  }

  @Test("switching on and closing are refused before arming")
  func notArmed() {
    #expect(bench.error(after: ":OUTP ON") == -221)
    #expect(bench.error(after: ":ROUT:CLOS (@1!1)") == -221)
    #expect(bench.error(after: ":SOUR:VOLT 1") == -221)
    #expect(bench.ask(":ROUT:CLOS:STAT?") == "(@)")
    #expect(bench.error(after: ":SYST:ARM") == 0)
    #expect(bench.error(after: ":OUTP ON") == 0)
    #expect(bench.device.state == .active)
    #expect(bench.ask(":STAT:OPER:COND?") == "6160")  // output on, armed, measuring
    bench.send(":OUTP OFF")
    #expect(bench.device.state == .armed)
  }

  @Test("the cell is connected when both electrodes are at the taps of the source-measure unit")
  func contacts() {
    bench.send(":SYST:ARM;:ROUT:CLOS (@1!1)")
    bench.wait(0.01)
    #expect(!cell.contactsClosed)
    bench.send(":ROUT:CLOS (@2!2);*OPC?")
    #expect(bench.read() == nil, "relays settle first")
    bench.wait(0.002)
    #expect(bench.read() == "1")
    #expect(cell.contactsClosed)
    bench.send(":ROUT:OPEN (@2!2)")
    #expect(!cell.contactsClosed)
    #expect(bench.ask(":ROUT:CYCL? (@1!1,2!2,3!3)") == "1,1,0")
  }

  @Test("a line leaves its tap before it comes to another, or after, as the sequence says")
  func sequence() {
    connect()
    func moves(_ sequence: String, from: Int, to: Int) -> [OpenBiasingHolder.Event] {
      let before = bench.device.log.count
      bench.send(":ROUT:SEQ \(sequence);:ROUT:CLOS (@1!\(to))")
      bench.wait(0.01)
      return Array(bench.device.log[before...].map(\.event))
    }
    let three = SCPIChannel(1, 3)
    let one = SCPIChannel(1, 1)
    #expect(moves("BBM", from: 1, to: 3) == [.relay(one, closed: false), .relay(three, closed: true)])
    let times = bench.device.log.suffix(2).map(\.time)
    #expect((times[1] - times[0]).value == 2e-3)
    #expect(moves("MBB", from: 3, to: 1) == [.relay(one, closed: true), .relay(three, closed: false)])
  }

  @Test("a forbidden pair moves no relay at all")
  func forbidden() {
    connect()
    bench.send(":ROUT:FORB (@3!4|2!2)")
    #expect(bench.ask(":ROUT:FORB?") == "(@3!4|2!2)")
    let before = bench.device.log.count
    #expect(bench.error(after: ":ROUT:CLOS (@1!5,3!4)") == -221)
    bench.wait(0.01)
    #expect(bench.device.log.count == before)
    #expect(bench.ask(":ROUT:CLOS:STAT?") == "(@1!1,2!2)")
    #expect(bench.error(after: ":ROUT:CLOS (@3!5)") == 0)
  }

  @Test("the heartbeat expires at its time-out and not before", arguments: [(0.199, false), (0.201, true)])
  func heartbeat(after seconds: Double, expires: Bool) {
    bench.send(":SYST:HEAR:TIM 0.2")
    connect()
    beat(1)
    bench.wait(seconds)
    #expect(cell.contactsClosed != expires)
    #expect((bench.ask(":SYST:SAF:CAUS?") == "\"HEARTBEAT\"") == expires)
    #expect((bench.ask(":SYST:ERR?") == "301,\"Heartbeat lost\"") == expires)
  }

  @Test("other commands and the same token again keep nothing alive")
  func tokens() {
    bench.send(":SYST:HEAR:TIM 0.2")
    connect()
    beat(7)
    bench.wait(0.15)
    #expect(bench.error(after: ":SYST:HEAR 7") == -224)
    #expect(bench.error(after: ":SYST:HEAR 4294967296") == -222)
    #expect(bench.ask("*STB?") == "0")
    bench.wait(0.06)
    #expect(bench.device.state == .safeOpen)
    #expect(bench.ask(":SYST:HEAR:STAT?").hasSuffix(",7,1"))
    #expect(bench.error(after: "*CLS") == 0)
    // Locked until cleared.
    for command in [":SYST:ARM", ":OUTP ON", ":SOUR:VOLT 0", ":ROUT:CLOS (@1!1)"] {
      #expect(bench.error(after: command) == -221, "\(command)")
    }
    bench.send(":SYST:SAF:CLE;:SYST:ARM")
    #expect(bench.device.state == .armed)
    beat(8)
    bench.wait(0.19)
    beat(9)
    bench.wait(0.19)
    #expect(bench.device.state == .armed)
  }

  @Test("without a heartbeat it does not arm, and armed it cannot be switched off")
  func heartbeatIsNeeded() {
    bench.send(":SYST:HEAR:TIM 0")
    #expect(bench.error(after: ":SYST:ARM") == -221)
    bench.send(":SYST:HEAR:TIM 2;:SYST:ARM")
    #expect(bench.error(after: ":SYST:HEAR:TIM 0") == -221)
    #expect(bench.error(after: ":SYST:HEAR:TIM 0.1") == -222)
    #expect(bench.ask(":SYST:HEAR:TIM?") == "2.000000E+00")
  }

  @Test("to be safe it opens relays first and zeroes sources at least a millisecond later, within 20 ms")
  func safeOrder() throws {
    connect()
    bench.send(":OUTP ON;:SOUR:VOLT 1")
    bench.wait(0.5)
    let before = bench.device.log.count
    bench.send(":SYST:SAF")
    bench.send("*OPC?")
    #expect(bench.read() == nil)
    bench.wait(0.02)
    #expect(bench.read() == "1")
    let events = bench.device.log[before...]
    #expect(
      events.map(\.event) == [
        .relay(SCPIChannel(1, 1), closed: false), .relay(SCPIChannel(2, 2), closed: false), .state(.safeOpen), .bias(0),
      ])
    let gap = try #require(events.last).time - (try #require(events.first)).time
    #expect(gap.value >= 1e-3 && gap.value < 20e-3)
    #expect(bench.ask(":SYST:SAF:CAUS?") == "\"HOST\"")
    #expect(try #require(cell.history.notes.last).hasPrefix("holder: SAFE_OPEN cause HOST; relays open at "))
    #expect(bench.error(after: ":SYST:ARM") == 0, "the host's own wish locks nothing")
  }

  @Test("the interlock opens an active holder and must be good before it is cleared")
  func interlock() {
    connect()
    bench.send(":OUTP ON")
    bench.device.setInterlock(key: true, vacuum: false, holder: true, temperature: true, at: bench.hands.now)
    #expect(!cell.contactsClosed)
    #expect(bench.ask(":INT:STAT?;:SYST:SAF:CAUS?") == "1,0,1,1;\"INTERLOCK\"")
    #expect(bench.ask(":SYST:ERR?") == "302,\"Interlock open\"")
    #expect(bench.error(after: ":SYST:SAF:CLE") == -221)
    bench.device.setInterlock(key: true, vacuum: true, holder: true, temperature: true, at: bench.hands.now)
    #expect(bench.error(after: ":SYST:SAF:CLE;:SYST:ARM") == 0)
  }

  @Test("*RST while active is the safe state, and a pulled cable is one too")
  func resetAndUSBLoss() {
    connect()
    bench.send(":OUTP ON;*RST")
    #expect(bench.device.state == .safeOpen)
    #expect(!cell.contactsClosed)
    bench.wait(0.02)
    connect()
    #expect(cell.contactsClosed)
    bench.instrument.usbLost(at: bench.hands.now)
    #expect(!cell.contactsClosed)
    #expect(bench.ask(":SYST:SAF:CAUS?") == "\"USB\"")
    #expect(bench.error(after: ":SYST:ARM") == -221)
  }

  @Test("a hardware fault stays until it is cleared")
  func fault() {
    connect()
    bench.device.injectHardwareFault(at: bench.hands.now)
    #expect(bench.device.state == .fault)
    #expect(bench.ask(":SYST:ERR?") == "303,\"Hardware fault\"")
    #expect(bench.error(after: ":SYST:ARM") == -221)
    bench.send(":SYST:SAF:CLE;:SYST:ARM")
    #expect(bench.device.state == .armed)
  }

  @Test("inserting is for a safe holder only and refuses everything else")
  func insert() {
    bench.send(":SYST:INS ON")
    #expect(bench.device.state == .insert)
    for command in [":ROUT:CLOS (@1!1)", ":ROUT:OPEN (@1!1)", ":OUTP ON", ":SOUR:VOLT 1", ":SYST:ARM"] {
      #expect(bench.error(after: command) == -221, "\(command)")
    }
    bench.send(":SYST:INS OFF;:SYST:ARM")
    #expect(bench.error(after: ":SYST:INS ON") == -221)
  }

  @Test("grounding as safe action needs the word that there is no cell")
  func grounding() {
    #expect(bench.error(after: ":SYST:SAF:ACT GRO") == -221)
    #expect(bench.error(after: ":SYST:SAF:CELL NONE;ACT GRO") == 0)
    connect()
    bench.send(":SYST:SAF")
    bench.wait(0.02)
    #expect(bench.ask(":ROUT:CLOS:STAT?") == "(@1!0:2!0)")
  }

  @Test("leakage and offset want open relays and take their second")
  func leakage() {
    bench.send(":SENS:LEAK:MEAS? 1")
    #expect(bench.read() == nil)
    bench.hands.move(1)
    #expect(bench.read() == "2.000000E+12,5.000000E-13")
    bench.send(":SENS:CURR:OFFS:ACQ;*OPC?")
    bench.wait(1)
    #expect(bench.read() == "1")
    #expect(bench.ask(":SENS:CURR:OFFS?") == "4.000000E-14")
    connect()
    #expect(bench.error(after: ":SENS:LEAK:MEAS? 1") == -221)
    #expect(bench.error(after: ":SENS:CURR:OFFS:ACQ") == -221)
  }

  @Test("the clock gives microseconds, the frame number and the time since that frame began")
  func time() {
    bench.hands.move(2047.9995 * 1e-3 - 1)
    #expect(bench.ask(":SYST:TIME?") == "2047999,2047,999")
    bench.hands.move(1e-3)
    #expect(bench.ask(":SYST:TIME?") == "2048999,0,999", "11 bits")
  }

  @Test("a full queue keeps its oldest records and edges and says so")
  func overflow() {
    for _ in 0..<513 { bench.device.edge(input: 1, rising: true, at: bench.hands.now) }
    #expect(bench.ask(":STAT:QUES?") == "16384")
    bench.send(":SYST:TIME:EDGE?")
    let block = bench.instrument.response(at: bench.hands.now) ?? []
    #expect(Array(block.prefix(6)) == Array("#48192".utf8))
    #expect(block.count == 6 + 512 * 16 + 1)
    let first: [UInt8] = [0x40, 0x42, 0x0F, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0]
    #expect(Array(block[6..<22]) == first)
    #expect(bench.ask(":SYST:TIME:EDGE?") == "#10")
  }

  @Test("while active the meter gives one record per aperture")
  func records() {
    connect()
    bench.send(":SENS:CURR:APER 0.01;:OUTP ON")
    bench.wait(0.105)
    #expect(bench.ask(":FETC:COUN?") == "10")
    bench.send(":FETC? 2")
    #expect(bench.instrument.response(at: bench.hands.now)?.count == 4 + 64 + 1)
    #expect(bench.ask(":FETC:COUN?") == "8")
  }

  @Test("lines beyond 256 bytes are refused")
  func longLine() {
    #expect(bench.error(after: ":SYST:HEAR " + String(repeating: "1", count: 260)) == -363)
  }
}
