import Quantities

/// What the four models of the B2900A series differ in, and what their data sheet says (B2900A data sheet, "Voltage" and
/// "Current measurement specifications"; `scpi-smu.md` §0).
struct KeysightB2900Model: Sendable {
  /// As `*IDN?` says it.
  let name: String
  let channels: Int
  /// The 10 nA range is the B2911A's and B2912A's alone, and with it the finer steps of the source.
  let isFine: Bool

  static let all = [
    KeysightB2900Model(name: "B2901A", channels: 1, isFine: false),
    KeysightB2900Model(name: "B2902A", channels: 2, isFine: false),
    KeysightB2900Model(name: "B2911A", channels: 1, isFine: true),
    KeysightB2900Model(name: "B2912A", channels: 2, isFine: true),
  ]

  var ranges: [RangeFacts] { isFine ? Self.measured.map(\.facts) : Self.measured.dropFirst().map(\.facts) }

  /// Source resolutions from memory of the data sheet (10 fA … with 6½ digits, 1 pA … with 5½): not tried on hardware.
  /// Settling of the two lowest ranges is an estimate: the data sheet gives none for the measurement.
  private static let measured: [(facts: RangeFacts, derating: [Double])] = [
    row(10e-9, 10e-15, 0.0010, 50e-12, [0.001, 0.01, 0.05], settling: 0.02),
    row(100e-9, 100e-15, 0.0006, 100e-12, [0.0001, 0.001, 0.01], settling: 0.005),
    row(1e-6, 1e-12, 0.00025, 500e-12), row(10e-6, 10e-12, 0.00025, 1.5e-9), row(100e-6, 100e-12, 0.0002, 25e-9),
    row(1e-3, 1e-9, 0.0002, 200e-9), row(10e-3, 10e-9, 0.0002, 2.5e-6), row(100e-3, 100e-9, 0.0002, 20e-6),
    row(1, 1e-6, 0.0003, 1.5e-3, [0.0001, 0.0002, 0.002]), row(1.5, 1e-6, 0.0005, 3.5e-3, [0.0001, 0.0002, 0.002]),
  ]

  private static func row(
    _ range: Double, _ resolution: Double, _ gain: Double, _ offset: Double,
    _ derating: [Double] = [0.0001, 0.0005, 0.005], settling: Double = 0.001
  ) -> (facts: RangeFacts, derating: [Double]) {
    var facts = RangeFacts(
      range: Amperes(range), sourceResolution: Amperes(resolution * 10), measureResolution: Amperes(resolution),
      measureGain: gain, measureOffset: Amperes(offset))
    facts.settling = Seconds(settling)
    return (facts, derating)
  }

  /// A range as it is at an aperture below one power line cycle: a share of the range is added to the error.
  func facts(of range: RangeFacts, atPowerLineCycles cycles: Double) -> RangeFacts {
    guard let derating = Self.measured.first(where: { $0.facts.range == range.range })?.derating else { return range }
    var range = range
    range.measureOffset = range.measureOffset + range.range * Self.share(derating, cycles)
    return range
  }

  /// The sheet gives the shares at 0.1, 0.01 and 0.001 cycles; between them the worse one holds.
  private static func share(_ derating: [Double], _ cycles: Double) -> Double {
    if cycles >= 1 { return 0 }
    if cycles >= 0.1 { return derating[0] }
    return cycles >= 0.01 ? derating[1] : derating[2]
  }

  /// Full scale, V; error gain·reading + offset; shares added below one cycle.
  struct VoltageRange {
    var range: Double
    var gain: Double
    var offset: Double
    var derating: [Double]
    func error(atPowerLineCycles cycles: Double) -> Double {
      gain * range + offset + KeysightB2900Model.share(derating, cycles) * range
    }
  }
  static let voltageRanges = [
    VoltageRange(range: 0.2, gain: 0.00015, offset: 225e-6, derating: [0.0001, 0.0005, 0.005]),
    VoltageRange(range: 2, gain: 0.0002, offset: 350e-6, derating: [0.0001, 0.0002, 0.002]),
    VoltageRange(range: 20, gain: 0.00015, offset: 5e-3, derating: [0.0001, 0.0002, 0.002]),
    VoltageRange(range: 200, gain: 0.00015, offset: 50e-3, derating: [0.0001, 0.0002, 0.002]),
  ]
}
