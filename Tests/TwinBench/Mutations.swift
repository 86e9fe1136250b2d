import Glibc

/// Seeded mutations of good input. `INSITUD_FUZZ=<cases>` makes each run that long, `INSITUD_SEED` another one.
package struct Mutations {
  private static let cases = unsafe getenv("INSITUD_FUZZ").flatMap { unsafe Int(String(cString: $0)) }
  private static let seed = unsafe getenv("INSITUD_SEED").flatMap { unsafe UInt64(String(cString: $0)) } ?? 20_261_121
  /// Bytes at which decoders turn.
  private static let telling: [UInt8] = [0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF, 0x0A, 0x23, 0x30, 0x39, 0x2C, 0x65]

  private let name: String
  private let few: Int
  private let corpus: [[UInt8]]

  /// - Parameter few: cases of an ordinary run.
  package init(_ name: String, _ few: Int, of corpus: [[UInt8]]) {
    self.name = name
    self.few = few
    self.corpus = corpus
  }

  /// Runs `body` on mutations and prints how many there were.
  package func forEach(_ body: ([UInt8], inout SeededNumbers) throws -> Void) rethrows {
    let count = Self.cases ?? few
    var numbers = SeededNumbers(Self.seed)
    for _ in 0..<count { try body(mutated(corpus.randomElement(using: &numbers) ?? [], &numbers), &numbers) }
    print("fuzz \(name): \(count) cases, seed \(Self.seed)")
  }

  private func mutated(_ good: [UInt8], _ numbers: inout SeededNumbers) -> [UInt8] {
    var bytes = good
    for _ in 0..<Int.random(in: 0...4, using: &numbers) {
      let at = bytes.isEmpty ? 0 : Int.random(in: 0..<bytes.count, using: &numbers)
      switch Int.random(in: 0..<7, using: &numbers) {
      case 0 where !bytes.isEmpty: bytes[at] = UInt8.random(in: 0...255, using: &numbers)
      case 1 where !bytes.isEmpty: bytes[at] ^= 1 << UInt8.random(in: 0...7, using: &numbers)
      case 2 where !bytes.isEmpty: bytes[at] = Self.telling.randomElement(using: &numbers) ?? 0
      case 3 where !bytes.isEmpty: bytes.removeLast(bytes.count - at)
      case 4 where !bytes.isEmpty: bytes.remove(at: at)
      case 5: bytes.insert(Self.telling.randomElement(using: &numbers) ?? 0, at: at)
      default: bytes += (corpus.randomElement(using: &numbers) ?? []).prefix(40)
      }
    }
    return bytes
  }
}

/// Random numbers that a seed repeats (SplitMix64).
package struct SeededNumbers: RandomNumberGenerator {
  private var state: UInt64
  package init(_ seed: UInt64) { state = seed }
  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
