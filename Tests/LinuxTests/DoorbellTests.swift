import Linux
import Quantities
import Synchronization
import Testing

@Suite("A bell that costs nothing while nobody sleeps")
struct DoorbellTests {
  /// A ring that is lost leaves both threads asleep, and the test runs into its limit.
  @Test("No ring is lost between two threads that take turns", .timeLimit(.minutes(1)))
  func turns() {
    let there = HandoverRing(capacity: 4)
    let back = HandoverRing(capacity: 4)
    let (bell, answerBell) = (Doorbell(), Doorbell())
    let count: UInt64 = 20_000
    let echo = NamedThread("test-echo") {
      for _ in 0..<count {
        guard let number = bell.wait(atMost: Seconds(600), for: { there.pop() }) else { return }
        _ = back.push(number * 3)
        answerBell.ring()
      }
    }
    for number in 0..<count {
      #expect(there.push(number))
      bell.ring()
      // Now and then late, so that each of the two is asleep when the other rings.
      if number % 1000 == 0 { sleepThread(for: Seconds(0.002)) }
      #expect(answerBell.wait(atMost: Seconds(600), for: { back.pop() }) == number * 3)
    }
    echo.join()
  }

  @Test("Who waits for nothing gets nothing, and a ring before the wait is no answer by itself")
  func nothing() {
    let bell = Doorbell()
    bell.ring()
    #expect(bell.wait(atMost: Seconds(0), for: { Int?.none }) == nil)
    #expect(bell.wait(atMost: Seconds(0.01), for: { Int?.none }) == nil)
    var looks = 0
    #expect(
      bell.wait(
        atMost: Seconds(0),
        for: {
          looks += 1
          return 7
        }) == 7)
    #expect(looks == 1)
  }
}
