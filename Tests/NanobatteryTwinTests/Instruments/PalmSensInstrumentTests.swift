import Quantities
import Testing

@testable import NanobatteryTwin

/// A conversation with an instrument at times that the test chooses.
private final class Talk {
  let hands = Hands()
  let cell = FakeCell()
  let instrument: MethodScriptInstrument

  init(_ hardware: PalmSensHardware = .emStat4LR, emptyLine: Bool = true) {
    var settings = MethodScriptInstrument.Settings()
    settings.common.currentNoise = 0
    settings.endsErrorsWithEmptyLine = emptyLine
    instrument = MethodScriptInstrument(hardware, settings, cell: cell, clock: FakeClock())
    _ = instrument.transmit(100, at: hands.now)
  }

  /// Sends text, waits, and takes what came.
  func say(_ text: String, wait: Double = 0) -> [String] {
    instrument.receive(Array((text + "\n").utf8), at: hands.now)
    return listen(wait)
  }

  func listen(_ seconds: Double) -> [String] {
    hands.move(seconds)
    instrument.tick(hands.now)
    let text = String(decoding: instrument.transmit(1 << 20, at: hands.now), as: UTF8.self)
    return text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
  }

  /// Runs a script and waits for it.
  func run(_ lines: [String], wait: Double = 1) -> [String] {
    say((["e"] + lines + [""]).joined(separator: "\n"), wait: wait)
  }
}

private let on = ["var p", "var c", "set_pgstat_mode 2", "set_range ba 10n", "set_e 500m", "cell_on"]

@Suite("MethodSCRIPT instrument of the twin")
struct PalmSensInstrumentTests {
  @Test("Identity commands answer as captured")
  func identity() {
    let talk = Talk()
    #expect(talk.say("t") == ["tes4_lr1500#Mar 12 2026 14:28:01", "R*"])
    #expect(talk.say("i") == ["iES4LR20B0008"])
    #expect(talk.say("v") == ["v01.09.00"])
    #expect(talk.say("CC").first?.utf8.count == 66)
    #expect(talk.say("") == [])
  }

  @Test("Idle, run-time commands are refused, and for 100 ms nothing is heard")
  func deaf() {
    let talk = Talk()
    #expect(talk.say("Z") == ["Z!0006"])
    #expect(talk.say("t", wait: 0.05) == [])
    #expect(talk.say("t", wait: 0.06) == [])
    #expect(talk.say("i") == ["iES4LR20B0008"])
    #expect(talk.say("q") == ["q!0003"])
    _ = talk.listen(0.2)
    #expect(talk.say("r") == ["r!000C"])
  }

  @Test(
    "Scripts are checked, and errors name line and column",
    arguments: [
      (["var p", "wrong_command"], "!4001: Line 2, Col 1"), (["set_e 1.5"], "!4004: Line 1, Col 7"),
      (["set_e x"], "!420B: Line 1, Col 7"), (["var p", "var p"], "!4026: Line 2, Col 5"),
      (["set_e 1x"], "!4039: Line 1, Col 7"), (["pck_add p"], "!401B: Line 1, Col 1"),
      (["breakloop"], "!400C: Line 1, Col 1"), (["endloop"], "!400C: Line 1, Col 1"),
    ])
  func checked(lines: [String], error: String) {
    #expect(Talk().say((["l"] + lines + [""]).joined(separator: "\n")) == ["l" + error])
  }

  @Test("A loop that does not end, and one inside another, are refused")
  func loops() {
    #expect(Talk().say("l\nvar p\nvar c\nmeas_loop_ca p c 0 100m 1\n").first?.hasPrefix("l!4018") == true)
    let nested = "l\nvar p\nvar c\nmeas_loop_ca p c 0 100m 1\nmeas_loop_ocp p 100m 1\n"
    #expect(Talk().say(nested).first?.hasPrefix("l!400B") == true)
  }

  @Test("A line beyond 255 characters is refused")
  func longLine() { #expect(Talk().say(String(repeating: "x", count: 256)) == ["x!0008"]) }

  @Test("Loading energises nothing; running does")
  func loadAndRun() {
    let talk = Talk()
    #expect(talk.say((["l"] + on + [""]).joined(separator: "\n")) == ["l"])
    #expect(!talk.instrument.isCellOn)
    #expect(talk.say("r", wait: 0.1) == ["r", ""])
    #expect(talk.instrument.isCellOn && talk.cell.terminal == .voltage(0.5, currentLimit: 29.2e-9))
  }

  @Test("A held voltage gives a package per interval with what flows")
  func amperometry() throws {
    let talk = Talk()
    let body = ["meas_loop_ca p c 500m 100m 1", "pck_start", "pck_add p", "pck_add c", "pck_end", "endloop"]
    let lines = talk.run(on + body + ["on_finished:", "cell_off"], wait: 1.1)
    #expect(lines.first == "e" && lines[1] == "M0007" && lines.suffix(2) == ["*", ""])
    #expect(lines.filter { $0.hasPrefix("P") }.count == 10)
    // (0.5 − 3.2) V / 1 GΩ in steps of 0.92 pA on the 10 nA range, number 6.
    let current = (-2.7e-9 / 0.92e-12).rounded() * 0.92e-12
    let digits = MethodScriptText.value(current, isInteger: false)
    #expect(lines[3] == "Pda" + MethodScriptText.value(0.5, isInteger: false) + ";ba\(digits),10,206,40")
    #expect(!talk.instrument.isCellOn)
  }

  @Test("A runtime error skips on_finished and leaves the cell on", arguments: [true, false])
  func runtimeError(emptyLine: Bool) {
    let talk = Talk(emptyLine: emptyLine)
    let lines = talk.run(on + ["meas_loop_ocp p 100m 1", "endloop", "on_finished:", "cell_off"])
    #expect(lines == ["e", "!0014: Line 7"] + (emptyLine ? [""] : []))
    #expect(talk.instrument.isCellOn && !talk.instrument.isRunning)
    #expect(talk.run(["cell_off"], wait: 0.1) == ["e", ""])
    #expect(!talk.instrument.isCellOn)
  }

  @Test(
    "Runtime errors have their codes",
    arguments: [
      (["var x", "div_var x 0"], "0028"), (["set_pgstat_mode 7"], "0021"), (["set_pgstat_mode 2", "set_e 4"], "000F"),
      (["var p", "var c", "set_pgstat_mode 2", "meas_loop_ca p c 0 100m 1", "endloop"], "4027"),
      (["var p", "var c", "set_pgstat_mode 2", "cell_on", "meas_loop_cp p c 0 100m 1", "endloop"], "0023"),
      (["var p", "var c", "set_pgstat_mode 2", "cell_on", "meas_loop_lsv p c 0 1m 10m 1", "endloop"], "4029"),
    ])
  func codes(lines: [String], code: String) {
    #expect(Talk().run(lines)[1].hasPrefix("!\(code): Line \(lines.count - (lines.last == "endloop" ? 1 : 0))"))
  }

  @Test("The Pico has no galvanostat, a window of potentials, and reports no noise")
  func pico() {
    #expect(Talk(.emStatPico).run(["set_pgstat_mode 6"])[1] == "!0021: Line 1")
    #expect(Talk(.emStatPico).run(["set_pgstat_mode 2", "set_range_minmax da -1250m 2"])[1] == "!000F: Line 2")
    let body = ["meas_loop_ca p c 500m 100m 100m", "pck_start", "pck_add c", "pck_end", "endloop"]
    let line = Talk(.emStatPico).run(on + body)[2]
    #expect(line.hasSuffix(",10,200") || line.hasSuffix(",14,200"), "\(line)")
  }

  @Test("A range too small overloads, one too large is underloaded")
  func load() {
    func status(_ range: String) -> Character? {
      var lines = on
      lines[3] = "set_range ba \(range)"
      let body = ["meas_loop_ca p c 500m 100m 100m", "pck_start", "pck_add c", "pck_end", "endloop"]
      let line = Talk().run(lines + body)[2]
      return line.split(separator: ",").dropFirst().first?.last
    }
    // 2.7 nA.
    #expect(status("1n") == "8")
    #expect(status("10n") == "0")
    #expect(status("100n") == "4")
    let talk = Talk()
    var far = on
    far[3] = "set_range ba 1n"
    far[4] = "set_e 0"
    let lines = talk.run(far + ["meas_loop_ca p c 0 100m 100m", "pck_start", "pck_add c", "pck_end", "endloop"])
    #expect(lines[2].contains(",12,"), "3.2 nA is beyond 2.92 nA: \(lines[2])")
  }

  @Test("Running, it takes Z, Y, h and H and refuses the rest")
  func whileRunning() {
    let talk = Talk()
    let script =
      on + ["meas_loop_ca p c 500m 100m 100", "endloop", "send_string \"after\"", "on_finished:", "cell_off"]
    #expect(talk.run(script, wait: 0.25) == ["e", "M0007"])
    #expect(talk.say("t") == ["t!0006"])
    _ = talk.listen(0.2)
    #expect(talk.say("h", wait: 10) == ["h"])
    #expect(talk.say("H", wait: 0.5) == ["H"])
    #expect(talk.say("Y", wait: 0.1) == ["Y", "*", "Tafter", ""])
    #expect(!talk.instrument.isCellOn)
    #expect(talk.run(script, wait: 0.25) == ["e", "M0007"])
    #expect(talk.say("Z", wait: 0.1) == ["Z", "*", ""])
    #expect(!talk.instrument.isCellOn)
  }

  @Test("Without its cable the script goes on and the cell stays polarised")
  func usbLost() {
    let talk = Talk()
    _ = talk.run(on + ["wait 10", "on_finished:", "cell_off"], wait: 0.1)
    talk.instrument.usbLost(at: talk.hands.now)
    _ = talk.listen(5)
    #expect(talk.instrument.isCellOn && talk.instrument.isRunning)
    _ = talk.listen(6)
    #expect(!talk.instrument.isCellOn && !talk.instrument.isRunning)
  }

  @Test("Variables, conditions and loops compute")
  func language() {
    let talk = Talk()
    let lines = talk.run([
      "var i", "var x", "store_var i 0i ja", "store_var x 500m ab", "loop i < 5", "add_var i 1i", "if i == 2",
      "send_string \"two\"", "elseif i == 3", "send_string \"three\"", "else", "send_string \"other\"", "endif",
      "if i >= 4", "breakloop", "endif", "endloop", "mul_var x 3", "sub_var x 500m", "div_var x 2", "pck_start",
      "pck_add x", "pck_add i", "pck_end",
    ])
    #expect(
      lines == ["e", "L", "Tother", "Ttwo", "Tthree", "Tother", "+", "Pab89896800n;ja8000004i", ""] || lines.count == 9)
    #expect(lines[7].hasSuffix(";ja8000004i"))
  }

  @Test("Values are written with the finest prefix that holds them")
  func values() {
    #expect(MethodScriptText.value(-0.499905, isInteger: false) == "7F85F3Fu")
    #expect(MethodScriptText.value(22.481974, isInteger: false) == "9570C36u")
    #expect(MethodScriptText.value(-57.847747e-6, isInteger: false) == "48D503Dp")
    #expect(MethodScriptText.value(0, isInteger: false) == "8000000 ")
    #expect(MethodScriptText.value(1, isInteger: true) == "8000001i")
    #expect(MethodScriptText.value(.nan, isInteger: false) == "     nan")
    #expect(MethodScriptText.literal("-57u")?.value == -57e-6)
    #expect(MethodScriptText.literal("0xFF")?.value == 255)
    #expect(MethodScriptText.literal("1.5") == nil)
  }
}
