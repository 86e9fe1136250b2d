package import Quantities

/// Charge moved since the start of a run: the integral of the measured current over the instrument's own clock.
///
/// Between two readings the current is a straight line. Where it was not measured, over a hole or with the cell open, only
/// what each reading itself covers counts: its current over its aperture.
package struct ChargeCounter: Sendable {
  /// A pause between samples longer than this is a hole: its charge is not guessed.
  package let longestPause: Seconds

  package private(set) var charge = Coulombs.zero
  /// Holes met so far, and their length together.
  package private(set) var holes = 0
  package private(set) var holeTime = Seconds(0)
  private var last: (deviceNanoseconds: Int64, current: Double, halfAperture: Seconds)?
  /// What lay between the last reading of the current and now. The reading that is flagged may have a voltage alone.
  private var isAfterHole = false
  private var wasOpen = false

  /// - Parameter samplePeriod: as asked for; three missing samples, or a second, make a hole.
  package init(samplePeriod: Seconds = Seconds(0.01)) { longestPause = max(Seconds(1), samplePeriod * 3) }

  /// Adds what has flowed since the sample before; gives the charge at this sample's time.
  package mutating func add(_ sample: Sample) -> Coulombs {
    if sample.flags.contains(.afterHole) { isAfterHole = true }
    guard let current = sample.current?.value else {
      if sample.flags.contains(.openCircuit) { wasOpen = true }
      return charge
    }
    let halfAperture = sample.aperture * 0.5
    if let last {
      let pause = Seconds(nanoseconds: sample.deviceNanoseconds - last.deviceNanoseconds)
      let isHole = isAfterHole || pause.value < 0 || (pause > longestPause && !wasOpen)
      if isHole {
        holes += 1
        holeTime = holeTime + max(.zero, pause - last.halfAperture - halfAperture)
      }
      if isHole || wasOpen {
        charge = charge + Coulombs(last.current * last.halfAperture.value + current * halfAperture.value)
      } else {
        charge = charge + Coulombs((last.current + current) / 2 * pause.value)
      }
    }
    last = (sample.deviceNanoseconds, current, halfAperture)
    (isAfterHole, wasOpen) = (false, false)
    return charge
  }
}
