import BiasProtocol
import Quantities
import Testing

@Suite struct SentenceTests {
  @Test(
    "Sentences are read in any order and printed in one",
    arguments: [
      ("Rest for 60 s", "Rest for 60 s"),
      ("rest for 1 minute", "Rest for 60 s"),
      ("Rest for 60 s or until < 3.5 V", "Rest for 60 s or until < 3.5 V"),
      ("Charge at 2 pA for 1 h or until 4.2 V", "Charge at 2 pA for 1 h or until 4.2 V"),
      ("Charge at 2pA until 4.2V or for 60 min", "Charge at 2 pA for 1 h or until 4.2 V"),
      ("CHARGE AT 0.002 nA FOR 3600 s, UNTIL > 4200 mV", "Charge at 2 pA for 1 h or until 4.2 V"),
      ("Charge for 1 h at 2e-12 A", "Charge at 2 pA for 1 h"),
      ("Charge at 2 pA until 4.2 V or < 3 V", "Charge at 2 pA until 4.2 V or < 3 V"),
      ("Discharge at 2 pA for 30 min or until 3 V", "Discharge at 2 pA for 30 min or until 3 V"),
      ("Discharge at 2 pA until >= 3 V", "Discharge at 2 pA until > 3 V"),
      ("Hold at 4.2 V for 30 min or until 0.2 pA", "Hold at 4.2 V for 30 min or until 200 fA"),
      ("Hold at 500 mV for 90 s", "Hold at 0.5 V for 90 s"),
      ("Hold at 50 mV for 90 min or until > 10 pA", "Hold at 50 mV for 90 min or until > 10 pA"),
      ("Hold at -0.1 V for 1.5 s", "Hold at -0.1 V for 1.5 s"),
      ("Charge at 2.3456789 pA for 1 h", "Charge at 2.3456789 pA for 1 h"),
    ])
  func canonical(written: String, printed: String) throws {
    let step = try #require(compiled("- \(written)").steps.first)
    #expect(step.sentence == printed)
    let again = try #require(compiled("- \(printed)").steps.first)
    #expect(again.action == step.action)
    #expect(again.until == step.until)
    #expect(again.bound == step.bound)
  }

  @Test("Micro is read in its three spellings", arguments: ["u", "µ", "μ"])
  func micro(prefix: String) throws {
    let text = protocolText("- Charge at 2 \(prefix)A for 1 s").replacing("[-100 pA, 100 pA]", with: "[-1 mA, 1 mA]")
    let step = try #require(CompiledProtocol(parsing: text).steps.first)
    #expect(step.action == .current(Amperes(2e-6)))
    #expect(step.sentence == "Charge at 2 uA for 1 s")
  }

  @Test("Charging is positive, discharging negative, and the set point is exact")
  func signs() throws {
    let steps = try compiled("- Charge at 2 pA for 1 s\n- Discharge at 2 pA for 1 s\n- Rest for 1 s").steps
    #expect(steps.map(\.action) == [.current(Amperes(2e-12)), .current(Amperes(-2e-12)), .rest])
  }

  @Test("Conditions take PyBaMM's defaults: above when charging, below when discharging, small current on hold")
  func defaults() throws {
    let steps = try compiled(
      "- Charge at 2 pA until 4.2 V\n- Discharge at 2 pA until 3 V\n- Hold at 4 V until 0.2 pA\n- Rest until > 3 V"
    ).steps
    #expect(
      steps.map(\.until) == [
        [StopCondition(.voltage, .above, 4.2)], [StopCondition(.voltage, .below, 3)],
        [StopCondition(.current, .below, 2e-13, magnitude: true)], [StopCondition(.voltage, .above, 3)],
      ])
    #expect(steps.allSatisfy { !$0.boundIsExplicit && $0.bound == Seconds(86400) })
  }

  @Test("Recording holds for the steps that follow; an option holds for its step alone")
  func recording() throws {
    let steps = try compiled(
      """
      - Rest for 1 s
      - Record frames at 10 fps
      - Rest for 1 s
      - Rest for 1 s:
          record: 400 fps
      - Rest for 1 s
      - Rest for 1 s: {record: off, range: 100 nA}
      - Record all frames
      - Rest for 1 s
      - Stop recording
      - Rest for 1 s
      - Rest for 1 s: {record: all}
      """
    ).steps
    #expect(
      steps.map(\.recording) == [
        .off, .rate(Hertz(10)), .rate(Hertz(400)), .rate(Hertz(10)), .off, .all, .off, .all,
      ])
    #expect(steps[4].range == Amperes(1e-7))
    #expect(steps[2].line == firstStepLine + 3)
  }
}
