import RunStore
import Testing

@Suite("Names and times of runs")
struct ValueTests {
  @Test("a ULID is 26 letters, carries its millisecond and sorts by it")
  func ulid() throws {
    let early = ULID(unixNanoseconds: 1_767_225_600_123_000_000)
    let late = ULID(unixNanoseconds: 1_767_225_600_124_000_000)
    #expect(early.description.count == 26)
    #expect(early.description < late.description)
    #expect(early.unixMilliseconds == 1_767_225_600_123)
    #expect(ULID(early.description.lowercased()) == early)
  }

  @Test("the published example of the ULID layout has the time it says")
  func ulidExample() throws {
    let example = try #require(ULID("01ARYZ6S41TSV4RRFFQ69G5FAV"))
    #expect(example.unixMilliseconds == 1_469_918_176_385)
  }

  @Test(
    "what is no ULID is refused",
    arguments: ["", "last", "01ARYZ6S41TSV4RRFFQ69G5FA", "01ARYZ6S41TSV4RRFFQ69G5FAU", "81ARYZ6S41TSV4RRFFQ69G5FAV"])
  func notUlid(_ text: String) { #expect(ULID(text) == nil) }

  @Test("two ULIDs of the same millisecond differ")
  func ulidRandom() {
    let many = Set((0..<100).map { _ in ULID(unixNanoseconds: 0) })
    #expect(many.count == 100)
  }

  @Test(
    "wall time is printed as ISO 8601 in UTC",
    arguments: [
      (0, "1970-01-01T00:00:00.000Z"), (1_709_210_096_789_999_999, "2024-02-29T12:34:56.789Z"),
      (951_868_799_000_000_000, "2000-02-29T23:59:59.000Z"), (1_767_225_600_000_000_000, "2026-01-01T00:00:00.000Z"),
      (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
    ] as [(Int64, String)])
  func utc(_ nanoseconds: Int64, _ text: String) { #expect(UTCTime.text(unixNanoseconds: nanoseconds) == text) }

  @Test(
    "a run's name becomes part of a file name that is safe everywhere",
    arguments: [
      ("2 pA formation, 5 cycles", "2-pa-formation-5-cycles"), ("../../etc", "etc"), ("", "run"), ("µ—", "run"),
      (String(repeating: "long ", count: 30), "long-long-long-long-long-long-long-long"),
    ])
  func slug(_ name: String, _ slug: String) { #expect(RunDirectory.slug(name) == slug) }

  @Test("a series balances, or says by how much it does not")
  func ledger() {
    var series = SeriesLedger(
      series: 3, triggered: 100, received: 97, lostAtSource: 3, written: 95, dropped: ["ring full": 2])
    #expect(series.isBalanced)
    #expect(series.difference == 0)
    series.written = 94
    #expect(series.difference == 1)
    #expect(series.imbalance == "series 3: 97 received, but 94 written + 2 dropped")
    series.triggered = nil
    #expect(series.imbalance?.contains("never said") == true)
    series.triggered = 110
    #expect(series.difference == 11)
  }
}
