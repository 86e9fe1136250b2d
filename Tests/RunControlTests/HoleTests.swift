import Alignment
import JSON
import Quantities
import Testing

@testable import RunControl

@Suite("A hole in the samples")
struct HoleTests {
  private func time(_ seconds: Double) -> MonotonicTime { MonotonicTime(nanoseconds: Seconds(seconds).nanoseconds) }

  @Test("The charge that nobody measured is counted from the last reading, not from when the loss was noticed")
  func unknownCharge() {
    let hole = Hole(
      lastKnown: LastReading(end: time(10), current: Amperes(-2e-12)), noticed: time(11), opened: time(11.4))
    #expect(abs(hole.unknownCharge.value - 2e-12 * 1.4) < 1e-24)
    #expect(hole.begins == time(10))
    #expect(hole.details["last_known_raw_ns"]?.integer == 10_000_000_000)
  }

  @Test("An instrument that measured on until its output was opened leaves only the rest unknown")
  func otherWasLost() {
    let hole = Hole(
      lastKnown: LastReading(end: time(11.39), current: Amperes(2e-12)), noticed: time(11), opened: time(11.4))
    #expect(abs(hole.unknownCharge.value - 2e-14) < 1e-24)
    #expect(hole.begins == time(11))
    let late = Hole(lastKnown: LastReading(end: time(12), current: Amperes(1)), noticed: time(11), opened: time(11.4))
    #expect(late.unknownCharge == .zero)
  }

  @Test("Without a sample nothing is claimed")
  func never() {
    let hole = Hole(lastKnown: nil, noticed: time(1), opened: time(2))
    #expect(hole.unknownCharge == .zero)
    #expect(hole.begins == time(1))
  }

  @Test("A sample's middle is half an aperture before its arrival, until its clock is known")
  func centre() {
    let sample = Sample(
      deviceNanoseconds: 5, arrival: time(3), voltage: nil, current: Amperes(1e-12), range: Amperes(1e-8),
      aperture: Seconds(0.02), flags: [])
    #expect(sample.centre(by: nil) == time(2.99))
  }
}
