import Linux
import Quantities
import USB

/// The resident script at work under one bias.
extension Keithley2636B {
  /// Starts the script under a bias, and waits until it says that it has begun.
  func run(_ level: Double, _ bias: Bias) throws(InstrumentError) {
    measured = state
    let (volts, amperes) = heldLimits(bias)
    let period = acquisition?.period.value ?? 0.02
    let numbers = [
      level, VoltageRamp.step, period, Self.silence.value, volts.lowerBound, volts.upperBound, amperes.lowerBound,
      amperes.upperBound,
    ]
    // Rows of another bias that nobody asked for are nobody's.
    hasRest = false
    unread = Acquired()
    let line = "insitud_run(\(numbers.map { "\($0)" }.joined(separator: ", ")))"
    try connection.send(line)
    let end = MonotonicTime.now + Self.beginPatience
    while try connection.statusByte() & Self.messageAvailable == 0 {
      guard MonotonicTime.now < end else {
        try open()
        throw .refused(device: connection.name, command: line, errors: try refusals())
      }
      sleepThread(for: Seconds(0.001))
    }
    let text = try connection.read()
    let answer = try Self.parse(text, device: connection.name)
    guard let began = answer.began else {
      throw .unexpected(device: connection.name, command: line, answer: String(text.prefix(80)))
    }
    sourceBegan = began
    isRamping = true
    isRunning = true
    isEndingKnown = false
    asked = nil
  }

  /// The limits that the script holds: those of the cell and what a reading may be off, its zero among it, for here they
  /// are judged with the zero subtracted. A voltage that is set on purpose beyond its limit, as 0 V with the contacts
  /// open for the zero, is not one.
  private func heldLimits(_ bias: Bias) -> (ClosedRange<Double>, ClosedRange<Double>) {
    guard let limits = acquisition?.limits else { return (0...0, 0...0) }
    let volts = 2 * voltageAccuracy.value
    var lowest = limits.voltage.lowerBound.value - volts
    var highest = limits.voltage.upperBound.value + volts
    if case .voltage(let set) = bias, !limits.voltage.contains(set) {
      lowest = min(lowest, set.value - 0.1)
      highest = max(highest, set.value + 0.1)
    }
    let amperes = 2 * range.accuracy(at: limits.largestCurrent).value + 0.02 * range.range.value
    return (
      lowest...highest, limits.current.lowerBound.value - amperes...limits.current.upperBound.value + amperes
    )
  }

  /// Follows the script on its way to a voltage; a reading that is not within limits opens the output.
  func follow(_ ramp: VoltageRamp, _ isWithinLimits: (Sample) -> Bool) throws(InstrumentError) -> Acquired {
    var acquired = Acquired()
    let end = MonotonicTime.now + ramp.timeLimit(aperture: aperture)
    while isRamping, isRunning {
      guard MonotonicTime.now < end else {
        try open()
        throw .unexpected(device: connection.name, command: "insitud_run", answer: "nothing within the ramp's time")
      }
      let more = try ask()
      acquired += more
      if !more.samples.isEmpty { ThreadPulse.beat() }
      if !more.samples.allSatisfy(isWithinLimits) {
        try open()
        break
      }
      if isRamping { sleepThread(for: Seconds(0.001)) }
    }
    return acquired
  }
}
