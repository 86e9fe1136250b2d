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

  @Test("What is said about recording comes back, with the cameras named and where")
  func recording() throws {
    let compiled = try CompiledProtocol(parsing: recordingText)
    let again = try CompiledProtocol(json: JSONValue(parsing: compiled.json.text))
    #expect(again == compiled)
    #expect(again.cameras.count == 3 && again.keepAtEnd == Seconds(60))
    let method = try #require(compiled.json["method"]?.array)
    #expect(method[0]["x_record"] == ["rate_Hz": 400.0, "keep": ["every": 10]])
    #expect(method[2]["x_record"] == ["rate_Hz": 400.0, "average": 8])
    #expect(method[3]["x_keep_before_s"] == 2.5)
    #expect(
      method[8]["x_record"]?["cameras"]?["diffraction pattern"] == [
        "rate_Hz": 100.0, "keep": ["rate_Hz": 50.0], "region": ["width": 512, "height": 512, "left": 0, "top": 0],
      ])
  }

  @Test("A document of an earlier version is read: recording said for all cameras alone, and no look back")
  func earlier() throws {
    let compiled = try compiled(
      "- Record frames at 10.5 fps\n- Rest for 1 s\n- Rest for 1 s: {record: all}\n- Rest for 1 s: {record: off}")
    var document = try #require(compiled.json.object)
    var ours = try #require(document["x_insitud"]?.object)
    ours["cameras"] = nil
    ours["keep_at_end_s"] = nil
    document["x_insitud"] = .object(ours)
    let method = try #require(compiled.json["method"]?.array)
    #expect(method.map { $0["x_record"] } == [["rate_Hz": 10.5], "all", "off"])
    #expect(method.allSatisfy { $0["x_keep_before_s"] == nil })
    #expect(try CompiledProtocol(json: .object(document)) == compiled)
    var bare = try #require(method[0].object)
    bare["x_record"] = nil
    document["method"] = [.object(bare)]
    #expect(try CompiledProtocol(json: .object(document)).steps.map(\.recording) == [.off])
  }

  @Test("A camera that only the steps of a document name is listed with the line of its step")
  func listed() throws {
    var document = try #require(CompiledProtocol(parsing: recordingText).json.object)
    document["x_insitud"] = ["protocol": 1]
    let cameras = try CompiledProtocol(json: .object(document)).cameras
    #expect(cameras.map(\.name) == ["diffraction pattern", "hologram", "image"])
    #expect(cameras.map(\.line) == [29, 29, 29])
  }

  @Test(
    "Recording that breaks a rule is refused with the name of the member",
    arguments: [
      ("\"on\"", "“method[0].x_record” is neither “off”, “all” nor an object"),
      ("{}", "“method[0].x_record” is neither “off”, “all” nor an object"),
      ("{\"rate_Hz\":0}", "“method[0].x_record.rate_Hz” must be above 0"),
      ("{\"rate_Hz\":1e6}", "“method[0].x_record.rate_Hz” is too high"),
      ("{\"keep\":{\"every\":1}}", "“method[0].x_record.keep.every” is 1; it must be from 2 to 1000000000"),
      ("{\"keep\":\"some\"}", "“method[0].x_record.keep.rate_Hz” is missing"),
      ("{\"average\":65537}", "“method[0].x_record.average” is 65537; it must be from 2 to 65536"),
      ("{\"average\":8,\"keep\":{\"every\":2}}", "exclude each other"),
      ("{\"rate_Hz\":10,\"keep\":{\"rate_Hz\":20}}", "20 fps cannot be kept of 10 fps"),
      ("{\"region\":{\"width\":0,\"height\":1,\"left\":0,\"top\":0}}", "“method[0].x_record.region” has no pixel"),
      ("{\"region\":{\"width\":1}}", "“method[0].x_record.region.height” is missing"),
      ("{\"trigger\":{\"statistic\":\"mood\"},\"keep\":\"none\"}", "trigger.statistic” is none of mean, minimum"),
      (
        "{\"trigger\":{\"statistic\":\"mean\",\"comparison\":\"near\"},\"keep\":\"none\"}",
        "comparison” is neither “above” nor “below”"
      ),
      (
        "{\"trigger\":{\"statistic\":\"mean\",\"comparison\":\"above\",\"threshold\":1},\"keep\":\"none\"}",
        "says neither how long before nor how long after"
      ),
      (
        "{\"trigger\":{\"statistic\":\"mean\",\"comparison\":\"above\",\"before_s\":3601},\"keep\":\"none\"}",
        "before_s” is more than 1 h"
      ),
      (
        "{\"trigger\":{\"statistic\":\"mean\",\"comparison\":\"above\",\"before_s\":1},\"keep\":\"none\"}",
        "trigger.threshold” is missing"
      ),
      ("{\"cameras\":{}}", "“method[0].x_record.cameras” names 0 cameras; at most 16 are possible"),
      ("{\"cameras\":{\"a\":null}}", "“method[0].x_record.cameras.a” is neither"),
      ("{\"cameras\":[]}", "“method[0].x_record.cameras” is not an object"),
    ])
  func refusedRecording(record: String, words: String) throws {
    let text = try compiled("- Rest for 60 s").json.text
    let correct = "\"x_record\":\"off\""
    try #require(text.contains(correct), "\(text)")
    let json = try JSONValue(parsing: text.replacing(correct, with: "\"x_record\":\(record)"))
    let error = #expect(throws: ProtocolError.self) { try CompiledProtocol(json: json) }
    #expect(error?.description.contains(words) == true, "\(String(describing: error))")
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
