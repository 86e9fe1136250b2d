import EmulatedUSB
import Quantities
import Testing

@testable import NanobatteryTwin

/// A device with a few commands of every kind.
private final class Gadget: SCPIDevice {
  let status = SCPIStatus()
  let identity = "MAKER,GADGET,1,0"
  let maximumMessage = 256
  var level = 1.0
  var busyUntil = MonotonicTime(nanoseconds: 0)
  var channels: [SCPIChannel] = []
  var text = ""

  func advance(to now: MonotonicTime) {}
  func operationsEnd(at now: MonotonicTime) -> MonotonicTime? { max(now, busyUntil) }
  func reset(at now: MonotonicTime) { level = 1 }
  func trigger(at now: MonotonicTime) {}

  static var commands: [SCPICommand<Gadget>] {
    [
      SCPICommand(
        ":SOURce:VOLTage[:LEVel]",
        set: { (gadget, call) throws(SCPIError) in gadget.level = try call.number(in: -5...5, default: 1) },
        query: { gadget, _ in .number(gadget.level) }),
      SCPICommand(":SOURce:VOLTage:LIMit", query: { _, _ in .text("5") }),
      SCPICommand(
        ":ROUTe:CLOSe",
        set: { (gadget, call) throws(SCPIError) in gadget.channels = try call.channels(lines: 1...8, taps: 0...9) }),
      SCPICommand(":NAME", set: { (gadget, call) throws(SCPIError) in gadget.text = try call.quoted() }),
      SCPICommand(
        ":SLOW",
        set: { gadget, call in gadget.busyUntil = call.time + Seconds(1) },
        query: { _, call in .later(call.time + Seconds(0.5), { _, time in Array("\(time.nanoseconds)".utf8) }) }),
    ]
  }
}

@Suite("SCPI interpreter")
struct SCPITests {
  private let bench = Bench { _ in Gadget() }

  @Test("short and long forms, optional nodes and any case reach the same command")
  func forms() {
    for header in ["SOUR:VOLT", ":source:voltage:level", ":SOUR:VOLT:LEV", "Sour:Voltage"] {
      #expect(bench.error(after: "\(header) 2.5") == 0)
      #expect(bench.device.level == 2.5)
      bench.send("*RST")
    }
    #expect(bench.error(after: ":SOURC:VOLT 1") == -113)
    #expect(bench.error(after: ":SOUR:VOLT:LIM 1") == -113)
  }

  @Test("after a semicolon a header without colon continues the path; common commands leave it alone")
  func paths() {
    #expect(bench.ask(":SOUR:VOLT 2;VOLT?;*STB?;VOLT:LIM?") == "2.000000E+00;0;5")
    #expect(bench.ask(":SOUR:VOLT 3;:SOUR:VOLT?") == "3.000000E+00")
    #expect(bench.error(after: ":SOUR:VOLT 3;SOUR:VOLT 4") == -113)
  }

  @Test("numbers are NR1, NR2, NR3 or MIN, MAX, DEF, and nothing else")
  func numbers() {
    for (text, value) in [("3", 3.0), ("-.5", -0.5), ("+2.5E-1", 0.25), ("MIN", -5), ("MAXIMUM", 5), ("DEF", 1)] {
      #expect(bench.error(after: ":SOUR:VOLT \(text)") == 0)
      #expect(bench.device.level == value)
    }
    for (text, error) in [("nan", -104), ("0x10", -104), ("inf", -104), ("5.1", -222), ("1e400", -104), ("", -109)] {
      #expect(bench.error(after: ":SOUR:VOLT \(text)") == error)
      #expect(bench.device.level == 1, "out of range changes nothing")
    }
  }

  @Test("strings keep their separators, channel lists expand within a tap")
  func arguments() {
    #expect(bench.error(after: ":NAME \"a;b,c (\"") == 0)
    #expect(bench.device.text == "a;b,c (")
    #expect(bench.error(after: ":NAME abc") == -151)
    #expect(bench.error(after: ":ROUT:CLOS (@1!1,2!2)") == 0)
    #expect(bench.device.channels == [SCPIChannel(1, 1), SCPIChannel(2, 2)])
    #expect(bench.error(after: ":ROUT:CLOS (@1!0:3!0)") == 0)
    #expect(bench.device.channels == [SCPIChannel(1, 0), SCPIChannel(2, 0), SCPIChannel(3, 0)])
    #expect(bench.error(after: ":ROUT:CLOS (@1!0:3!1)") == -102)
    #expect(bench.error(after: ":ROUT:CLOS (@9!0)") == -222)
    #expect(bench.error(after: ":ROUT:CLOS (@)") == -102)
  }

  @Test("a command error ends the message, other errors do not")
  func errorScope() {
    bench.send(":SOUR:VOLT 9;:SOUR:VOLT 2")
    #expect(bench.device.level == 2)
    bench.send(":BAD 9;:SOUR:VOLT 3")
    #expect(bench.device.level == 2)
    #expect(bench.ask(":SYST:ERR:COUN?") == "2")
    #expect(bench.ask(":SYST:ERR?") == "-222,\"Data out of range\"")
    #expect(bench.ask(":SYST:ERR?") == "-113,\"Undefined header\"")
    #expect(bench.ask(":SYST:ERR?") == "0,\"No error\"")
  }

  @Test("a full error queue ends with -350")
  func overflow() {
    for _ in 0..<40 { bench.send(":BAD") }
    #expect(bench.ask(":SYST:ERR:COUN?") == "32")
    for _ in 0..<31 { #expect(bench.ask(":SYST:ERR?").hasPrefix("-113")) }
    #expect(bench.ask(":SYST:ERR?").hasPrefix("-350"))
  }

  @Test("the event register names power-on and each class of error, and is cleared by reading")
  func events() {
    #expect(bench.ask("*ESR?") == "128")
    bench.send(":BAD")
    bench.send(":SOUR:VOLT 9")
    #expect(bench.ask("*ESR?") == "48")
    #expect(bench.ask("*ESR?") == "0")
    bench.send("*ESE 32;*SRE 32;:BAD")
    #expect(bench.ask("*STB?") == "100")  // EAV, ESB, MSS
    bench.send("*CLS")
    #expect(bench.ask("*STB?") == "0")
  }

  @Test("a slow query answers when its time has come, and what follows it waits")
  func slow() {
    bench.send(":SLOW?;:SOUR:VOLT 2;VOLT?")
    #expect(bench.read() == nil)
    #expect(bench.device.level == 1)
    bench.hands.move(0.7)
    #expect(bench.read() == "500000000;2.000000E+00")
  }

  @Test("*OPC? and *OPC wait for the end of what was started")
  func completion() {
    bench.send("*CLS")
    bench.send(":SLOW;*OPC;*OPC?")
    bench.wait(0.9)
    #expect(bench.read() == nil)
    #expect(bench.device.status.event & 1 == 0)
    bench.wait(0.2)
    #expect(bench.read() == "1")
    #expect(bench.device.status.event & 1 == 1)
  }

  @Test("control characters and lines beyond the limit are refused whole")
  func garbage() {
    bench.instrument.receive([58, 83, 1, 200, 10], at: bench.hands.now)
    #expect(bench.ask(":SYST:ERR?").hasPrefix("-101"))
    #expect(bench.error(after: ":NAME \"" + String(repeating: "x", count: 300) + "\"") == -363)
  }

  @Test("the text forms of numbers are those of the fact sheets")
  func text() {
    #expect(SCPIText.scientific(2e-12) == "2.000000E-12")
    #expect(SCPIText.scientific(3.291543) == "3.291543E+00")
    #expect(SCPIText.scientific(-0.0) == "0.000000E+00")
    #expect(SCPIText.scientific(.infinity) == "9.900000E+37")
    #expect(SCPIText.block(Array("ab".utf8)) == Array("#12ab".utf8))
  }
}
