import Linux
import Quantities
import USB

/// The way to a voltage, in small steps. Each is measured and judged, so that no limit is passed unseen on the way.
struct VoltageRamp {
  /// V.
  static let step = 0.02
  /// 10 V. A longer way would take longer than whoever asked for it waits.
  static let mostSteps = 500
  /// A slower sample period is not waited for at each step: an aperture of 20 ms still rejects the line's frequency, and
  /// 10 V are passed before anybody takes the thread that does it for hung.
  static let longestPeriod = Seconds(0.025)
  /// What a step may take beside its reading, and the whole way besides: a slow link or a busy computer.
  private static let stepPatience = Seconds(0.02)
  private static let patience = Seconds(5)

  let steps: Int
  private let start: Double
  private let end: Double
  private let device: String

  /// Refuses a way that is too long, before anything is set.
  init(from start: Double, to end: Double, device: String) throws(InstrumentError) {
    let wanted = (abs(end - start) / Self.step - 1e-9).rounded(.up)
    guard wanted <= Double(Self.mostSteps) else {
      throw .unable(
        device: device,
        reason: "from \(Volts(start)) to \(Volts(end)) it is more than \(Volts(Self.step * Double(Self.mostSteps))), "
          + "the longest way that a voltage is ramped over; hold a voltage in between first")
    }
    steps = max(1, Int(wanted))
    self.start = start
    self.end = end
    self.device = device
  }

  /// How long the way may take, with readings of such an aperture.
  func timeLimit(aperture: Seconds) -> Seconds { Self.patience + (aperture + Self.stepPatience) * Double(steps) }

  /// Goes the way; ends where a reading is not within limits, and in time.
  /// - Parameters:
  ///   - set: sets the source, V.
  ///   - read: takes one reading; called after each step but the last.
  /// - Returns: the readings.
  func follow(
    aperture: Seconds, _ isWithinLimits: (Sample) -> Bool, set: (Double) throws(InstrumentError) -> Void,
    read: () throws(InstrumentError) -> (sample: Sample, pair: ClockPair)
  ) throws(InstrumentError) -> Acquired {
    var acquired = Acquired()
    let deadline = MonotonicTime.now + timeLimit(aperture: aperture)
    for k in 1...steps {
      guard .now < deadline else {
        throw .wire(
          .timedOut(
            device: device, operation: "the ramp to \(Volts(end)), of which \(k - 1) of \(steps) steps were done"))
      }
      ThreadPulse.beat()
      try set(start + (end - start) * Double(k) / Double(steps))
      guard k < steps else { break }
      let (sample, pair) = try read()
      acquired.samples.append(sample)
      acquired.clockPairs.append(pair)
      guard isWithinLimits(sample) else { break }
    }
    return acquired
  }
}
