import Quantities
import Testing

@testable import NanobatteryTwin

@Suite("The clocks of the instruments")
struct DeviceClockTests {
  @Test("A clock is inverted to a nanosecond, at any time of a week", arguments: [-200.0, 0, 35, 500])
  func inversion(drift: Double) {
    let origin = MonotonicTime(nanoseconds: 77_000_000_000_000)
    let clock = DeviceClock(
      offset: Seconds(3.7), driftPPM: drift, wanderSeed: 9, wanderPPB: 500, origin: origin)
    #expect(clock.device(at: origin) == 3_700_000_000)
    var random = SeededRandom(seed: 4)
    for _ in 0..<2000 {
      let host = origin + Seconds(nanoseconds: Int64(random.next() % 604_800_000_000_000))
      #expect(abs(clock.host(at: clock.device(at: host)).nanoseconds - host.nanoseconds) <= 1)
    }
  }

  @Test("A clock never goes back, and its rate stays within drift and wander")
  func rate() {
    let clock = DeviceClock(offset: Seconds(0), driftPPM: -50, wanderSeed: 3, wanderPPB: 1000)
    var last = clock.device(at: MonotonicTime(nanoseconds: 0))
    for second in 1...7200 {
      let now = clock.device(at: MonotonicTime(nanoseconds: Int64(second) * 1_000_000_000))
      let excess = Double(now - last - 1_000_000_000)  // ns per s = ppb
      #expect(abs(excess + 50_000) <= 1002)
      last = now
    }
    let start = MonotonicTime(nanoseconds: 5_000_000_000)
    var earlier = clock.device(at: start)
    for nanosecond in 1...2000 {
      let later = clock.device(at: MonotonicTime(nanoseconds: start.nanoseconds + Int64(nanosecond)))
      #expect(later >= earlier)
      earlier = later
    }
  }

  @Test("The wander depends on the seed, and moves")
  func wander() {
    func positions(_ seed: UInt64) -> [Int64] {
      let clock = DeviceClock(offset: Seconds(0), driftPPM: 0, wanderSeed: seed, wanderPPB: 200)
      return (0..<600).map { second in
        clock.device(at: MonotonicTime(nanoseconds: Int64(second) * 1_000_000_000)) - Int64(second) * 1_000_000_000
      }
    }
    #expect(positions(1) == positions(1))
    #expect(positions(1) != positions(2))
    #expect((positions(1).max() ?? 0) - (positions(1).min() ?? 0) > 500)
  }
}
