internal import Glibc

/// Many independent Poisson counts with one mean, made once: a frame is put together from stretches of pools, because
/// drawing 400 million counts per second would cost more than everything else on the machine.
@safe
package final class PoissonPool: @unchecked Sendable {
  /// Mean count of a pixel. The pool's own mean is this to half a count in the whole pool.
  package let mean: Double
  package let count: Int
  private let samples: UnsafeMutablePointer<UInt16>

  /// Counts beyond it do not fit a pixel with room for the spread.
  package static let largestMean = 60_000.0

  /// - Parameter mean: 0…`largestMean`; moved into it when outside.
  package init(mean: Double, count: Int, random: inout SeededRandom) {
    let bounded = mean.isFinite ? min(max(mean, 0), Self.largestMean) : 0
    self.mean = bounded
    self.count = count
    unsafe samples = .allocate(capacity: count)
    let table = AliasTable(poissonMean: bounded)
    var total = 0
    for index in 0..<count {
      let value = table.draw(random.next())
      total += Int(value)
      unsafe samples[index] = value
    }
    correct(total - Int((bounded * Double(count)).rounded()), &random)
  }

  deinit { unsafe samples.deallocate() }

  /// Takes the surplus away (or adds what lacks) at random places. Given their sum, Poisson counts are multinomial, so
  /// this changes no pixel's distribution by more than one part in `count`.
  private func correct(_ surplus: Int, _ random: inout SeededRandom) {
    var left = surplus
    while left != 0 {
      let index = Int(random.next() % UInt64(count))
      let value = unsafe samples[index]
      if left > 0, value > 0 {
        unsafe samples[index] = value - 1
        left -= 1
      } else if left < 0, value < .max {
        unsafe samples[index] = value + 1
        left += 1
      }
    }
  }

  /// Copies `length` counts from `offset` on.
  func copy(_ length: Int, from offset: Int, to destination: UnsafeMutablePointer<UInt16>) {
    precondition(offset >= 0 && length >= 0 && offset + length <= count, "a stretch beyond the pool")
    unsafe _ = memcpy(destination, samples + offset, 2 * length)
  }

  package subscript(_ index: Int) -> UInt16 {
    precondition(index >= 0 && index < count, "an index beyond the pool")
    return unsafe samples[index]
  }
}

/// Walker's alias method: one random word gives one count.
private struct AliasTable {
  private var first = 0
  private var keep: [UInt32] = []
  private var other: [UInt16] = []

  init(poissonMean mean: Double) {
    let spread = 10 * mean.squareRoot() + 12
    first = max(0, Int(mean - spread))
    let last = min(Int(UInt16.max), Int(mean + spread))
    // log P(k) = k·ln λ − λ − ln k!
    var weights = (first...last).map { k in
      mean == 0 ? (k == 0 ? 1 : 0) : exp(Double(k) * log(mean) - mean - lgamma(Double(k) + 1))
    }
    let sum = weights.reduce(0, +)
    let size = weights.count
    for index in weights.indices { weights[index] *= Double(size) / sum }
    keep = [UInt32](repeating: .max, count: size)
    other = (0..<size).map { UInt16(first + $0) }
    var small = weights.indices.filter { weights[$0] < 1 }
    var large = weights.indices.filter { weights[$0] >= 1 }
    while let poor = small.popLast(), let rich = large.last {
      keep[poor] = UInt32(min(weights[poor] * 4_294_967_296, 4_294_967_295))
      other[poor] = UInt16(first + rich)
      weights[rich] -= 1 - weights[poor]
      if weights[rich] < 1 {
        large.removeLast()
        small.append(rich)
      }
    }
  }

  func draw(_ word: UInt64) -> UInt16 {
    let index = Int(((word >> 32) &* UInt64(keep.count)) >> 32)
    return UInt32(truncatingIfNeeded: word) <= keep[index] ? UInt16(first + index) : other[index]
  }
}
