import Glibc
import Linux
import Testing
import TwinBench

/// `intake-probe`, which lies beside these tests: a receiver on its thread, counted.
private enum IntakeProbe {
  struct Failure: Error, CustomStringConvertible { var description: String }

  /// What it printed, and its exit code.
  static func run(_ words: String) throws -> (text: String, code: Int32) {
    guard let pipe = popen("'\(PreloadedProgram.directory)/intake-probe' \(words) 2>&1", "r") else {
      throw LinuxError("popen")
    }
    var text = ""
    var line = [CChar](repeating: 0, count: 4096)
    while fgets(&line, 4096, pipe) != nil {
      text += String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    return (text, pclose(pipe) >> 8 & 0xFF)
  }

  /// Under a sanitizer the functions to be counted are the sanitizer's.
  static let canCount = (try? run(""))?.code != 69

  /// What was done beside the receive itself, and within it, from frame 100 to 300 frames later.
  static func counts(_ words: String) throws -> (beside: [String: Int], within: [String: Int], text: String) {
    let (text, code) = try run(words)
    let lines = text.split(separator: "\n").filter { $0.hasPrefix("frames ") || $0.hasPrefix("within ") }
    guard code == 0, lines.count == 2 else { throw Failure(description: "intake-probe \(words): \(text)") }
    func numbers(_ line: Substring) -> [String: Int] {
      let words = line.split(separator: " ").map(String.init)
      return Dictionary(
        zip(words, words.dropFirst()).compactMap { name, number in Int(number).map { (name, $0) } },
        uniquingKeysWith: { $1 })
    }
    return (numbers(lines[0]), numbers(lines[1]), text)
  }
}

@Suite(
  "What the receiving thread does for a frame", .serialized,
  .enabled(if: IntakeProbe.canCount, "a sanitizer has malloc and the locks for itself"))
struct IntakeTests {
  @Test(
    "Beside the receive itself: no memory, no lock, no system call and no line, over 300 frames of each source",
    arguments: [
      "simplon", "simplon-plain", "simplon-lz4", "simplon2", "simplon2-plain", "merlin", "array", "array-big", "sls",
      "de", "shm", "replay",
    ])
  func nothing(source: String) throws {
    let (beside, within, text) = try IntakeProbe.counts("\(source) 300")
    #expect(beside["frames"] == 300)
    for what in ["allocations", "frees", "locks", "foreign", "lines"] { #expect(beside[what] == 0, "\(what): \(text)") }
    // A DE-Server is asked for each movie buffer, here of four frames; nothing else is sent.
    #expect(source == "de" ? (70...80).contains(beside["requests"] ?? 0) : beside["requests"] == 0, "\(text)")
    // Something was received, and seen to be.
    #expect(within["receives"] ?? 0 >= 100, "\(text)")
  }

  @Test(
    "A receiver that does it anyway is caught",
    arguments: [("memory", "allocations"), ("lock", "locks"), ("call", "foreign"), ("line", "lines")])
  func caught(waste: String, what: String) throws {
    let (beside, _, text) = try IntakeProbe.counts("shm 300 \(waste)")
    #expect(beside[what] ?? 0 >= 300, "\(text)")
  }
}
