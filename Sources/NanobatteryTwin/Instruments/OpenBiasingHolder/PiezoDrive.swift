import Quantities

/// The piezo of an OBH-1: slip-stick steps for coarse motion, voltages on the quadrants for fine (holder.md §1, §4.3).
struct PiezoDrive {
  enum Waveform: Equatable { case sawtooth, cycloid, user }

  static let axes = 3
  static let z = 2
  static let highVoltage = 150.0
  /// Below it the load follows the fast edge as well and nothing slips.
  static let stickAmplitude = 15.0

  var axis = Self.z
  var amplitude = 30.0
  var frequency = 100.0
  var waveform = Waveform.sawtooth
  /// One period of the user's waveform: 256 points, 255 is the amplitude. At power-on a sawtooth.
  var table = (0...255).map { UInt8($0) }
  /// Steps still to be made, with their direction.
  private(set) var remaining = 0
  /// Steps made since the counts were zeroed.
  private(set) var counts = [0, 0, 0]
  /// m the coarse drive has moved each axis.
  private(set) var coarse = [0.0, 0.0, 0.0]
  private(set) var nextStepAt: MonotonicTime?

  /// V/s.
  private(set) var slew = 100.0
  var lowLimit = -Self.highVoltage
  var highLimit = Self.highVoltage
  private(set) var target = [0.0, 0.0, 0.0]
  private var from = [0.0, 0.0, 0.0]
  private var start = MonotonicTime(nanoseconds: 0)

  var isStepping: Bool { remaining != 0 }

  /// When the last step will have been made.
  var coarseEnd: MonotonicTime? {
    nextStepAt.map { $0 + Seconds(Double(abs(remaining) - 1) / frequency) }
  }

  /// V on the three axes.
  func fine(at now: MonotonicTime) -> [Double] {
    let moved = slew * max(0, (now - start).value)
    return zip(from, target).map { $0 < $1 ? min($1, $0 + moved) : max($1, $0 - moved) }
  }

  func isFineMoving(at now: MonotonicTime) -> Bool { fine(at: now) != target }

  mutating func go(to voltages: [Double], at now: MonotonicTime) {
    from = fine(at: now)
    start = now
    target = voltages
  }

  /// Stays where it is.
  mutating func holdFine(at now: MonotonicTime) { go(to: fine(at: now), at: now) }

  mutating func setSlew(_ value: Double, at now: MonotonicTime) {
    from = fine(at: now)
    start = now
    slew = value
  }

  mutating func begin(steps: Int, at now: MonotonicTime) {
    remaining = steps
    nextStepAt = steps == 0 ? nil : now + Seconds(1 / frequency)
  }

  /// One step is over.
  /// - Parameter lengthPerVolt: m of a step for each volt of its amplitude.
  mutating func step(_ lengthPerVolt: Double, at now: MonotonicTime) {
    guard remaining != 0 else { return nextStepAt = nil }
    let direction = remaining > 0 ? 1 : -1
    counts[axis] += direction
    coarse[axis] += Double(direction) * carried * lengthPerVolt
    remaining -= direction
    nextStepAt = remaining == 0 ? nil : now + Seconds(1 / frequency)
  }

  /// V of the motion that one period carries the load. It follows what is slow and stays behind at an edge: where two points
  /// that follow each other are 15 V apart.
  var carried: Double {
    guard waveform == .user else { return amplitude >= Self.stickAmplitude ? amplitude : 0 }
    let voltPerCount = amplitude / 255
    return table.indices.reduce(0) { sum, index in
      let moved = Double(Int(table[(index + 1) % table.count]) - Int(table[index])) * voltPerCount
      return abs(moved) < Self.stickAmplitude ? sum + moved : sum
    }
  }

  mutating func stopCoarse() {
    remaining = 0
    nextStepAt = nil
  }

  mutating func zeroCounts() { counts = [0, 0, 0] }
}
