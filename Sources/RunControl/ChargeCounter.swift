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
  private struct Reading {
    var deviceNanoseconds: Int64
    var current: Double
    var halfAperture: Seconds
    /// The cell was open: nothing flowed.
    var isOpen: Bool
    /// What flowed in half of its aperture.
    var half: Coulombs { Coulombs(current * halfAperture.value) }
  }
  private var last: Reading?
  /// A hole was marked on a sample that gave no current.
  private var missesHole = false

  /// - Parameter samplePeriod: as asked for; three missing samples, or a second, make a hole.
  package init(samplePeriod: Seconds = Seconds(0.01)) { longestPause = max(Seconds(1), samplePeriod * 3) }

  /// Adds what has flowed since the sample before; gives the charge at this sample's time.
  package mutating func add(_ sample: Sample) -> Coulombs {
    // A rest with the circuit open moves nothing, and some instruments then measure nothing. Other samples without a
    // current are bridged.
    let isOpen = sample.flags.contains(.openCircuit) && !sample.flags.contains(.overflow)
    let isAfterHole = missesHole || sample.flags.contains(.afterHole)
    guard let current = sample.current?.value ?? (isOpen ? 0 : nil) else {
      missesHole = isAfterHole
      return charge
    }
    missesHole = false
    let reading = Reading(
      deviceNanoseconds: sample.deviceNanoseconds, current: current, halfAperture: sample.aperture * 0.5, isOpen: isOpen
    )
    defer { last = reading }
    guard let last else { return charge }
    let pause = Seconds(nanoseconds: reading.deviceNanoseconds - last.deviceNanoseconds)
    let isHole = isAfterHole || pause.value < 0 || pause > longestPause
    if isHole {
      holes += 1
      holeTime = holeTime + max(.zero, pause - last.halfAperture - reading.halfAperture)
    }
    // Where the cell is opened or closed the current is a step, and no line.
    if isHole || isOpen != last.isOpen {
      charge = charge + last.half + reading.half
    } else {
      charge = charge + Coulombs((last.current + current) / 2 * pause.value)
    }
    return charge
  }
}
