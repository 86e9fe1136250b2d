/// The one definition of a percentile here, nearest rank: the smallest value that at least so many per cent of all values
/// do not exceed.
package enum Percentile {
  /// Where it stands among `count` values in rising order, from 0; nil without values.
  /// - Parameter percent: 0 … 100; 50 is the (lower) median.
  package static func rank(_ percent: Int, of count: Int) -> Int? {
    guard count > 0 else { return nil }
    // ⌈percent · count / 100⌉ in whole numbers: 0.95 × 60 in doubles may be more than 57.
    return min(max((percent * count + 99) / 100, 1), count) - 1
  }
}
