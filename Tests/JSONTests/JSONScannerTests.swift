import JSON
import Testing

/// A document as a value, by the scanner.
private func scanned(_ bytes: [UInt8]) throws(JSONError) -> JSONValue? {
  func value(_ found: JSONScanner.Value) throws(JSONError) -> JSONValue {
    switch found {
    case .null: return .null
    case .bool(let value): return .bool(value)
    case .integer(let value): return .integer(value)
    case .number(let value): return .number(value)
    case .text(let text): return .string(text.string)
    case .array(var elements):
      var all: [JSONValue] = []
      while let element = try elements.nextElement() { all.append(try value(element)) }
      return .array(all)
    case .object(var members): return try object(&members)
    }
  }
  func object(_ scanner: inout JSONScanner) throws(JSONError) -> JSONValue {
    var all: [String: JSONValue] = [:]
    while let key = try scanner.nextMember() { all[key.string] = try value(try scanner.value()) }
    return .object(all)
  }
  var result: JSONValue?
  var failure: JSONError?
  bytes.withUnsafeBytes { buffer in
    guard var scanner = JSONScanner(object: buffer) else { return }
    do throws(JSONError) {
      let document = try object(&scanner)
      if scanner.isAtEnd { result = document }
    } catch { failure = error }
  }
  if let failure { throw failure }
  return result
}

private func scanned(_ text: String) -> JSONValue? { try? scanned(Array(text.utf8)) }

/// The same number, whether it was kept as an integer or not.
private func isSame(_ a: JSONValue, _ b: JSONValue) -> Bool {
  switch (a, b) {
  case (.array(let a), .array(let b)): a.count == b.count && zip(a, b).allSatisfy(isSame)
  case (.object(let a), .object(let b)):
    a.count == b.count && a.allSatisfy { key, value in b[key].map { isSame(value, $0) } ?? false }
  default: a == b || a.double != nil && a.double == b.double
  }
}

@Suite("JSON scanner")
struct JSONScannerTests {
  @Test("Values come out as the parser has them")
  func values() throws {
    let text = #"""
      { "n" : 1, "f":-1.5e3, "s":"x\"\\\u00e9\ud83d\ude00é", "b":[true,false,null,[],{}], "o":{"k":{"l":[1,[2]]}},
        "big":9223372036854775807, "low":-9223372036854775808, "beyond":18446744073709551616, "tiny":1e-300 }
      """#
    let document = try #require(scanned(text))
    #expect(document["n"] == .integer(1) && document["f"] == .number(-1500))
    #expect(document["s"]?.string == "x\"\\é😀é")
    #expect(document["b"] == [true, false, .null, [], .object([:])])
    #expect(document["o"] == ["k": ["l": [1, [2]]]])
    #expect(document["big"] == .integer(.max) && document["low"] == .integer(.min))
    #expect(document["beyond"] == .number(0x1p64) && document["tiny"] == .number(1e-300))
  }

  @Test(
    "Numbers are the nearest doubles",
    arguments: [
      "0.1", "1700000000.5", "1732924800.123456789", "123456789012345678", "1e22", "1e23", "-0.0", "4.35",
      "2.2250738585072014e-308",
      "0.30000000000000004", "9007199254740993", "1e308", "17976931348623157e292",
    ])
  func numbers(_ text: String) throws {
    let found = try #require(scanned("{\"x\":\(text)}")?["x"]?.double)
    #expect(found == Double(text))
  }

  @Test(
    "What is no JSON is refused",
    arguments: [
      "{", "{}x", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "{\"a\":1 \"b\":2}", "{\"a\":01}", "{\"a\":1.}",
      "{\"a\":.5}",
      "{\"a\":+1}", "{\"a\":1e}", "{\"a\":-}", "{\"a\":nul}", "{\"a\":NaN}", "{\"a\":'x'}", "{a:1}", "{\"a\":\"\n\"}",
      "{\"a\":\"\\x\"}", "{\"a\":\"\\u12G4\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\udc00\"}", "{\"a\":[1,]}",
      "{\"a\":[1 2]}",
      "{\"a\":[}", "{\"a\":\"", "{\"a\":1e999}", "[1]", "", " {}",
    ])
  func refused(_ text: String) { #expect(scanned(text) == nil, "\(text)") }

  @Test("Nesting has a limit")
  func deep() {
    func nested(_ depth: Int) -> String {
      "{\"a\":" + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "}"
    }
    #expect(scanned(nested(60)) != nil)
    #expect(scanned(nested(64)) == nil)
    #expect(scanned(nested(100_000)) == nil)
  }

  @Test("Texts are compared where they lie, with escapes as well")
  func texts() throws {
    let bytes = Array(#"{"htype":"dimage-1.0","\u0066rame":"\u0061rray-1.0"}"#.utf8)
    try bytes.withUnsafeBytes { buffer in
      var scanner = try #require(JSONScanner(object: buffer))
      let key = try scanner.nextMember()
      let first = try #require(key)
      #expect(first.is("htype") && !first.is("htyp") && !first.is("htypes") && first.hasPrefix("ht"))
      let word = try scanner.value().text
      let type = try #require(word)
      #expect(type.is("dimage-1.0") && type.hasPrefix("dimage-") && !type.hasPrefix("dimage-1.0."))
      let other = try scanner.nextMember()
      let second = try #require(other)
      #expect(second.is("frame") && !second.is("frames"))
      let escaped = try scanner.value().text
      let value = try #require(escaped)
      #expect(value.is("array-1.0") && value.hasPrefix("array-") && value.string == "array-1.0")
      let isOver = try scanner.nextMember() == nil
      #expect(isOver)
      #expect(scanner.isAtEnd)
    }
  }

  @Test("Damaged documents are refused where the parser refuses them, and read alike where it reads them")
  func fuzz() throws {
    let samples = [
      #"{"htype":"dimage-1.0","series":34,"frame":0,"hash":"ab\u00e9","list":[1,-2.5e3,true,null,{"k":"é"}]}"#,
      #"{"jsonversion":4,"bitmode":16,"shape":[1024,512],"timestamp":1732924800.123456789,"o":{"a":{"b":[[]]}}}"#,
    ].map { Array($0.utf8) }
    let seed: UInt64 = 20_261_129
    var state = seed
    func random(_ below: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % below
    }
    let marks = Array("{}[]\",:\\u0123456789.eE+-truefalsn \u{7F}".utf8) + [0, 9, 0x80, 0xC3, 0xED, 0xF4, 0xFF]
    var accepted = 0
    for round in 0..<20_000 {
      var bytes = samples[random(samples.count)]
      for _ in 0...random(3) {
        let at = random(bytes.count)
        switch random(3) {
        case 0: bytes[at] = marks[random(marks.count)]
        case 1: bytes.remove(at: at)
        default: bytes.insert(marks[random(marks.count)], at: at)
        }
      }
      // The parser lets a comma stand before the end.
      guard bytes.first == UInt8(ascii: "{"), !bytes.contains(",]".utf8), !bytes.contains(",}".utf8) else { continue }
      let parsed = try? JSONValue(parsing: bytes)
      let found = (try? scanned(bytes)).flatMap(\.self)
      if parsed != nil { accepted += 1 }
      let agrees = if let parsed, let found { isSame(parsed, found) } else { parsed == nil && found == nil }
      #expect(agrees, "seed \(seed), round \(round): \(String(decoding: bytes, as: UTF8.self))")
      if !agrees { break }
    }
    #expect(accepted > 500)
  }
}
