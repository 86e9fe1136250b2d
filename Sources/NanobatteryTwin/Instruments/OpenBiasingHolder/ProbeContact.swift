import Glibc

/// The probe and the surface it comes to: distance, current over distance, force once it presses.
package struct ProbeContact: Sendable {
  /// m between tip and surface with the piezo at 0 V and no step made; negative where the tip already presses.
  package var gap = -0.5e-9
  /// m of fine motion for each volt on an axis.
  package var finePerVolt = 5e-9
  /// m of a coarse step for each volt of its amplitude.
  package var coarsePerVolt = 8e-9
  /// Ω of the contact.
  package var resistance = 1e8
  /// m in which the tunnelling current falls by e: one decade in 0.115 nm, as for a work function of 4 eV.
  package var decay = 0.05e-9
  /// m; closer than this the cell's chemistry sees its electrode.
  package var cellDistance = 0.15e-9
  /// N/m of the force sensor's spring.
  package var stiffness = 0.2

  package init() {}

  /// A through the tip at `voltage` and a distance in m.
  func current(_ voltage: Double, gap: Double) -> Double { voltage / resistance * exp(-max(0, gap) / decay) }

  /// N, pressing counts positive.
  func force(gap: Double) -> Double { stiffness * max(0, -gap) }
}

/// The firmware's contact detection: so many readings in a row beyond the threshold (holder.md §4.3, §4.5).
struct ContactDetector {
  enum Action: Equatable { case stop, retract, none }
  /// How far the tip goes back.
  enum Retraction: Equatable {
    case volts(Double)
    case steps(Int)
  }
  struct Contact: Equatable {
    var time_us: UInt64
    var current_A: Double
    /// Coarse steps made along the axis in use.
    var steps: Int
  }

  /// Readings whose mean is the baseline, from switching on.
  static let baselineReadings = 10

  var isOn = false
  var bias = 0.05
  var threshold = 5e-11
  var dwell = 1e-3
  var count = 3
  var action = Action.stop
  var retraction = Retraction.volts(5)
  var nextReading: Int64 = 0
  var contact: Contact?
  private var baseline: [Double] = []
  private var inARow = 0

  mutating func restart() {
    baseline = []
    inARow = 0
    contact = nil
    nextReading = 0
  }

  /// True with the reading that makes the contact.
  mutating func take(_ current: Double) -> Bool {
    guard contact == nil else { return false }
    if baseline.count < Self.baselineReadings {
      baseline.append(current)
      // A tip that touches already has no baseline to rise from: what is beyond twice the threshold is contact too.
      guard abs(current) > 2 * threshold else { return false }
      baseline.removeLast()
      inARow += 1
      return inARow >= count
    }
    let mean = baseline.reduce(0, +) / Double(baseline.count)
    inARow = abs(current - mean) > threshold ? inARow + 1 : 0
    return inARow >= count
  }
}
