import Alignment
import Testing

@Suite("Percentile")
struct PercentileTests {
  @Test("Three formulas gave three medians; nearest rank is the one")
  func nearestRank() {
    #expect(Percentile.rank(50, of: 0) == nil)
    #expect([1, 2, 3, 4, 5].map { Percentile.rank(50, of: $0) } == [0, 0, 1, 1, 2])
    #expect([1, 19, 20, 21, 60, 100].map { Percentile.rank(95, of: $0) } == [0, 18, 18, 19, 56, 94])
    #expect(Percentile.rank(0, of: 7) == 0 && Percentile.rank(100, of: 7) == 6)
  }
}
