internal import Alignment
package import SQLite

/// How well the frames of a run are placed in time: standard uncertainties, s, in rising order.
///
/// Of a run with more than `mostFrames` frames every n-th is taken, so that no more than that are sorted: sorting two
/// million rows takes SQLite over five seconds, and a percentile of a hundred thousand is as good.
package struct TimeUncertainty: Sendable {
  package static let mostFrames: Int64 = 100_000

  private var values: [Double] = []

  /// Reads `frame_value`.
  package init(_ database: Database) throws(DatabaseError) {
    let count = try database.rows("SELECT count(*) AS n FROM frame_value").first?.integer("n") ?? 0
    let stride = max(1, (count + Self.mostFrames - 1) / Self.mostFrames)
    try database.statement("SELECT time_uncertainty_s FROM frame_value WHERE frame % ?1 = 0").forEach(
      [.integer(stride)]
    ) { values.append($0.double(0)) }
    values.sort()
  }

  /// A percentile over the frames; nil when none has been aligned.
  package func percentile(_ percent: Int) -> Double? {
    Percentile.rank(percent, of: values.count).map { values[$0] }
  }
}
