/// The account of one camera series: triggered = received + lost at source; received = written + dropped by cause.
package struct SeriesLedger: Hashable, Sendable {
  package var series: UInt64
  /// nil: the camera never said.
  package var triggered: UInt64?
  package var received: UInt64
  package var lostAtSource: UInt64
  package var written: UInt64
  package var dropped: [String: UInt64]

  package init(
    series: UInt64, triggered: UInt64?, received: UInt64, lostAtSource: UInt64, written: UInt64,
    dropped: [String: UInt64] = [:]
  ) {
    self.series = series
    self.triggered = triggered
    self.received = received
    self.lostAtSource = lostAtSource
    self.written = written
    self.dropped = dropped
  }

  package var totalDropped: UInt64 { dropped.values.reduce(0, +) }

  /// Frames unaccounted for: those of triggered (when it is known) and those of received. 0 when it balances.
  package var difference: Int64 {
    let source = triggered.map { Int64($0) - Int64(received + lostAtSource) } ?? 0
    return abs(source) + abs(Int64(received) - Int64(written + totalDropped))
  }

  package var isBalanced: Bool { imbalance == nil }

  /// Why it does not balance, in words; nil when it does.
  package var imbalance: String? {
    var reasons: [String] = []
    if let triggered {
      if triggered != received + lostAtSource {
        reasons.append("\(triggered) triggered, but \(received) received + \(lostAtSource) lost at source")
      }
    } else {
      reasons.append("the camera never said how many frames it triggered")
    }
    if received != written + totalDropped {
      reasons.append("\(received) received, but \(written) written + \(totalDropped) dropped")
    }
    return reasons.isEmpty ? nil : "series \(series): " + reasons.joined(separator: "; ")
  }
}
