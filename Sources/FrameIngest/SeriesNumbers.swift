/// Gives each series of a sender a number that no series had before, as long as the camera lives: a detector that was
/// restarted begins at 1 again, and frames of two series under one number would be taken for repeated ones.
struct SeriesNumbers {
  /// Senders' numbers beyond this are not taken over; the index record has 32 bits for a series.
  static let mostOwn = UInt64(Int32.max)
  /// So many numbers are remembered one by one; then all below the highest are taken for used.
  static let mostRemembered = 65536

  private var used: Set<UInt64> = []
  private var highest: UInt64?

  /// The sender's own number where it is free, else the next one above all that were used.
  mutating func take(_ number: UInt64) -> UInt64 {
    let taken = isFree(number) ? number : highest.map { $0 + 1 } ?? 0
    if used.count < Self.mostRemembered { used.insert(taken) }
    highest = max(highest ?? 0, taken)
    return taken
  }

  private func isFree(_ number: UInt64) -> Bool {
    guard number <= Self.mostOwn else { return false }
    guard let highest else { return true }
    return used.count < Self.mostRemembered ? !used.contains(number) : number > highest
  }
}
