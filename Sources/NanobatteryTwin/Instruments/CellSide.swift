package import Quantities

/// What the instruments see of the physical world behind them.
package protocol CellSide: AnyObject, Sendable {
  func setTerminal(_ terminal: CellTerminal, at time: MonotonicTime)
  func setContacts(closed: Bool, at time: MonotonicTime)
  func means(from start: MonotonicTime, to end: MonotonicTime) -> TerminalMeans
  func note(_ text: String, at time: MonotonicTime)
}

/// The clock of one instrument: its own nanoseconds for an instant of the time base, and back.
package protocol InstrumentClock: Sendable {
  func device(at time: MonotonicTime) -> Int64
  func host(at device: Int64) -> MonotonicTime
}
