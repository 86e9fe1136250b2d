/// Repeated measurements of one thing.
struct Spread {
  private let sorted: [Double]

  init(_ values: [Double]) { sorted = values.sorted() }

  var count: Int { sorted.count }
  var least: Double { sorted.first ?? .nan }
  var most: Double { sorted.last ?? .nan }
  var median: Double { percentile(50) }

  /// Nearest rank: a value that was measured, never one in between.
  func percentile(_ percent: Double) -> Double {
    guard !sorted.isEmpty else { return .nan }
    let rank = Int((percent / 100 * Double(sorted.count)).rounded(.up))
    return sorted[min(max(rank, 1), sorted.count) - 1]
  }
}
