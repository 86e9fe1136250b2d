import Linux
import Quantities
import Testing

@Suite("A doorbell")
struct DoorbellTests {
  private static let patience = Seconds(60)

  @Test("wakes whoever sleeps, each time: numbers go to and fro, and nobody waits in vain")
  func toAndFro() {
    let count: UInt64 = 20_000
    let (there, back) = (HandoverRing(capacity: 1), HandoverRing(capacity: 1))
    let (bell, answer) = (Doorbell(), Doorbell())
    let other = NamedThread("doorbell") {
      for _ in 0..<count {
        guard let number = bell.wait(atMost: Self.patience, for: { there.pop() }) else { return }
        guard back.push(number + 1) else { return }
        answer.ring()
      }
    }
    var came: UInt64 = 0
    while came < count {
      guard there.push(came) else { break }
      bell.ring()
      guard let next = answer.wait(atMost: Self.patience, for: { back.pop() }), next == came + 1 else { break }
      came = next
    }
    #expect(came == count)
    other.join()
  }

  @Test("of several threads wakes for what the last of them has")
  func several() {
    let bell = Doorbell()
    let (each, threads) = (UInt64(20_000), 3)
    let rings = (0..<threads).map { _ in HandoverRing(capacity: 64) }
    let others = rings.map { ring in
      NamedThread("doorbell") {
        var number: UInt64 = 0
        let end = MonotonicTime.now + Self.patience
        while number < each, MonotonicTime.now < end {
          if ring.push(number) {
            number += 1
            bell.ring()
          }
        }
      }
    }
    var came: UInt64 = 0
    var isInOrder = true
    var next = [UInt64](repeating: 0, count: threads)
    while came < each * UInt64(threads) {
      let found = bell.wait(atMost: Self.patience) { () -> (Int, UInt64)? in
        for (k, ring) in rings.enumerated() { if let number = ring.pop() { return (k, number) } }
        return nil
      }
      guard let (k, number) = found else { break }
      isInOrder = isInOrder && number == next[k]
      next[k] = number + 1
      came += 1
    }
    #expect(came == each * UInt64(threads) && isInOrder)
    for other in others { other.join() }
  }
}
