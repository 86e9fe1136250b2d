import SQLite

/// Compares the frame numbers of a series that are there with the gaps that are recorded.
struct GapAudit {
  typealias Numbers = ClosedRange<UInt64>

  var series: UInt64
  /// Numbers that no gap explains.
  var unexplained: [Numbers] = []
  /// Numbers that a gap says are missing, although they are there or beyond the end.
  var contradicted: [Numbers] = []
  /// Numbers that are there more than once without the flag of a repeated frame.
  var doubled: [UInt64] = []

  /// Flag of a frame number that the source sent before (CFrameRing.h).
  private static let repeated: Int64 = 1

  /// Audits every series of a run.
  static func all(_ run: RunDatabase) throws(DatabaseError) -> [GapAudit] {
    var gaps: [UInt64: [Numbers]] = [:]
    for row in try run.database.rows("SELECT series, first_frame, last_frame FROM gap ORDER BY first_frame") {
      let (first, last) = (row.count("first_frame"), row.count("last_frame"))
      if first <= last { gaps[row.count("series"), default: []].append(first...last) }
    }
    var triggered: [UInt64: UInt64] = [:]
    for ledger in try run.ledgers() { triggered[ledger.series] = ledger.triggered }

    var missing: [UInt64: [Numbers]] = [:]
    var next: [UInt64: UInt64] = [:]
    var doubled: [UInt64: [UInt64]] = [:]
    try run.database.statement(
      "SELECT series, frame_number, flags FROM frame ORDER BY series, frame_number, flags & \(repeated)"
    ).forEach { row in
      let series = UInt64(bitPattern: row.integer(0))
      let number = UInt64(bitPattern: row.integer(1))
      let expected = next[series, default: 0]
      if number > expected { missing[series, default: []].append(expected...number - 1) }
      if number < expected && row.integer(2) & repeated == 0 { doubled[series, default: []].append(number) }
      next[series] = max(expected, number + 1)
    }
    for (series, count) in triggered where count > next[series, default: 0] {
      missing[series, default: []].append(next[series, default: 0]...count - 1)
    }
    return Set(next.keys).union(gaps.keys).union(missing.keys).sorted().map { series in
      let absent = missing[series] ?? []
      let recorded = merged(gaps[series] ?? [])
      return GapAudit(
        series: series, unexplained: subtract(recorded, from: absent),
        contradicted: subtract(absent, from: recorded), doubled: doubled[series] ?? [])
    }
  }

  /// Ascending, without overlaps.
  private static func merged(_ ranges: [Numbers]) -> [Numbers] {
    var result: [Numbers] = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = result.last, range.lowerBound <= last.upperBound {
        result[result.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        result.append(range)
      }
    }
    return result
  }

  /// What of `ranges` is not in `covers`; both ascending and without overlaps.
  static func subtract(_ covers: [Numbers], from ranges: [Numbers]) -> [Numbers] {
    var rest: [Numbers] = []
    var first = 0
    for range in ranges {
      var low = range.lowerBound
      while first < covers.count && covers[first].upperBound < low { first += 1 }
      var index = first
      while index < covers.count && covers[index].lowerBound <= range.upperBound {
        if covers[index].lowerBound > low { rest.append(low...covers[index].lowerBound - 1) }
        low = covers[index].upperBound + 1
        index += 1
      }
      if low <= range.upperBound { rest.append(low...range.upperBound) }
    }
    return rest
  }

  /// "17" or "17–19 (3 frames)".
  static func words(_ numbers: Numbers) -> String {
    numbers.count == 1
      ? "\(numbers.lowerBound)" : "\(numbers.lowerBound)–\(numbers.upperBound) (\(numbers.count) frames)"
  }
}
