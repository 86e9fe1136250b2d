import Testing
import YAML

@Suite struct YAMLNodeTests {
  private func failure(_ text: String) -> YAMLError? {
    do throws(YAMLError) {
      _ = try YAMLNode(parsing: text)
      return nil
    } catch { return error }
  }

  @Test("Scalars, lists and mappings come with the line and column where they begin")
  func tree() throws {
    let root = try YAMLNode(parsing: "name: 2 pA formation\nsteps:\n  - Rest for 60 s\n  - {mark: charge}\n")
    #expect(root.mark == YAMLMark(line: 1, column: 1))
    #expect(root["name"]?.scalar == "2 pA formation")
    #expect(root["name"]?.mark == YAMLMark(line: 1, column: 7))
    let steps = try #require(root["steps"]?.elements)
    #expect(steps.count == 2)
    #expect(steps[0] == YAMLNode(mark: YAMLMark(line: 3, column: 5), content: .scalar("Rest for 60 s")))
    #expect(steps[1]["mark"]?.mark == YAMLMark(line: 4, column: 12))
  }

  @Test(
    "Scalars stay text, whatever YAML would make of them", arguments: ["1e3", "yes", "null", "~", "0x10", "2024-01-01"])
  func untyped(text: String) throws {
    #expect(try YAMLNode(parsing: "value: \(text)")["value"]?.scalar == text)
  }

  @Test("A sentence can be a key with options below it")
  func sentenceAsKey() throws {
    let root = try YAMLNode(parsing: "- Charge at 2 pA for 1 h or until 4.2 V:\n    record: 400 fps\n")
    let entry = try #require(root.elements?.first?.entries?.first)
    #expect(entry.key.scalar == "Charge at 2 pA for 1 h or until 4.2 V")
    #expect(entry.value["record"]?.scalar == "400 fps")
  }

  @Test("Columns count characters, not bytes")
  func columns() throws {
    let root = try YAMLNode(parsing: "{name: Ångström, area: 1.2 µm^2}")
    #expect(root["area"]?.mark == YAMLMark(line: 1, column: 24))
  }

  @Test(
    "What is refused names its place and the remedy",
    arguments: [
      ("a: 1\nb: 2\na: 3\n", 3, 1, "line 1"),
      ("a: &x 1\n", 1, 4, "anchors"),
      ("a: *x\n", 1, 4, "aliases"),
      ("a: !!int 1\n", 1, 4, "tags"),
      ("a: !local 1\n", 1, 4, "tags"),
      ("a: 1\n---\nb: 2\n", 2, 1, "second document"),
      ("[a, b]: 1\n", 1, 1, "plain text"),
      ("? {a: 1}\n: 2\n", 1, 3, "plain text"),
      ("", 1, 1, "empty"),
      ("# nothing\n", 2, 1, "empty"),
      ("a: b: c\n", 1, 5, "quotes"),
      ("a:\n\tb: 1\n", 2, 1, "tabs"),
      ("a: [1, 2\nb: 3\n", 2, 2, "bracket"),
    ])
  func refused(text: String, line: Int, column: Int, words: String) throws {
    let error = try #require(failure(text))
    #expect(error.line == line)
    #expect(error.column == column)
    #expect(error.description.contains(words), "\(error)")
  }

  @Test("Thirty-two levels are read and thirty-three are not")
  func depth() throws {
    func nested(_ levels: Int) -> String {
      String(repeating: "[", count: levels) + "x" + String(repeating: "]", count: levels)
    }
    #expect(failure(nested(32)) == nil)
    let error = try #require(failure(nested(33)))
    #expect(error.message.contains("deeper than 32"))
    #expect(failure(String(repeating: "[", count: 100_000)) != nil)
  }

  @Test("A document larger than a mebibyte is refused")
  func size() throws {
    let error = try #require(failure("a: " + String(repeating: "x", count: YAMLNode.maximumBytes)))
    #expect(error.message.contains("bytes"))
    #expect(failure("a: " + String(repeating: "x", count: YAMLNode.maximumBytes - 3)) == nil)
  }

  @Test("Bytes that are not UTF-8 are found where they stand")
  func encoding() {
    #expect(throws: YAMLError(at: YAMLMark(line: 2, column: 4), "not UTF-8", remedy: "save the file as UTF-8 text")) {
      try YAMLNode(parsing: Array("a: 1\nb: ".utf8) + [0xB5, 0x41])
    }
    #expect(throws: YAMLError.self) { try YAMLNode(parsing: [0xFF, 0xFE, 0x61, 0x00, 0x3A, 0x00]) }
    #expect(throws: YAMLError.self) { try YAMLNode(parsing: Array("a: \u{1}".utf8)) }
  }

  @Test("A byte order mark of UTF-8 and Windows line ends do no harm")
  func otherEditors() throws {
    let root = try YAMLNode(parsing: [0xEF, 0xBB, 0xBF] + Array("a: 1\r\nb: 2\r\n".utf8))
    #expect(root["a"]?.mark == YAMLMark(line: 1, column: 4))
    #expect(root["b"]?.scalar == "2")
  }

  @Test("A word is replaced in every value and in no key")
  func replacing() throws {
    let root = try YAMLNode(parsing: "'{run}': ['{run}/a', {b: '{run}{run}'}, x]").replacing("{run}", with: "/r")
    let values = try #require(root["{run}"]?.elements)
    #expect(values[0].scalar == "/r/a")
    #expect(values[1]["b"]?.scalar == "/r/r")
    #expect(values[2].scalar == "x")
  }

  @Test("A key without its colon is named where it stands, in the last line as well")
  func unfinishedKey() throws {
    let error = try #require(failure("a: 1\nlast"))
    #expect(error.mark == YAMLMark(line: 2, column: 1))
  }
}
