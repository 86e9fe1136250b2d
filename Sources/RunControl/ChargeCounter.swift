package import Quantities

/// Charge moved since the start of a run: the integral of the measured current over the instrument's own clock.
package struct ChargeCounter: Sendable {
  /// A pause between samples longer than this is a hole: its charge is not guessed.
  package let longestPause: Seconds

  package private(set) var charge = Coulombs.zero
  /// Holes met so far, and their length together.
  package private(set) var holes = 0
  package private(set) var holeTime = Seconds(0)
  private var last: (deviceNanoseconds: Int64, current: Double)?
  /// A hole was marked on a sample that gave no current.
  private var missesHole = false

  /// - Parameter samplePeriod: as asked for; three missing samples, or a second, make a hole.
  package init(samplePeriod: Seconds = Seconds(0.01)) { longestPause = max(Seconds(1), samplePeriod * 3) }

  /// Adds the trapezoid between the sample before and this one; gives the charge at this sample's time.
  package mutating func add(_ sample: Sample) -> Coulombs {
    // A rest with the circuit open moves nothing, and some instruments then measure nothing. Other samples without a
    // current are bridged.
    let isAtRest = sample.flags.contains(.openCircuit) && !sample.flags.contains(.overflow)
    guard let current = sample.current?.value ?? (isAtRest ? 0 : nil) else {
      missesHole = missesHole || sample.flags.contains(.afterHole)
      return charge
    }
    if let last {
      let pause = Seconds(nanoseconds: sample.deviceNanoseconds - last.deviceNanoseconds)
      if pause > longestPause || pause.value < 0 || missesHole
        || sample.flags.contains(.afterHole)
      {
        holes += 1
        holeTime = holeTime + max(pause, .zero)
      } else {
        charge = charge + Coulombs((last.current + current) / 2 * pause.value)
      }
    }
    missesHole = false
    last = (sample.deviceNanoseconds, current)
    return charge
  }
}
