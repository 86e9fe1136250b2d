import Linux
import Quantities
import USB

/// Rows of the resident script, fetched by asking for them.
extension Keithley2636B {
  /// What the script said in one answer.
  struct Answer {
    var rows: [Row] = []
    /// Seconds of the instrument's timer when it spoke.
    var spoken: Double?
    var left = 0
    var isOutputOn = true
    var why = ""
    /// When the script began, if that is what it said.
    var began: Double?
  }

  struct Row {
    var number: Int
    var time: Double
    var current: Double
    var voltage: Double
    var flags: Int
  }

  /// Reads the lines of an answer; anything else is an error.
  static func parse(_ text: String, device: String) throws(InstrumentError) -> Answer {
    var answer = Answer()
    for line in text.split(whereSeparator: \.isNewline) {
      let fields = line.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
      let numbers = fields.dropFirst().map { Double($0) ?? .nan }
      switch (fields[0], fields.count) {
      case ("R", 6):
        guard let number = Int(fields[1]), let flags = Int(fields[5]), numbers.allSatisfy(\.isFinite),
          (0..<1e9).contains(numbers[1])
        else { throw .unexpected(device: device, command: "row", answer: String(line.prefix(80))) }
        answer.rows.append(
          Row(number: number, time: numbers[1], current: numbers[2], voltage: numbers[3], flags: flags))
      case ("T", 5):
        guard let left = Int(fields[2]), let output = Int(fields[3]), (0..<1e9).contains(numbers[0]) else {
          throw .unexpected(device: device, command: "rows", answer: String(line.prefix(80)))
        }
        answer.spoken = numbers[0]
        answer.left = left
        answer.isOutputOn = output == 1
        answer.why = fields[4]
      case ("B", 2):
        guard (0..<1e9).contains(numbers[0]) else { fallthrough }
        answer.began = numbers[0]
      default: throw .unexpected(device: device, command: "rows", answer: String(line.prefix(80)))
      }
    }
    return answer
  }

  /// Takes rows in, each once; what is missing in between is counted.
  func take(_ answer: Answer) -> [Sample] {
    var samples: [Sample] = []
    for row in answer.rows where row.number > lastRow {
      lastRow = row.number
      isRamping = row.flags & 8 != 0
      samples.append(sample(row))
    }
    if !answer.isOutputOn { outputOpened() }
    if !answer.why.isEmpty, answer.left == 0 { scriptEnded(answer.why) }
    return samples
  }

  /// The stamp is the end of the reading; a sample's time is the centre of its aperture.
  private func sample(_ row: Row) -> Sample {
    var flags: SampleFlags = []
    if row.flags & 1 != 0 { flags.insert(.compliance) }
    if row.flags & 4 != 0 { flags.insert(.outputOff) }
    let stamp = Int64((row.time * 1e9).rounded())
    if row.time - sourceBegan < range.settling.value { flags.insert(.settling) }
    // 9.91E37 is the instrument's word for overflow.
    let isOver = (abs(row.voltage) > 9e36, abs(row.current) > 9e36)
    if isOver.0 || isOver.1 { flags.insert(.overflow) }
    return Sample(
      deviceNanoseconds: stamp - aperture.nanoseconds / 2, arrival: .now,
      voltage: isOver.0 ? nil : Volts(row.voltage), current: isOver.1 ? nil : Amperes(row.current),
      range: range.range, aperture: aperture, flags: flags)
  }

  /// Asks the running script for its rows, or sees whether the answer to the last question is there. Waits for nothing.
  /// - Parameter isLast: no further question follows the answer.
  func ask(isLast: Bool = false) throws(InstrumentError) -> Acquired {
    var acquired = Acquired()
    if let asked {
      let looked = MonotonicTime.now
      if try connection.statusByte() & Self.messageAvailable != 0 {
        let seen = MonotonicTime.now
        let answer = try Self.parse(try connection.read(), device: connection.name)
        acquired.samples = take(answer)
        if let spoken = answer.spoken {
          // Spoken after it was asked, and not there yet when it was looked for last.
          acquired.clockPairs.append(
            ClockPair(
              deviceNanoseconds: Int64((spoken * 1e9).rounded()), earliest: max(asked, notYet ?? asked), latest: seen))
          self.asked = nil
        }
      } else {
        notYet = looked
        // A trigger can be lost while the script begins.
        if looked - asked > Self.answerPatience + aperture { self.asked = nil }
      }
    }
    if asked == nil, isRunning, !isLast {
      notYet = nil
      asked = .now
      try connection.trigger()
    }
    return acquired
  }

  /// Lets the answer to the last question come, so that what is sent next interrupts no answer.
  func awaitAnswer() throws(InstrumentError) -> Acquired {
    var acquired = Acquired()
    let end = MonotonicTime.now + Self.answerPatience + aperture
    while isRunning, asked != nil, MonotonicTime.now < end {
      acquired += try ask(isLast: true)
      if asked != nil { sleepThread(for: Seconds(0.001)) }
    }
    asked = nil
    return acquired
  }

  /// Answers that nobody has read, so that none is taken for another.
  func drained() throws(InstrumentError) -> Acquired {
    var acquired = Acquired()
    for _ in 0..<Self.mostUnread {
      guard try connection.statusByte() & Self.messageAvailable != 0 else { break }
      acquired.samples += take(try Self.parse(try connection.read(), device: connection.name))
    }
    return acquired
  }
  private static let mostUnread = 16

  /// Rows that the script has kept and that were not seen yet; while no script runs.
  func fetchRest() throws(InstrumentError) -> Acquired {
    var acquired = Acquired()
    for _ in 0...ResidentScript.rowsKept / ResidentScript.rowsPerAnswer {
      let text = try connection.query("insitud_rest(\(lastRow))")
      let answer = try Self.parse(text, device: connection.name)
      acquired.samples += take(answer)
      if answer.left == 0 { break }
    }
    return acquired
  }
}
