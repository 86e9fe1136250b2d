import Linux
package import Quantities
package import USB

/// What a current range reads when no current flows.
package struct CurrentZero: Hashable, Sendable {
  package var range: Amperes
  package var current: Amperes
  package var standardError: Amperes
}

/// The zero of the current reading.
extension PotentiostatStation {
  private static let fewestZeroReadings = 5
  /// How much longer than asked for a zero may take until it has them: a slow link or a busy computer.
  private static let zeroPatience = Seconds(3)
  /// An instrument that gives no reading of a zero for so long, and for `silentPeriods`, gives none any more.
  private static let zeroSilence = Seconds(0.75)

  /// Reads the current on a range for `span` with the holder's contacts open, keeps its mean as the zero of that range,
  /// and opens the output.
  /// - Returns: the zero and its standard error.
  package func measureZero(of range: Amperes, for span: Seconds) throws(InstrumentError) -> CurrentZero {
    try refuseWhenHeld()
    // A held current may be read on another range than a held voltage; every range has a zero of its own.
    let holding = rangeHolding(range)
    if holding != range { _ = try readZero(of: holding, for: span) }
    return try readZero(of: range, for: span)
  }

  private func readZero(of range: Amperes, for span: Seconds) throws(InstrumentError) -> CurrentZero {
    let samples = try with { instrument throws(InstrumentError) -> [Sample] in
      try instrument.setRange(range)
      var all = try instrument.beginZero().samples
      // On its lowest ranges an electrometer needs longer to settle than the zero takes.
      let end = MonotonicTime.now + span + instrument.range.settling
      lastRow = .now
      func isDone() -> Bool {
        let now = MonotonicTime.now
        return now >= end
          && (now >= end + Self.zeroPatience || Self.settledCurrents(of: all).count >= Self.fewestZeroReadings)
      }
      while !isDone(), !latch.isSet {
        sleepThread(for: Seconds(0.02))
        let new = try instrument.poll().samples
        all += new
        if !new.isEmpty {
          lastRow = .now
          ThreadPulse.beat()
        }
        let silence = MonotonicTime.now - lastRow
        guard silence <= max(Self.zeroSilence, cadence * Self.silentPeriods) else {
          try instrument.open()
          throw .wire(.timedOut(device: settings.model, operation: "reading the zero: no reading for \(silence)"))
        }
      }
      try instrument.open()
      return all
    }
    try refuseWhenHeld()
    let currents = Self.settledCurrents(of: samples)
    guard currents.count >= Self.fewestZeroReadings else {
      throw .unexpected(
        device: settings.model, command: "reading the zero", answer: "\(currents.count) settled readings in \(span)")
    }
    let mean = currents.reduce(0, +) / Double(currents.count)
    let variance = currents.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(currents.count - 1)
    let used = self.range?.range ?? range
    zeros[used] = Amperes(mean)
    return CurrentZero(
      range: used, current: Amperes(mean),
      standardError: Amperes((variance / Double(currents.count)).squareRoot()))
  }

  /// A, of a zero's readings: what is read while the range settles says nothing of the zero.
  private static func settledCurrents(of samples: [Sample]) -> [Double] {
    samples.dropFirst(samples.count / 5).filter { !$0.flags.contains(.settling) }.compactMap(\.current?.value)
  }
}
