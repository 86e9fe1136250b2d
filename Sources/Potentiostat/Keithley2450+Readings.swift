import Linux
import Quantities
import USB

/// Readings of the 2450: rows of its circular buffer, with stamps of its own clock.
extension Keithley2450 {
  /// What is asked for of each row: source, reading, seconds and fraction of the stamp, two status words.
  private static let elements = "SOUR,READ,SEC,FRAC,STAT,SOURSTAT"
  private static let elementCount = 6
  /// A reading may be in the buffer this much later than its stamp says. The data sheet gives no figure; half a
  /// millisecond is the overhead of a reading at the smallest aperture.
  private static let visibilityDelay = Seconds(0.0005)

  /// Rows that have come since the last call.
  func fetch() throws(InstrumentError) -> Acquired {
    var acquired = Acquired()
    let asked = MonotonicTime.now
    let answer = try connection.query(":TRAC:ACT:END? \"defbuffer1\"")
    let answered = MonotonicTime.now
    guard let end = Int(answer) else {
      throw .unexpected(device: connection.name, command: ":TRAC:ACT:END?", answer: answer)
    }
    for rows in buffer.unread(through: end) {
      let question = ":TRAC:DATA? \(rows.lowerBound),\(rows.upperBound),\"defbuffer1\",\(Self.elements)"
      let readings = try parse(try connection.query(question), rows.count, question)
      for (row, reading) in readings.enumerated() {
        acquired.samples.append(reading.sample)
        // Not there when the poll before was asked, there when this one was answered: a bound on both sides.
        if row == 0 || row == readings.count - 1 {
          acquired.clockPairs.append(
            ClockPair(
              deviceNanoseconds: reading.stamp, earliest: buffer.lastAsked.map { $0 - Self.visibilityDelay },
              latest: answered))
        }
      }
    }
    buffer.noteAsked(asked)
    return acquired
  }

  /// One reading, taken now.
  func readOnce() throws(InstrumentError) -> (sample: Sample, pair: ClockPair) {
    let question = ":READ? \"defbuffer1\",\(Self.elements)"
    let asked = MonotonicTime.now
    let text = try connection.query(question, within: aperture * 4 + SCPIConnection.answerPatience)
    let reading = try parse(text, 1, question)[0]
    return (reading.sample, ClockPair(deviceNanoseconds: reading.stamp, earliest: asked, latest: .now))
  }

  /// Numbers as the instrument separates them, with blanks or without; nil when one is none.
  static func numbers(_ text: String) -> [Double]? {
    let fields = text.split(separator: ",", omittingEmptySubsequences: false)
    let numbers = fields.compactMap { Double($0.drop { $0 == " " }) }
    return numbers.count == fields.count ? numbers : nil
  }

  private func parse(_ text: String, _ count: Int, _ question: String) throws(InstrumentError) -> [(
    sample: Sample, stamp: Int64
  )] {
    guard let fields = Self.numbers(text), fields.count == Self.elementCount * count else {
      throw .unexpected(device: connection.name, command: question, answer: String(text.prefix(80)))
    }
    var readings: [(sample: Sample, stamp: Int64)] = []
    for row in 0..<count {
      let values = Array(fields[Self.elementCount * row..<Self.elementCount * (row + 1)])
      guard let seconds = Int64(exactly: values[2]), let status = Int(exactly: values[4]),
        let sourceStatus = Int(exactly: values[5]), (0..<1 << 33).contains(seconds), (0..<1).contains(values[3])
      else { throw .unexpected(device: connection.name, command: question, answer: "\(values)") }
      let stamp = seconds * 1_000_000_000 + Int64((values[3] * 1e9).rounded())
      readings.append((sample(values[0], values[1], stamp, status, sourceStatus), stamp))
    }
    return readings
  }

  /// One row of the buffer. The stamp is taken as the end of the aperture; a sample's time is its centre.
  private func sample(_ source: Double, _ measured: Double, _ stamp: Int64, _ status: Int, _ sourceStatus: Int)
    -> Sample
  {
    var flags: SampleFlags = []
    // Reading status 1: questionable, as while settling. Source status 32: limited, 128: output on (2450 reference
    // manual, buffer status).
    if status & 1 != 0 { flags.insert(.settling) }
    if sourceStatus & 32 != 0 { flags.insert(.compliance) }
    if sourceStatus & 128 == 0 { flags.insert(.outputOff) }
    let (volts, amperes) = buffered == .current ? (measured, source) : (source, measured)
    // 9.9E37 is the instrument's word for overflow.
    if abs(volts) > 9e36 || abs(amperes) > 9e36 { flags.insert(.overflow) }
    return Sample(
      deviceNanoseconds: stamp - aperture.nanoseconds / 2, arrival: .now,
      voltage: abs(volts) > 9e36 ? nil : Volts(volts), current: abs(amperes) > 9e36 ? nil : Amperes(amperes),
      range: range.range, aperture: aperture, flags: flags)
  }
}
