import Quantities
import Testing
import YAML

@Suite struct YAMLMappingTests {
  private let document = """
    data: demo-data
    camera: {model: shm, exposure: 2.4 ms, fast: yes}
    ring: {seconds: 1, slots: 64}
    limits: {voltage: [-0.5 V, 4.5 V]}
    empty:
    """
  private let keys = ["data", "camera", "ring", "limits", "empty"]

  private func failure(_ text: String, _ body: (YAMLNode) throws(YAMLError) -> Void) throws -> YAMLError {
    let node = try YAMLNode(parsing: text)
    do throws(YAMLError) { try body(node) } catch { return error }
    throw YAMLError(at: .start, "no error was thrown")
  }

  @Test("Values come out in the types asked for, or as their defaults")
  func values() throws {
    let root = try YAMLNode(parsing: document).mapping(keys: keys)
    #expect(try root.text("data") == "demo-data")
    let camera = try root.mapping("camera", keys: ["model", "exposure", "fast", "url"])
    #expect(try camera.quantity("exposure", as: Seconds.self) == Seconds(0.0024))
    #expect(try camera.boolean("fast"))
    #expect(try camera.text("url", default: "none") == "none")
    let ring = try root.mapping("ring", keys: ["seconds", "slots"])
    #expect(try ring.number("seconds") == 1)
    #expect(try ring.integer("slots", in: 1...64) == 64)
    let limits = try root.mapping("limits", keys: ["voltage"])
    #expect(try limits.field("voltage").range(of: Volts.self) == Volts(-0.5)...Volts(4.5))
    #expect(try root.mappingOrEmpty("empty", keys: ["a"]).integer("a", default: 7) == 7)
    #expect(root.ifPresent("nothing") == nil)
  }

  @Test("Time is read with its own units through the generic reader, minutes and hours included")
  func time() throws {
    let root = try YAMLNode(parsing: "{a: 5 min, b: 1 h, c: 10 ms}").mapping(keys: ["a", "b", "c"])
    #expect(try root.quantity("a", as: Seconds.self) == Seconds(300))
    #expect(try root.quantity("b", as: Seconds.self) == Seconds(3600))
    #expect(try root.quantity("c", as: Seconds.self) == Seconds(0.01))
  }

  @Test("An unknown key names its place and what was meant")
  func unknownKey() throws {
    let error = try failure("name: x\nlimts: 1\n") { node throws(YAMLError) in
      _ = try node.mapping(keys: ["name", "limits"])
    }
    #expect(error.mark == YAMLMark(line: 2, column: 1))
    #expect(error.message == "unknown key “limts”; did you mean “limits”?")
  }

  @Test("An unknown key unlike any other is answered with the list of keys")
  func strangeKey() throws {
    let error = try failure("{camera: {wavelength: 1}}") { node throws(YAMLError) in
      _ = try node.mapping(keys: ["camera"]).mapping("camera", keys: ["model", "url"])
    }
    #expect(error.text == "unknown key “camera.wavelength”; known here: model, url")
  }

  @Test("A missing key is named with the mapping it belongs into")
  func missing() throws {
    let error = try failure("a: 1\nb:\n  c: 2\n") { node throws(YAMLError) in
      _ = try node.mapping(keys: ["a", "b"]).mapping("b", keys: ["c", "d"]).text("d")
    }
    #expect(error.message == "“b.d” is missing")
    #expect(error.line == 3)
  }

  @Test(
    "A value of the wrong kind is refused with its name",
    arguments: [
      ("v: 2.4", "v: “2.4” has no unit; write for example “2.4 V”"),
      ("v: 2 pA", "v: “2 pA” is a current; a voltage is needed here, such as “2 V”"),
      ("v: [1]", "“v” must be text, not a list"),
      ("v:", "“v” has no value"),
    ])
  func wrongKind(text: String, message: String) throws {
    let error = try failure(text) { node throws(YAMLError) in
      _ = try node.mapping(keys: ["v"]).quantity("v", as: Volts.self)
    }
    #expect(error.message == message)
    #expect(error.line == 1)
  }

  @Test("Whole numbers keep to their range, choices to their words, ranges to their order")
  func bounds() throws {
    let root = try YAMLNode(parsing: "{n: 9, w: shmm, r: [4 V, 3 V], s: [1 V], b: maybe}")
      .mapping(keys: ["n", "w", "r", "s", "b"])
    #expect(throws: YAMLError.self) { try root.integer("n", in: 1...8) }
    #expect(throws: YAMLError.self) { try root.integer("w") }
    #expect(throws: YAMLError.self) { try root.boolean("b") }
    #expect(throws: YAMLError.self) { try root.field("r").range(of: Volts.self) }
    #expect(throws: YAMLError.self) { try root.field("s").range(of: Volts.self) }
    let error = #expect(throws: YAMLError.self) { try root.field("w").choice(["shm", "simplon"]) }
    #expect(error?.message == "“w” cannot be “shmm”; did you mean “shm”?")
  }

  @Test("Letters added, dropped, changed and swapped are recognised; other words are not")
  func spelling() {
    let words = ["limits", "acquire", "steps", "name", "sample"]
    #expect(Spelling.suggestion(for: "lmits", among: words) == "limits")
    #expect(Spelling.suggestion(for: "aqcuire", among: words) == "acquire")
    #expect(Spelling.suggestion(for: "Step", among: words) == "steps")
    #expect(Spelling.suggestion(for: "nmae", among: words) == "name")
    #expect(Spelling.suggestion(for: "wavelength", among: words) == nil)
    #expect(Spelling.suggestion(for: "", among: words) == nil)
    #expect(Spelling.suggestion(for: "x", among: []) == nil)
  }
}
