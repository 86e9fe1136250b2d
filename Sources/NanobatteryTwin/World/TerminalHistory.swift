/// Time integrals of what the terminals saw, kept for the last steps: the mean over any window is a difference.
struct TerminalHistory: Sendable {
  struct Entry: Sendable {
    var nanoseconds: Int64
    /// V·s at the terminals.
    var voltage = 0.0
    /// C out of the source.
    var charge = 0.0
    /// ns at a limit; whole numbers, so that a share of one is one.
    var compliance_ns = 0.0
    /// ns with the output relay closed.
    var outputOn_ns = 0.0
    /// V·s at the cell.
    var cellVoltage = 0.0
  }

  /// Steps kept: 10 s of fine steps with three times as many broken ones between.
  static let limit = 1 << 17
  private var entries: [Entry]
  private var count = 1
  private var newest = 0

  init(start: Int64) {
    entries = [Entry](repeating: Entry(nanoseconds: start), count: Self.limit)
  }

  var last: Entry { entries[newest] }

  mutating func append(_ entry: Entry) {
    newest = (newest + 1) & (Self.limit - 1)
    entries[newest] = entry
    count = min(count + 1, Self.limit)
  }

  /// The integrals at an instant; outside the history those of its end that is nearer.
  func at(_ nanoseconds: Int64) -> Entry {
    let oldest = newest - count + 1 + Self.limit
    func entry(_ index: Int) -> Entry { entries[(oldest + index) & (Self.limit - 1)] }
    if nanoseconds >= last.nanoseconds { return last }
    if nanoseconds <= entry(0).nanoseconds { return entry(0) }
    var low = 0
    var high = count - 1
    while high - low > 1 {
      let middle = (low + high) / 2
      if entry(middle).nanoseconds <= nanoseconds { low = middle } else { high = middle }
    }
    let a = entry(low)
    let b = entry(high)
    let share = Double(nanoseconds - a.nanoseconds) / Double(b.nanoseconds - a.nanoseconds)
    func between(_ from: Double, _ to: Double) -> Double { from + share * (to - from) }
    return Entry(
      nanoseconds: nanoseconds, voltage: between(a.voltage, b.voltage), charge: between(a.charge, b.charge),
      compliance_ns: between(a.compliance_ns, b.compliance_ns), outputOn_ns: between(a.outputOn_ns, b.outputOn_ns),
      cellVoltage: between(a.cellVoltage, b.cellVoltage))
  }
}
