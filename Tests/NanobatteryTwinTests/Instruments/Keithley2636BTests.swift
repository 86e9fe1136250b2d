import EmulatedUSB
import Quantities
import Testing

@testable import NanobatteryTwin

@Suite("Keithley 2636B twin")
final class Keithley2636BTests {
  let cell = FakeCell()
  let hands = Hands()
  var smu: Keithley2636B

  init() { smu = Self.make(cell, hands) }

  private static func make(_ cell: FakeCell, _ hands: Hands, _ model: TSPModel = .k2636B) -> Keithley2636B {
    var settings = Keithley2636B.Settings()
    settings.model = model
    settings.currentNoise = 0
    settings.voltageNoise = 0
    settings.settlingShare = 0
    return Keithley2636B(settings, cell: cell, clock: FakeClock(offset: 3_700_000_000), at: hands.now)
  }

  private func send(_ lines: String...) {
    for line in lines { smu.receive(Array((line + "\n").utf8), at: hands.now) }
  }

  private func wait(_ seconds: Double) {
    for _ in 0..<Int((seconds / 0.001).rounded(.up)) {
      hands.move(0.001)
      smu.tick(hands.now)
    }
  }

  private func read() -> String? {
    smu.response(at: hands.now).map { String(decoding: $0.dropLast(), as: UTF8.self) }
  }

  private func ask(_ line: String) -> String {
    send(line)
    wait(0.002)
    return read() ?? "no answer"
  }

  private func error() -> String { ask("print(errorqueue.next())") }

  /// A current of so many A into the cell, on the 1 nA range.
  private func sourceCurrent(_ current: String) {
    send(
      "smua.source.offmode = smua.OUTPUT_HIGH_Z", "smua.source.func = smua.OUTPUT_DCAMPS", "smua.source.rangei = 1e-9",
      "smua.source.limitv = 5", "smua.source.leveli = \(current)", "smua.measure.rangev = 20", "smua.source.output = 1")
    wait(0.002)
  }

  @Test("says who it is, in numbers as it prints them")
  func identity() {
    #expect(ask("*IDN?") == "Keithley Instruments Inc., Model 2636B, 4012345, 3.3.5")
    #expect(ask("print(localnode.model)") == "2636B")
    #expect(ask("print(localnode.linefreq)") == "5.00000e+01")
    #expect(ask("format.asciiprecision = 10 print(1/3, true, nil)") == "3.333333333e-01\ttrue\tnil")
    #expect(ask("printnumber(1, 2)") == "1.000000000e+00, 2.000000000e+00")
  }

  @Test("errors are the instrument's, tab separated, and the queue empties")
  func errors() {
    send("x = = 1", "smua.nosuch = 1", "nothing()", "smua.source.limiti = 1e-12", "smua.source.levelv = 1e4")
    wait(0.01)
    let queue = (0..<6).map { _ in error() }
    #expect(
      queue[0] == "-2.85000e+02\tTSP Syntax error at line 1: unexpected symbol near '='\t2.00000e+01\t1.00000e+00")
    #expect(queue[1].hasPrefix("-2.86000e+02\tTSP Runtime error at line 1: cannot set smua.nosuch"))
    #expect(queue[2].hasPrefix("-2.86000e+02\tTSP Runtime error at line 1: attempt to call global 'nothing'"))
    #expect(queue[3].hasPrefix("1.10100e+03\tParameter too small"))
    #expect(queue[4].hasPrefix("1.10200e+03\tParameter too big"))
    #expect(queue[5] == "0.00000e+00\tQueue Is Empty\t0.00000e+00\t0.00000e+00")
  }

  @Test("what is off shows what its mode says; a reset goes back to 0 V")
  func offModes() {
    #expect(cell.terminal == .voltage(0, currentLimit: 1e-3), "as it comes: that discharges a cell")
    send("smua.source.offmode = smua.OUTPUT_HIGH_Z")
    #expect(cell.terminal == .highImpedance)
    sourceCurrent("2e-12")
    guard case .current(let current, 5) = cell.terminal else {
      Issue.record("the terminals show \(String(describing: cell.terminal))")
      return
    }
    #expect(abs(current - 2e-12) < 1e-20)
    send("smua.source.output = 0")
    #expect(cell.terminal == .highImpedance)
    send("smua.reset()")
    #expect(cell.terminal == .voltage(0, currentLimit: 1e-3))
  }

  @Test("a reading takes its aperture, and is what the cell is")
  func reading() {
    sourceCurrent("2e-12")
    send("print(smua.measure.iv())")
    wait(0.015)
    #expect(read() == nil, "one cycle of 50 Hz is not over")
    wait(0.010)
    #expect(read() == "2.00000e-12\t3.20200e+00")
    #expect(ask("print(status.measurement.instrument.smua.condition)") == "0.00000e+00")
    send("smua.source.leveli = 1e-9", "smua.source.limitv = 4")
    wait(0.005)
    #expect(ask("print(smua.source.compliance)") == "true")
  }

  @Test("the 100 pA range measures only, and the model for less money has none")
  func lowestRange() {
    send("smua.measure.rangei = 1e-10", "smua.source.rangei = 1e-10")
    #expect(ask("print(smua.measure.rangei, smua.source.rangei)") == "1.00000e-10\t1.00000e-09")
    smu = Self.make(cell, hands, .k2634B)
    #expect(ask("smua.measure.rangei = 1e-10 print(smua.measure.rangei)") == "1.00000e-09")
    #expect(ask("print(digio)") == "nil")
    smu = Self.make(cell, hands, .k2635B)
    #expect(ask("print(smub)") == "nil")
  }

  @Test("buffers collect readings with stamps of the instrument's clock")
  func buffers() {
    sourceCurrent("2e-12")
    send("smua.nvbuffer1.clear() smua.nvbuffer1.appendmode = 1", "for k = 1, 3 do smua.measure.v(smua.nvbuffer1) end")
    wait(0.1)
    #expect(ask("print(smua.nvbuffer1.n)") == "3.00000e+00")
    let times = ask("format.asciiprecision = 9 printbuffer(1, 3, smua.nvbuffer1.timestamps)").split(separator: ",")
      .compactMap { Double($0.drop { $0 == " " }) }
    #expect(times.count == 3)
    #expect(zip(times, times.dropFirst()).allSatisfy { abs($1 - $0 - 0.02032) < 1e-5 })
    #expect(ask("printbuffer(1, 1, smua.nvbuffer1)") == "3.20200000e+00")
  }

  @Test("a script is loaded once and run by its name; while it runs lines wait, and abort does not")
  func scripts() {
    send(
      "loadscript blink", "function count(most)", "  for k = 1, most do", "    delay(0.01)", "  end", "  print('done')")
    send("end", "endscript", "blink()", "count(3)", "print('next')")
    wait(0.02)
    #expect(read() == nil)
    wait(0.02)
    #expect([read(), read()] == ["done", "next"])
    send("count(1000)", "print('after')")
    wait(0.05)
    #expect(smu.isBusy)
    send("abort")
    wait(0.002)
    #expect(read() == "after", "and what was queued is done then")
    send("loadscript bad", "function (", "endscript")
    wait(0.002)
    #expect(error().hasPrefix("-2.85000e+02\tTSP Syntax error at line 1"))
  }

  @Test("a trigger is *TRG or the TRIGGER message, is remembered, and is seen once")
  func triggers() {
    send("trigger.clear()")
    smu.trigger(at: hands.now)
    #expect(ask("print(trigger.wait(0), trigger.wait(0))") == "true\tfalse")
    send("print(trigger.wait(1))")
    wait(0.5)
    #expect(read() == nil)
    send("*TRG")
    wait(0.001)
    #expect(read() == "true")
    send("print(trigger.wait(0.1))")
    wait(0.11)
    #expect(read() == "false")
  }

  @Test("a script that prints with nobody reading stands still: nothing it should watch is watched")
  func fullQueue() {
    send("k = 0 while true do k = k + 1 print(string.rep('x', 100)) end")
    wait(0.05)
    #expect(smu.isBusy)
    #expect(smu.statusByte(at: hands.now) & 0x10 != 0)
    var lines = 0
    while read() != nil, lines < 50 { lines += 1 }
    #expect(lines == 50, "reading lets it go on")
    send("abort")
  }

  @Test(
    "a script cannot hang the twin",
    arguments: [
      "while true do end", "while true do x = smua.source.levelv end", "while true do trigger.wait(0) end",
      "while true do pcall(function() while true do end end) end", "local function f() return f() end f()",
    ])
  func endless(line: String) {
    send(line)
    wait(0.02)
    #expect(smu.isBusy)
    send("abort", "print('free')")
    wait(0.002)
    #expect(read() == "free")
  }

  @Test("what would reach outside the instrument is not there")
  func sandbox() {
    #expect(ask("print(io, coroutine, debug, dofile, instrument, os.execute)") == "nil\tnil\tnil\tnil\tnil\tnil")
  }

  @Test("a second command before the answer is read is an interrupted query")
  func interrupted() {
    send("print(1)")
    wait(0.001)
    smu.dropResponse(.interrupted, at: hands.now)
    #expect(error().hasPrefix("-4.10000e+02\tQuery interrupted"))
    smu.dropResponse(.unterminated, at: hands.now)
    #expect(error().hasPrefix("-4.20000e+02\tQuery unterminated"))
  }

  @Test("its clock is a counter of microseconds that only a reset of the timer sets back")
  func clock() {
    hands.move(1)
    smu.tick(hands.now)
    #expect(ask("format.asciiprecision = 8 print(os.clock())").hasPrefix("4.7"))
    send("timer.reset()")
    wait(0.1)
    let time = Double(ask("print(timer.measure.t())")) ?? 0
    #expect(abs(time - 0.1) < 0.003)
  }
}
