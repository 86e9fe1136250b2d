import BiasProtocol
import Testing

@Suite struct ProtocolErrorTests {
  @Test(
    "A wrong sentence gets the column of the word, what is wrong, and the remedy",
    arguments: [
      ("Charge at 2 mA for 1 s", 15, "2 mA is beyond limits.current [-100 pA, 100 pA] (line 5); did you mean 2 pA?"),
      (
        "Discharge at 2 mA for 1 s", 18, "-2 mA is beyond limits.current [-100 pA, 100 pA] (line 5); did you mean 2 pA?"
      ),
      ("Charge at 2 for 1 s", 15, "“2” has no unit; write for example “2 pA”"),
      ("Charge at 4 V for 1 s", 15, "“4 V” is a voltage; Charge sets a current; write “Hold at 4 V”"),
      ("Discharge at 40 mV for 1 s", 18, "“40 mV” is a voltage; Discharge sets a current; write “Hold at 40 mV”"),
      ("Hold at 2 pA for 1 s", 13, "“2 pA” is a current; Hold keeps a voltage; write “Charge at 2 pA”"),
      ("Hold at 4.8 V for 1 s", 13, "4.8 V is beyond limits.voltage [-0.5 V, 4.5 V] (line 4)"),
      ("Hold at 420 V for 1 s", 13, "did you mean 420 mV?"),
      ("Hold at 4 V for 1 s until 3 V", 31, "Hold sets the voltage; it cannot wait for one"),
      ("Hold at 4 V until 2 nA", 23, "did you mean 2 pA?"),
      ("Hold at 4 V until -2 pA", 23, "without its sign"),
      ("Charge at 2 pA until 4.6 V", 26, "the limit would trip first"),
      ("Charge at 2 pA until 1 pA", 26, "the current is set in this step"),
      ("Charge at 2 pA until 4.2", 26, "“4.2” has no unit; write for example “4.2 V”"),
      ("Charge at 2 pA until 60 s", 26, "write “for 60 s”"),
      ("Charge at 2 pA until", 25, "a value is missing here"),
      ("Charge at 2 pA for 4.2 V", 24, "“4.2 V” is a voltage; a time is needed here"),
      ("Charge at 2 pA for 5 m", 24, "write “5 min” or “5 ms”"),
      ("Charge at 2 pA for 0 s", 24, "has no effect"),
      ("Charge at 2 pA for 1 ms", 24, "shorter than one sample (10 ms)"),
      ("Charge at 2 pA for 48 h", 24, "longer than max_step (24 h)"),
      ("Charge at 2 pA for 1 s for 2 s", 28, "“for” stands there twice"),
      ("Charge at 2 pA", 5, "neither how long nor until when"),
      ("Charge at 0 A for 1 s", 15, "write “Rest”"),
      ("Charge at -2 pA for 1 s", 15, "write “Discharge at 2 pA”"),
      ("Charge at 2 MA for 1 s", 15, "“M” (mega) is understood only before Ohm and Hz"),
      ("Charge at 2 PA for 1 s", 15, "did you mean “pA”?"),
      ("Charge at 2,5 pA for 1 s", 15, "not a comma"),
      ("Charge at C/20 for 1 h", 15, "C-rates (“C/20”) are not understood by this version"),
      ("Charge at 1C for 1 h", 15, "C-rates (“1C”) are not understood by this version"),
      ("Charge 2 pA for 1 h", 12, "“at” is missing after “Charge”"),
      ("Charge for 1 h", 5, "says not at which current"),
      ("Chrage at 2 pA for 1 h", 5, "did you mean “Charge”?"),
      ("Wait for 1 h", 5, "known here: Rest, Charge at"),
      ("Rest 60 s", 10, "“60” is not understood after “Rest”"),
      ("Rest for 60 s or until 3.5 V", 28, "write “until > 3.5 V” or “until < 3.5 V”"),
      ("Rest for 60 s or 3.5 V", 22, "“until” is missing before “3.5 V”"),
      ("Rest for 60 s or", 19, "something is missing beside “or”"),
      ("Rest at 2 pA for 60 s", 10, "“at” does not belong to Rest"),
      ("Cycle between 3.0 V and 4.2 V at 1 mV/s for 3 cycles", 5, "“Cycle between” is not understood by this version"),
      ("EIS from 10 kHz to 0.1 Hz at 10 mV, 10 points per decade", 5, "“EIS from” is not understood by this version"),
      ("Sweep from 3 V to 4 V at 1 mV/s", 5, "“Sweep from” is not understood by this version"),
      ("Record frames", 12, "write “Record frames at 10 fps”"),
      ("Record frames at 10", 22, "“10” has no unit; write for example “10 fps”"),
      ("Record frames at 0 fps", 22, "records nothing"),
      ("Record frames at 200 kHz", 22, "more than 100000 fps"),
      ("Record frames at 10 fps for 1 s", 29, "“for” does not belong to recording"),
    ])
  func sentence(written: String, column: Int, words: String) throws {
    let found = errors(protocolText("- \(written)"))
    let error = try #require(found.first)
    #expect(found.count == 1, "\(found)")
    #expect(error.line == firstStepLine)
    #expect(error.column == column, "\(error)")
    #expect(error.text.contains(words), "\(error)")
  }

  @Test(
    "A wrong setting gets its place, what is wrong, and the remedy",
    arguments: [
      ("protocol: 1", "protocol: 2", 1, "version 2 of the language"),
      ("protocol: 1", "protokol: 1", 1, "did you mean “protocol”?"),
      ("protocol: 1\n", "", 1, "“protocol” is missing"),
      ("name: test\n", "", 1, "“name” is missing"),
      ("name: test", "name: [a, b]", 2, "“name” must be text, not a list"),
      ("limits:", "limts:", 3, "unknown key “limts”; did you mean “limits”?"),
      ("[-0.5 V, 4.5 V]", "[4.5 V, -0.5 V]", 4, "the first value must be lower"),
      ("[-0.5 V, 4.5 V]", "[4.5 V]", 4, "two values"),
      ("[-0.5 V, 4.5 V]", "[-0.5 A, 4.5 A]", 4, "“-0.5 A” is a current; a voltage is needed here"),
      ("[-100 pA, 100 pA]", "[1 pA, 100 pA]", 5, "leaves out 0 A"),
      ("  current: [-100 pA, 100 pA]\n", "", 4, "“limits.current” is missing"),
      ("  voltage: [-0.5 V, 4.5 V]\n", "", 4, "“limits.voltage” is missing"),
      ("sample: 10 ms", "sample: 0 s", 6, "“acquire.sample” is 0 s; it must be above 0"),
      ("sample: 10 ms", "sample: 11 s", 6, "at most 10 s"),
      ("sample: 10 ms", "sample: 10", 6, "“10” has no unit"),
      ("sample: 10 ms", "range: 1 pA", 8, "2 pA does not fit into the range of 1 pA"),
    ])
  func setting(correct: String, wrong: String, line: Int, words: String) throws {
    let text = protocolText("- Charge at 2 pA for 1 s").replacing(correct, with: wrong)
    let error = try #require(errors(text).first { $0.text.contains(words) }, "\(errors(text))")
    #expect(error.line == line, "\(error)")
  }

  @Test("A misspelled key is one mistake, and what it holds is checked as what was meant")
  func misspelled() {
    let text = protocolText("- Charge at 2 mA for 1 s").replacing("limits:", with: "limts:")
    #expect(errors(text).map(\.line) == [3, 8])
    #expect(errors(text).last?.message.contains("beyond limits.current [-100 pA, 100 pA] (line 5)") == true)
  }

  @Test("A protocol without limits is refused and shown how to write them")
  func noLimits() throws {
    let found = errors("protocol: 1\nname: x\nsteps: [Rest for 1 s]\n")
    #expect(found.count == 1)
    #expect(found.first?.message.contains("“limits” is missing") == true)
    #expect(found.first?.remedy?.contains("current: [-100 pA, 100 pA]") == true)
  }

  @Test(
    "Structure that cannot be meant is refused",
    arguments: [
      ("- repeat: 0\n  steps: [Rest for 1 s]", 0, "at least 1 is needed"),
      ("- repeat: 2", 0, "steps” is missing"),
      ("- repeat: 2\n  steps: []", 1, "is empty"),
      ("- repeat: 2\n  steps: [{mark: a}]", 0, "has no step and no effect"),
      ("- repeat: 2\n  step: [Rest for 1 s]\n  steps: [Rest for 1 s]", 1, "did you mean “steps”?"),
      ("- [Rest for 1 s]", 0, "cannot be a list"),
      ("- {}", 0, "no effect"),
      ("-", 0, "no effect"),
      ("- Charge at 2 pA for 1 s:\n  record: 400 fps", 1, "indent it further"),
      ("- Charge at 2 pA for 1 s:\n    recrod: 400 fps", 1, "did you mean “record”?"),
      ("- Charge at 2 pA for 1 s:\n    record: 400", 1, "“400” has no unit"),
      ("- Charge at 2 pA for 1 s:\n    range: 1 pA", 0, "does not fit into the range of 1 pA"),
      ("- 'Charge at 2 pA for 1 s':", 0, "remove the “:”"),
      ("- Rest for 1 s\n- mark: end", 1, "no step follows"),
      ("- Rest for 1 s\n- Record frames at 10 fps", 1, "has no effect"),
      ("- Record frames at 10 fps\n- Record all frames\n- Rest for 1 s", 0, "recording 10 fps has no effect"),
      ("- mark: \"a\\nb\"\n- Rest for 1 s", 0, "on one line"),
    ])
  func structure(steps: String, line: Int, words: String) throws {
    let found = errors(protocolText(steps))
    let error = try #require(found.first { $0.text.contains(words) }, "\(found)")
    #expect(error.line == firstStepLine + line, "\(error)")
  }

  @Test("Several mistakes are named at once, in the order of lines")
  func several() {
    let found = errors(
      protocolText("- Charge at 2 mA for 1 s\n- Hold at 9 V for 1 s\n- Rest for 1 parsec\n- Charge at 3 nA until 5 V")
    )
    #expect(found.map(\.line) == [8, 9, 10, 11, 11])
    #expect(found.map(\.column) == [15, 13, 14, 15, 26])
  }

  @Test("At most twenty mistakes are named, and the rest is counted")
  func many() {
    let text = protocolText((0..<30).map { _ in "- Rest" }.joined(separator: "\n"))
    let failure = #expect(throws: ProtocolErrors.self) { try CompiledProtocol(parsing: text) }
    #expect(failure?.errors.count == 20)
    #expect(failure?.unnamed == 10)
    #expect(failure?.described(in: "a.yaml").hasPrefix("a.yaml:8:5: ") == true)
    #expect(failure?.description.hasSuffix("and 10 more") == true)
  }

  @Test("A quoted sentence is pointed into as well; a folded one at its beginning")
  func quoted() {
    #expect(errors(protocolText("- \"Charge at 2 mA for 1 s\"")).map(\.column) == [16])
    #expect(errors(protocolText("- Charge at 2 mA\n  for 1 s")).map(\.column) == [5])
  }

  @Test("A sentence or a name without end is refused by its length, and not repeated in the answer")
  func endless() {
    let conditions = String(repeating: " or 4 V", count: 20_000)
    let sentence = errors(protocolText("- Charge at 2 pA until 4 V\(conditions)"))
    #expect(sentence.count == 1 && sentence.first?.message.contains("at most 1000 are read") == true)
    let name = errors(protocolText("- Rest for 1 s").replacing("name: test", with: "name: \(conditions)"))
    #expect(name.count == 1 && (name.first?.message.count ?? 0) < 200)
  }

  @Test("Bad YAML is one error with its place")
  func yaml() {
    #expect(errors("protocol: 1\nname: a: b\n").map(\.line) == [2])
    #expect(errors("").map(\.line) == [1])
    #expect(errors("just text").first?.message == "the document must be a mapping, not the text “just text”")
  }
}
