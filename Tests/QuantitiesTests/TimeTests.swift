import Quantities
import Testing

@Suite struct TimeTests {
  @Test("Instants and spans add up in whole nanoseconds")
  func arithmetic() {
    let start = MonotonicTime(nanoseconds: 1_000_000_000)
    #expect(start + Seconds(0.0025) == MonotonicTime(nanoseconds: 1_002_500_000))
    #expect(start - Seconds(2) == MonotonicTime(nanoseconds: -1_000_000_000))
    #expect((start + Seconds(60)) - start == Seconds(60))
    #expect(start < start + Seconds(nanoseconds: 1))
  }

  @Test("A span beyond all time ends at an end of time instead of stopping the program")
  func endless() {
    #expect(Seconds(1e30).nanoseconds == Int64.max / 2)
    #expect(Seconds(-1e30).nanoseconds == -(Int64.max / 2))
    #expect(Seconds(.infinity).nanoseconds == Int64.max / 2)
    let late = MonotonicTime(nanoseconds: 1_000_000_000_000_000) + Seconds(.infinity)
    #expect(late > MonotonicTime(nanoseconds: 0))
    #expect(Seconds(1e-9).nanoseconds == 1)
  }

  @Test("Quantities are compared, added, scaled and divided in their own unit")
  func quantities() {
    #expect(Volts(1) < Volts(2))
    #expect(Volts(3) - Volts(1) == Volts(2))
    #expect(-Amperes(2e-12) * 2 == Amperes(-4e-12))
    #expect(Seconds(1) / Seconds(0.25) == 4)
    #expect(Volts(-2).magnitude == Volts(2))
    #expect([Coulombs(1), .zero].max() == Coulombs(1))
  }
}
