import SQLite

/// Compares the frame numbers of a series that are there with the gaps and the choices that are recorded.
struct GapAudit {
  typealias Numbers = ClosedRange<UInt64>

  var key: SeriesKey
  /// Numbers that no gap and no choice explains.
  var unexplained: [Numbers] = []
  /// Numbers that a gap says are missing, although they are there or beyond the end.
  var contradicted: [Numbers] = []
  /// Numbers that are there more than once without the flag of a repeated frame.
  var doubled: [UInt64] = []
  /// Numbers that are absent within choices, and within gaps of which only the count is known, less those that other gaps
  /// explain; and how many there should be.
  var leftOut: Int64 = 0
  var chosen: Int64 = 0

  /// What people call the series.
  var name: String {
    key.camera == 0 ? "series \(key.series)" : "camera \(key.camera), series \(key.series)"
  }

  /// Flag of a frame number that the source sent before (CFrameRing.h).
  private static let repeated: Int64 = 1

  /// What a run says of one series.
  private struct Account {
    var gaps: [Numbers] = []
    var choices: [Numbers] = []
    /// Gaps of which only the count is known, and the first and last number of each.
    var parts: [Numbers] = []
    var ends: [Numbers] = []
    var chosen: Int64 = 0
    var missing: [Numbers] = []
    var next: UInt64 = 0
    var doubled: [UInt64] = []
    var triggered: UInt64?

    mutating func see(_ number: UInt64, isRepeated: Bool) {
      if number > next { missing.append(next...number - 1) }
      if number < next && !isRepeated { doubled.append(number) }
      next = max(next, number + 1)
    }
  }

  /// Audits every series of a run.
  static func all(_ run: RunDatabase) throws(DatabaseError) -> [GapAudit] {
    var accounts: [SeriesKey: Account] = [:]
    for row in try run.database.rows(
      "SELECT camera, series, first_frame, last_frame, frames FROM gap ORDER BY first_frame")
    {
      let (first, last, frames) = (row.count("first_frame"), row.count("last_frame"), row.count("frames"))
      guard first <= last else { continue }
      if frames == last - first + 1 {
        accounts[SeriesKey(row), default: Account()].gaps.append(first...last)
      } else {
        // Some of these, and nobody knows which: as with a choice, the count must be right.
        accounts[SeriesKey(row), default: Account()].parts.append(first...last)
        accounts[SeriesKey(row), default: Account()].chosen += Int64(clamping: frames)
        // Its ends are missing in any case.
        accounts[SeriesKey(row), default: Account()].ends +=
          first == last ? [first...first] : [first...first, last...last]
      }
    }
    for row in try run.database.rows(
      "SELECT camera, series, first_frame, last_frame, skipped + merged + dropped AS n FROM choice ORDER BY first_frame"
    ) {
      let (first, last) = (row.count("first_frame"), row.count("last_frame"))
      if first <= last { accounts[SeriesKey(row), default: Account()].choices.append(first...last) }
      accounts[SeriesKey(row), default: Account()].chosen += row.integer("n") ?? 0
    }
    for ledger in try run.ledgers() {
      let key = SeriesKey(camera: ledger.camera, series: ledger.series)
      accounts[key, default: Account()].triggered = ledger.triggered
    }
    try run.database.statement(
      """
      SELECT camera, series, frame_number, flags FROM frame
      ORDER BY camera, series, frame_number, flags & \(repeated)
      """
    ).forEach { row in
      let key = SeriesKey(camera: Int(row.integer(0)), series: UInt64(bitPattern: row.integer(1)))
      let number = UInt64(bitPattern: row.integer(2))
      accounts[key, default: Account()].see(number, isRepeated: row.integer(3) & repeated != 0)
    }
    return accounts.sorted { $0.key < $1.key }.map { key, account in GapAudit(key, account) }
  }

  private init(_ key: SeriesKey, _ account: Account) {
    self.key = key
    var missing = account.missing
    // Of a series that had begun before the run, `triggered` counts from its first frame in the run on.
    let end = max(account.triggered ?? 0, account.choices.map { $0.upperBound + 1 }.max() ?? 0)
    if end > account.next { missing.append(account.next...end - 1) }
    let gaps = Self.merged(account.gaps)
    let choices = Self.merged(account.choices + account.parts)
    let withoutGap = Self.subtract(gaps, from: missing)
    unexplained = Self.subtract(choices, from: withoutGap)
    contradicted = Self.subtract(missing, from: Self.merged(account.gaps + account.ends))
    doubled = account.doubled
    chosen = account.chosen
    leftOut = Int64(Self.total(withoutGap) - Self.total(unexplained))
  }

  private static func total(_ ranges: [Numbers]) -> UInt64 {
    ranges.reduce(0) { $0 + ($1.upperBound - $1.lowerBound + 1) }
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
