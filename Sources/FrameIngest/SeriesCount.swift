/// What came of one series so far, at the camera's thread.
struct SeriesCount {
  /// Different causes that are counted apart; the rest is counted together.
  static let mostCauses = 16
  private static let otherCauses = "other causes"

  let series: UInt64
  private var inRing: UInt64 = 0
  private var refusedByRing: UInt64 = 0
  private var unusable: [String: UInt64] = [:]

  init(series: UInt64) { self.series = series }

  mutating func noteFrame() { inRing += 1 }
  mutating func noteRingFull() { refusedByRing += 1 }

  /// True when the cause is new.
  mutating func noteUnusable(_ cause: String) -> Bool {
    let key = unusable[cause] != nil || unusable.count < Self.mostCauses ? cause : Self.otherCauses
    unusable[key, default: 0] += 1
    return unusable[key] == 1
  }

  func ended(triggered: UInt64?) -> CameraReport {
    let received = inRing + refusedByRing + unusable.values.reduce(0, +)
    return .seriesEnded(
      series: series, triggered: triggered, received: received, refusedByRing: refusedByRing, unusable: unusable)
  }
}
