import Glibc
package import Quantities

/// A trigger model that `:TRIG:LOAD` put together.
struct LoadedLoop {
  /// s; nil for a loop that counts.
  var duration: Double?
  var count: Int?
  var delay: Double
  var buffer: String
}

/// A trigger model at work.
struct RunningLoop {
  var loop: LoadedLoop
  var start: MonotonicTime
  /// When the delay before the next reading begins.
  var next: MonotonicTime
  var taken = 0
}

extension Keithley2450 {
  /// Bits of STAT and SOURSTAT of a reading (2450 manual, reading buffers).
  private enum Bit {
    /// Taken before the range or the level had settled: here this is what makes a reading questionable (a choice).
    static let questionable = 0x01
    static let frontTerminals = 0x08
    static let readBack = 0x08
    static let limited = 0x20
    static let fourWire = 0x40
    static let outputOn = 0x80
  }
  /// What a reading beyond its range shows.
  static let overflow = 9.9e37

  /// Length of one measurement, from NPLC and the line frequency, with what averaging and autozero add to it.
  func aperture(_ function: KeithleyFunction) -> Seconds {
    Seconds((senses[function]?.cycles ?? 1) / settings.lineFrequency)
  }

  func measuringTime(_ function: KeithleyFunction) -> Seconds {
    let aperture = aperture(function)
    guard let sense = senses[function] else { return aperture }
    let zeroing = sense.isAutozero ? settings.autozeroApertures : 0
    let repeats = sense.averages && !sense.averageIsMoving ? Double(sense.averageCount) : 1
    return aperture * (repeats * (1 + zeroing))
  }

  /// Takes all readings whose aperture has ended by `now`.
  package func advance(to now: MonotonicTime) {
    advanceBlocks(to: now)
    while var run = running {
      let begin = run.next + Seconds(run.loop.delay)
      let end = begin + measuringTime(senseFunction)
      guard end <= now else { return }
      buffers[run.loop.buffer]?.append(reading(from: begin, to: end))
      run.taken += 1
      run.next = end + settings.overhead
      let isOver = run.loop.duration.map { (run.next - run.start).value >= $0 } ?? (run.taken >= run.loop.count ?? 0)
      running = isOver ? nil : run
      // The predefined loops end with the output off (2450 manual, predefined trigger models).
      if isOver { setOutput(false, at: end) }
    }
  }

  func reading(from begin: MonotonicTime, to end: MonotonicTime) -> KeithleyReading {
    let means = cell.means(from: begin, to: end)
    let source = source
    let programmed = source.level
    let function = senseFunction
    var sourceStatus = 0
    if source.readsBack { sourceStatus |= Bit.readBack }
    if isOutputOn && means.complianceShare > 0 { sourceStatus |= Bit.limited }
    if senses[function]?.isFourWire == true { sourceStatus |= Bit.fourWire }
    if isOutputOn { sourceStatus |= Bit.outputOn }
    var status = terminals == .front ? Bit.frontTerminals : 0
    if begin < settledAt { status |= Bit.questionable }
    return KeithleyReading(
      source: source.readsBack ? measured(sourceFunction, means, begin, end) : programmed,
      value: measured(function, means, begin, end), sourceFunction: sourceFunction, function: function,
      stamp: clock.device(at: end), status: status, sourceStatus: sourceStatus)
  }

  private func measured(
    _ function: KeithleyFunction, _ means: TerminalMeans, _ begin: MonotonicTime, _ end: MonotonicTime
  ) -> Double {
    let span = end - begin
    let seconds = Double(end.nanoseconds) * 1e-9
    var value: Double
    switch function {
    case .voltage:
      value = means.voltage + settings.measureVoltageOffset
      value += voltageNoise.next(aperture: span.value, at: seconds)
    case .current:
      value = means.current + settings.measureOffset + currentNoise.next(aperture: span.value, at: seconds)
      if senses[.current]?.isAutozero == false { value += settings.zeroDrift * (end - zeroedAt).value }
    }
    let range = senseRange(function, for: value)
    value += settlingError(function, range, begin, end)
    if abs(value) > range * 1.05 { return Self.overflow }
    let scale = scale(function)
    return scale.quantized(value, step: scale.readingStep(range))
  }

  /// Mean over the aperture of the exponential that a change of range leaves behind.
  private func settlingError(
    _ function: KeithleyFunction, _ range: Double, _ begin: MonotonicTime, _ end: MonotonicTime
  ) -> Double {
    guard let changed = rangeChangedAt, settings.settlingShare > 0 else { return 0 }
    let tau = scale(function).settlingTime(range)
    let from = max(0, (begin - changed).value) / tau
    let to = max(0, (end - changed).value) / tau
    guard to > from, from < 40 else { return 0 }
    return settings.settlingShare * range * (exp(-from) - exp(-to)) / (to - from)
  }

  /// True while the source is held at its limit.
  func isLimited(at now: MonotonicTime) -> Bool {
    isOutputOn && cell.means(from: now - Seconds(1e-3), to: now).complianceShare > 0.5
  }
}

/// The instrument's clock as text.
enum KeithleyTime {
  /// Date and time of day of `nanoseconds` since 1970, in the proleptic Gregorian calendar.
  static func text(_ nanoseconds: Int64, decimals: Int, separator: String, yearFirst: Bool) -> (String, String) {
    let second = Int64(1_000_000_000)
    let seconds = nanoseconds >= 0 ? nanoseconds / second : (nanoseconds - second + 1) / second
    let fraction = nanoseconds - seconds * second
    let day = seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400
    let clock = Int(seconds - day * 86_400)
    // Days to civil date, counting years from March so that the leap day is the last one.
    let shifted = day + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let dayOfMonth = Int(dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    let month = Int(shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9)
    let year = Int(yearOfEra + era * 400 + (month <= 2 ? 1 : 0))
    let date =
      yearFirst
      ? [padded(year, 4), padded(month, 2), padded(dayOfMonth, 2)]
      : [padded(month, 2), padded(dayOfMonth, 2), padded(year, 4)]
    let time = [clock / 3600, clock / 60 % 60, clock % 60].map { padded($0, 2) }.joined(separator: ":")
    let digits = padded(Int(fraction), 9).prefix(decimals)
    return (date.joined(separator: separator), "\(time).\(digits)")
  }

  static func padded(_ number: Int, _ width: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, width - text.count)) + text
  }
}
