import BiasProtocol
import Quantities
import Testing

/// A small generator, so that a failing seed can be run again.
private struct SplitMix64: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

@Suite struct MutationTests {
  private let splices = [
    " ", "\n", "  ", "- ", ": ", "{", "}", "[", "]", "\"", "'", "#", "&a ", "*a", "!t ", "---\n", "\t", "%", "@", "`",
    "repeat: 99999", "steps:", "mark:", "record: all", "record: {cameras: {a: all}}",
    "record: {rate: 400 fps, keep: every 10th}",
    "record: {keep: none, trigger: {when: change > 0.5, after: 1 s}}", "region: 8 x 8 at 0, 0", "average: 8",
    "- Keep the last 10 s\n", "- Record every 10th frame at 400 fps\n", "keep 10 fps", " or ", " until ", " for ",
    " at ", "-", "+", "e", "1e308",
    "1e-400",
    "99999999999999999999", "NaN", "inf", "V", "A", "s", "m", "M", "µ", "Å", "e/A^2", "pA", "> ", "<", ",", ".", "𝄞",
    "\r",
    "\u{301}", "\u{0}", "\u{FEFF}", "\u{2028}",
  ]

  private func mutated(_ source: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
    var bytes = source
    for _ in 0..<Int.random(in: 1...6, using: &random) {
      let place = Int.random(in: 0...bytes.count, using: &random)
      let end = min(bytes.count, place + Int.random(in: 0...12, using: &random))
      switch Int.random(in: 0..<6, using: &random) {
      case 0: bytes.removeSubrange(place..<end)
      case 1: bytes.insert(contentsOf: Array(splices.randomElement(using: &random)!.utf8), at: place)
      case 2: bytes.insert(UInt8.random(in: .min ... .max, using: &random), at: place)
      case 3 where place < bytes.count: bytes[place] = UInt8.random(in: 32...126, using: &random)
      case 4: bytes.insert(contentsOf: bytes[place..<end], at: Int.random(in: 0...bytes.count, using: &random))
      default:
        let digits = bytes.indices.filter { (48...57).contains(bytes[$0]) }
        if let digit = digits.randomElement(using: &random) {
          bytes.replaceSubrange(digit...digit, with: Array(splices.randomElement(using: &random)!.utf8))
        }
      }
    }
    return bytes
  }

  @Test("Whatever becomes of a protocol, it compiles or its errors have places in it", arguments: 0..<8)
  func mutations(block: Int) throws {
    let sources = try exampleNames.map { try distributed($0) } + [Array(recordingText.utf8)]
    var outcomes = (compiled: 0, refused: 0)
    for seed in UInt64(block * 400)..<UInt64(block * 400 + 400) {
      var random = SplitMix64(state: seed)
      let bytes = mutated(sources.randomElement(using: &random)!, &random)
      let lines = String(decoding: bytes, as: UTF8.self).split(omittingEmptySubsequences: false) { $0.isNewline }
      do throws(ProtocolErrors) {
        let compiled = try CompiledProtocol(parsing: bytes)
        outcomes.compiled += 1
        #expect(!compiled.steps.isEmpty, "seed \(seed)")
        #expect(compiled.steps.allSatisfy { $0.bound.value > 0 && $0.bound.value.isFinite }, "seed \(seed)")
        let plan = compiled.plan(
          cameras: camera(bytes: 2 << 20), indexBytes: 64,
          instrument: PlannedInstrument(
            model: "test", ranges: [.init(full: Amperes(1e-6), resolution: Amperes(5e-13), accuracy: Amperes(0))]))
        #expect(plan.duration.value > 0, "seed \(seed)")
        #expect(!plan.table(rows: 20).isEmpty)
        let again = try? CompiledProtocol(json: compiled.json)
        #expect(again == compiled, "seed \(seed)")
      } catch {
        outcomes.refused += 1
        #expect((1...ProtocolErrors.most).contains(error.errors.count), "seed \(seed)")
        for one in error.errors {
          #expect((1...lines.count).contains(one.line), "seed \(seed): \(one)")
          #expect(one.column >= 1, "seed \(seed): \(one)")
          #expect(!one.message.isEmpty, "seed \(seed)")
        }
        #expect(error.errors == error.errors.sorted { ($0.line, $0.column) < ($1.line, $1.column) }, "seed \(seed)")
      }
    }
    // A generator that only ever breaks or never breaks anything tests nothing.
    #expect(outcomes.compiled > 10)
    #expect(outcomes.refused > 10)
  }
}
