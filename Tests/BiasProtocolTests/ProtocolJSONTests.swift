import BiasProtocol
import JSON
import Quantities
import Testing

@Suite struct ProtocolJSONTests {
  private let everything = """
    - Rest for 60 s or until < 3 V
    - Record frames at 10.5 fps
    - repeat: 2
      steps:
        - mark: charge
        - mark: slow
        - Charge at 2.3456789 pA for 1 h or until 4.2 V:
            record: 400 fps
            range: 100 nA
        - Charge at 20 pA until < 3 V or 4.1 V
        - Discharge at 2 pA until 3 V
        - Hold at 4.2 V for 30 min or until 0.2 pA
        - Hold at -0.1 V for 3 s or until > 50 pA
        - Record all frames
    """
  private let header = """
    acquire: {sample: 12.5 ms, range: 10 nA, voltage_range: 20 V}
    sample: {id: A1, area: 1.2 um^2}
    """

  @Test("A protocol comes back from its JSON as it was, through text as well")
  func roundTrip() throws {
    let text = protocolText(everything, header: header).replacing(
      "100 pA]", with: "100 pA]\n  dose: 5000 e/A^2")
    let compiled = try CompiledProtocol(parsing: text)
    #expect(compiled.limits.dose == ElectronDose(5000))
    #expect(try CompiledProtocol(json: compiled.json) == compiled)
    #expect(try CompiledProtocol(json: JSONValue(parsing: compiled.json.text)) == compiled)
    #expect(try CompiledProtocol(json: JSONValue(parsing: compiled.json.prettyText)) == compiled)
  }

  @Test("The distributed protocols come back as well", arguments: exampleNames)
  func examples(name: String) throws {
    let compiled = try CompiledProtocol(parsing: distributed(name))
    #expect(try CompiledProtocol(json: JSONValue(parsing: compiled.json.text)) == compiled)
  }

  @Test("unicycler's keys are there in unicycler's units")
  func unicycler() throws {
    let json = try compiled(
      "- Rest for 60 s\n- Charge at 2 pA for 1 h or until 4.2 V\n- Hold at 4.2 V for 30 min or until 0.2 pA",
      header: header
    ).json
    #expect(json["sample"]?["name"] == "A1")
    #expect(json["record"]?["time_s"]?.double == 0.0125)
    #expect(json["safety"]?["max_current_mA"]?.double == 1e-7)
    #expect(json["safety"]?["min_voltage_V"]?.double == -0.5)
    let method = try #require(json["method"]?.array)
    #expect(method.map { $0["step"] } == ["open_circuit_voltage", "constant_current", "constant_voltage"])
    #expect(method[0]["until_time_s"]?.double == 60)
    #expect(method[1]["current_mA"]?.double == 2e-9)
    #expect(method[1]["until_voltage_V"]?.double == 4.2)
    #expect(method[2]["voltage_V"]?.double == 4.2)
    #expect(method[2]["until_current_mA"]?.double == 2e-10)
  }

  @Test("A document of unicycler's own keys is read")
  func foreign() throws {
    let json = try JSONValue(
      parsing: """
        {"sample":{"name":"n"},"record":{"time_s":0.01},
         "safety":{"max_voltage_V":4.5,"min_voltage_V":-0.5,"max_current_mA":1e-7,"min_current_mA":-1e-7},
         "method":[{"step":"open_circuit_voltage","until_time_s":60},
          {"step":"constant_current","current_mA":2e-9,"until_voltage_V":4.2,"until_time_s":3600},
          {"step":"constant_voltage","voltage_V":4.2,"until_current_mA":2e-10,"until_time_s":1800}]}
        """)
    let compiled = try CompiledProtocol(json: json)
    #expect(
      compiled.steps.map(\.sentence) == [
        "Rest for 60 s", "Charge at 2 pA for 1 h or until 4.2 V", "Hold at 4.2 V for 30 min or until 200 fA",
      ])
    #expect(compiled.sampleID == "n")
  }

  @Test(
    "A document that breaks a rule is refused with the name of the member",
    arguments: [
      ("\"x_current_A\":2e-12", "\"x_current_A\":2e-3", "“method[1]” 2 mA is beyond limits.current"),
      ("\"until_time_s\":3600", "\"until_time_s\":-1", "“method[1].until_time_s” must be above 0"),
      ("\"until_time_s\":3600,", "", "“method[1].until_time_s” is missing"),
      ("\"step\":\"constant_current\"", "\"step\":\"loop\"", "“method[1].step” is “loop”"),
      ("\"max_voltage_V\":4.5", "\"max_voltage_V\":-4.5", "“safety.min_voltage_V” must be lower"),
      ("\"max_voltage_V\":4.5,", "", "“safety.max_voltage_V” is missing"),
      ("\"time_s\":0.01", "\"time_s\":\"x\"", "“record.time_s” is not a number"),
      ("\"protocol\":1", "\"protocol\":9", "“x_insitud.protocol” is 9"),
      ("\"comparison\":\"above\"", "\"comparison\":\"beside\"", "neither “above” nor “below”"),
      ("\"x_cycle\":0", "\"x_cycle\":-3", "is not a whole number from 0 on"),
    ])
  func refused(correct: String, wrong: String, words: String) throws {
    let compiled = try compiled("- Rest for 60 s\n- Charge at 2 pA for 1 h or until 4.2 V")
    let text = compiled.json.text
    try #require(text.contains(correct), "\(text)")
    let json = try JSONValue(parsing: text.replacing(correct, with: wrong))
    let error = #expect(throws: ProtocolError.self) { try CompiledProtocol(json: json) }
    #expect(error?.description.contains(words) == true, "\(String(describing: error))")
    #expect(throws: ProtocolError.self) { try CompiledProtocol(json: .null) }
  }
}

let exampleNames = ["demo.yaml", "formation.yaml", "simplon.yaml", "charge-2pA.yaml"]
