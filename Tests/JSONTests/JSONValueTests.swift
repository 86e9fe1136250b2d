import JSON
import Testing

@Suite struct JSONValueTests {
  @Test("Nanoseconds stay exact through text")
  func integers() throws {
    for value in [Int64.max, .min, 0, 1_763_692_800_123_456_789] {
      let text = JSONValue.array([.integer(value)]).text
      #expect(text == "[\(value)]")
      #expect(try JSONValue(parsing: text).array?.first?.integer == value)
    }
  }

  @Test("Small currents stay exact through text", arguments: [2e-12, 4.2, 1e-7, 0.1, 1e-300, 1.7976931348623157e308])
  func numbers(value: Double) throws {
    let text = JSONValue.object(["a": .number(value)]).text
    #expect(try JSONValue(parsing: text)["a"]?.double == value)
  }

  @Test("Objects print with sorted keys on one line, and what is no number prints as null")
  func printing() {
    let value: JSONValue = ["b": [1, 2.5, true, "x/y"], "a": .number(.nan), "c": .optional(nil as Double?)]
    #expect(value.text == #"{"a":null,"b":[1,2.5,true,"x/y"],"c":null}"#)
    #expect(value.prettyText.contains("\n"))
    #expect(String(decoding: value.bytes, as: UTF8.self) == value.text)
  }

  @Test("Accessors give a value of their type or nothing")
  func accessors() throws {
    let value = try JSONValue(parsing: #"{"n":1,"f":1.5,"s":"x","b":true,"l":[1],"o":{"k":2},"z":null,"w":2.0}"#)
    #expect(value["n"]?.integer == 1 && value["n"]?.double == 1)
    #expect(value["f"]?.integer == nil && value["f"]?.double == 1.5)
    #expect(value["w"]?.integer == 2)
    #expect(value["s"]?.string == "x" && value["s"]?.double == nil)
    #expect(value["b"]?.bool == true && value["b"]?.integer == nil)
    #expect(value["n"]?.bool == nil)
    #expect(value["l"]?.array == [1] && value["l"]?["k"] == nil)
    #expect(value["o"]?.object == ["k": 2] && value["o"]?["k"] == 2)
    #expect(value["z"]?.isNull == true && value["q"] == nil)
  }

  @Test("A document comes back as it was, with every kind of text")
  func roundTrip() throws {
    let value: JSONValue = [
      "text": "Å µ 𝄞 \" \\ \n \u{0} /", "list": [[], [:], .null, false], "deep": ["a": ["b": ["c": -1]]],
    ]
    #expect(try JSONValue(parsing: value.text) == value)
    #expect(try JSONValue(parsing: value.prettyText) == value)
  }

  @Test(
    "What is not JSON is refused",
    arguments: ["", "{", "{\"a\":}", "[1 2]", "nul", "{\"a\":1}x", "\u{1}", "'a'", "NaN", "{1:2}", "\"\\x\""])
  func refused(text: String) {
    let error = #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    #expect(error?.description.hasPrefix("not JSON") == true)
  }

  @Test("Bytes that are not UTF-8 and ten thousand brackets are refused")
  func hostile() {
    #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xFF, 0xFE, 0x22]) }
    #expect(throws: JSONError.self) { try JSONValue(parsing: String(repeating: "[", count: 10_000)) }
    #expect(throws: JSONError.self) {
      try JSONValue(
        parsing: String(repeating: "[", count: 10_000) + String(repeating: "]", count: 10_000))
    }
  }
}
