import Glibc
import Linux
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

@Suite struct HandoverRingTests {
  @Test("A ring holds a power of two of numbers", arguments: [(1, 1), (2, 2), (3, 4), (64, 64), (1000, 1024)])
  func capacity(wanted: Int, made: Int) {
    let ring = HandoverRing(capacity: wanted)
    #expect(ring.capacity == made)
    for number in 0..<made { #expect(ring.push(UInt64(number))) }
    #expect(!ring.push(0))
    #expect(ring.count == made)
  }

  @Test("Numbers come out in their order; a full ring refuses, and an empty one gives nothing")
  func order() {
    let ring = HandoverRing(capacity: 2)
    #expect(ring.pop() == nil && ring.count == 0)
    for round in 0..<5 as Range<UInt64> {
      #expect(ring.push(round) && ring.push(.max - round))
      #expect(!ring.push(7))
      #expect(ring.pop() == round)
      #expect(ring.push(8))
      #expect(ring.pop() == .max - round)
      #expect(ring.pop() == 8)
      #expect(ring.pop() == nil)
    }
  }

  @Test("Of many numbers those are taken for which there is room")
  func batches() {
    let ring = HandoverRing(capacity: 4)
    let numbers: [UInt64] = [1, 2, 3, 4, 5, 6]
    let none: [UInt64] = []
    #expect(ring.push(none.span) == 0)
    #expect(ring.push(numbers.span) == 4)
    #expect(ring.push(numbers.span) == 0)
    var taken: [UInt64] = []
    #expect(ring.pop(atMost: 3) { taken.append($0) } == 3)
    #expect(ring.push(numbers.span) == 3)
    #expect(ring.pop(atMost: 0) { taken.append($0) } == 0)
    #expect(ring.pop(atMost: -1) { taken.append($0) } == 0)
    while ring.pop(atMost: 100, { taken.append($0) }) > 0 {}
    #expect(taken == [1, 2, 3, 4, 1, 2, 3])
  }

  @Test("Whatever is done to a ring, it behaves as a queue with a limit", arguments: 0..<16 as Range<UInt64>)
  func model(seed: UInt64) {
    var random = SplitMix64(state: seed)
    let ring = HandoverRing(capacity: 1 << Int.random(in: 0...5, using: &random))
    var model: [UInt64] = []
    for _ in 0..<500 {
      let numbers = (0..<Int.random(in: 0...40, using: &random)).map { _ in
        UInt64.random(in: .min ... .max, using: &random)
      }
      switch Int.random(in: 0..<4, using: &random) {
      case 0:
        let fits = model.count < ring.capacity
        #expect(ring.push(seed) == fits, "seed \(seed)")
        if fits { model.append(seed) }
      case 1:
        let fitting = numbers.prefix(ring.capacity - model.count)
        #expect(ring.push(numbers.span) == fitting.count, "seed \(seed)")
        model += fitting
      case 2:
        #expect(ring.pop() == model.first, "seed \(seed)")
        model = Array(model.dropFirst())
      default:
        // What comes may be less than there is, for it is what was seen last; but never nothing.
        var taken: [UInt64] = []
        let count = ring.pop(atMost: numbers.count) { taken.append($0) }
        #expect(count == taken.count && count <= numbers.count, "seed \(seed)")
        #expect(count > 0 || model.isEmpty || numbers.isEmpty, "seed \(seed)")
        #expect(taken == Array(model.prefix(count)), "seed \(seed)")
        model = Array(model.dropFirst(count))
      }
      #expect(ring.count == model.count, "seed \(seed)")
    }
  }

  @Test("Between two threads no number is lost, doubled or out of order", arguments: [1, 2, 64, 1024])
  func threads(capacity: Int) {
    let ring = HandoverRing(capacity: capacity)
    // A small ring needs a change of threads for every few numbers, which takes its time on a busy machine.
    let last = UInt64(min(200_000, 1000 * capacity))
    let producer = NamedThread("test-push") {
      var next: UInt64 = 0
      while next < last {
        if next % 3 == 0 {
          let numbers = Array(next..<min(last, next + 7))
          let pushed = ring.push(numbers.span)
          next += UInt64(pushed)
          if pushed == 0 { sched_yield() }
        } else if ring.push(next) {
          next += 1
        } else {
          sched_yield()
        }
      }
    }
    var expected: UInt64 = 0
    var wrong = 0
    while expected < last {
      let before = expected
      if expected % 2 == 0 {
        _ = ring.pop(atMost: 5) { number in
          if number != expected { wrong += 1 }
          expected += 1
        }
      } else if let number = ring.pop() {
        if number != expected { wrong += 1 }
        expected += 1
      }
      if expected == before { sched_yield() }
    }
    producer.join()
    #expect(wrong == 0)
    #expect(ring.pop() == nil)
  }

  /// Buffers that two rings carry there and back. What is in them is plain memory: a ring that published too early, or gave
  /// a place back too early, shows here, and to Thread Sanitizer.
  private final class Buffers: @unchecked Sendable {
    static let count = 8
    let full = HandoverRing(capacity: count)
    let free = HandoverRing(capacity: count)
    let words = UnsafeMutablePointer<UInt64>.allocate(capacity: count)

    init() {
      words.initialize(repeating: 0, count: Self.count)
      for slot in 0..<Self.count { _ = free.push(UInt64(slot)) }
    }

    deinit { words.deallocate() }
  }

  @Test("What a number stands for goes with it, there and back")
  func memory() {
    let buffers = Buffers()
    let rounds: UInt64 = 10_000
    let producer = NamedThread("test-fill") {
      for round in 0..<rounds {
        var slot = buffers.free.pop()
        while slot == nil {
          sched_yield()
          slot = buffers.free.pop()
        }
        guard let slot else { return }
        buffers.words[Int(slot)] = round
        _ = buffers.full.push(slot)
      }
    }
    var wrong = 0
    for round in 0..<rounds {
      var slot = buffers.full.pop()
      while slot == nil {
        sched_yield()
        slot = buffers.full.pop()
      }
      guard let slot else { continue }
      if buffers.words[Int(slot)] != round { wrong += 1 }
      buffers.words[Int(slot)] = .max
      if !buffers.free.push(slot) { wrong += 1 }
    }
    producer.join()
    #expect(wrong == 0)
  }
}
