import Linux
import Quantities
import Testing

@Suite("A thread's simulated clock")
struct SimulatedClockTests {
  @Test("An hour passes at once, a grain at a time, and only where it is in force")
  func hour() {
    let start = MonotonicTime(nanoseconds: 1_000)
    var steps = 0
    let clock = SimulatedClock(start: start, grain: Seconds(1)) { _ in steps += 1 }
    let before = MonotonicTime.now
    clock.run {
      #expect(MonotonicTime.now == start)
      sleepThread(for: Seconds(3600))
      #expect(MonotonicTime.now == start + Seconds(3600))
    }
    #expect(steps == 3600)
    #expect(MonotonicTime.now - before < Seconds(60))
  }

  @Test("Who waits for a monitor lets the world go on until it is true, or the time is over")
  func waits() {
    let value = Monitor(0)
    let clock = SimulatedClock(start: MonotonicTime(nanoseconds: 0)) { now in
      value.update { $0 = Int(now.nanoseconds / 1_000_000) }
    }
    clock.run {
      let reached = value.wait(atMost: Seconds(10)) { $0 >= 250 ? $0 : nil }
      #expect(reached == 250)
      #expect(value.wait(atMost: Seconds(1)) { $0 < 0 ? $0 : nil } == nil)
      #expect(MonotonicTime.now.nanoseconds == 1_250_000_000)
    }
  }
}
