import Quantities

/// A model of the 2450 family: ranges, accuracy and limits as its data sheet has them.
///
/// The 2450 is from SPEC-2450 Rev A (scpi-smu.md §0). The 2460, 2461 and 2470 are from memory of their data sheets, and
/// not tried on hardware; so are all settling times, for which the sheets give no figure at the lowest ranges.
struct KeithleyModel: Sendable {
  /// As `*IDN?` ends its model with.
  let number: String
  let ranges: [RangeFacts]
  /// Full scale, and the largest error (gain·range + offset), V.
  let voltageRanges: [(range: Double, error: Double)]
  /// What the source takes as its current limit at least, A; as its voltage limit at least, V.
  let smallestCurrentLimit: Double
  let smallestVoltageLimit: Double
  /// Above this voltage the source works only with the interlock closed (scpi-smu.md §1.3).
  static let interlockVoltage = 42.0

  private static let middle: [RangeFacts] = [
    keithleyRange(100e-6, 5e-9, 100e-12, 0.0002, 6e-9), keithleyRange(1e-3, 50e-9, 1e-9, 0.0002, 60e-9),
    keithleyRange(10e-3, 500e-9, 10e-9, 0.0002, 600e-9), keithleyRange(100e-3, 5e-6, 100e-9, 0.00025, 6e-6),
  ]

  static let k2450 = KeithleyModel(
    number: "2450",
    ranges: [
      keithleyRange(10e-9, 500e-15, 10e-15, 0.0010, 50e-12, settling: 0.04),
      keithleyRange(100e-9, 5e-12, 100e-15, 0.0006, 100e-12, settling: 0.01),
      keithleyRange(1e-6, 50e-12, 1e-12, 0.00025, 300e-12), keithleyRange(10e-6, 500e-12, 10e-12, 0.00025, 700e-12),
    ] + middle + [keithleyRange(1, 50e-6, 1e-6, 0.0003, 500e-6)],
    voltageRanges: [(0.02, 170e-6), (0.2, 224e-6), (2, 540e-6), (20, 4e-3), (200, 40e-3)],
    smallestCurrentLimit: 1e-9, smallestVoltageLimit: 0.02)

  private static let strong: [RangeFacts] = [
    keithleyRange(1e-6, 50e-12, 1e-12, 0.00025, 700e-12), keithleyRange(10e-6, 500e-12, 10e-12, 0.00025, 1.5e-9),
    keithleyRange(100e-6, 5e-9, 100e-12, 0.0002, 15e-9), keithleyRange(1e-3, 50e-9, 1e-9, 0.0002, 150e-9),
    keithleyRange(10e-3, 500e-9, 10e-9, 0.0002, 1.5e-6), keithleyRange(100e-3, 5e-6, 100e-9, 0.00025, 15e-6),
    keithleyRange(1, 50e-6, 1e-6, 0.0005, 1.5e-3), keithleyRange(4, 250e-6, 1e-6, 0.0015, 5e-3),
    keithleyRange(5, 250e-6, 1e-6, 0.0015, 5e-3), keithleyRange(7, 500e-6, 10e-6, 0.0015, 5e-3),
  ]
  private static let strongVoltages = [
    (0.2, 330e-6), (2, 540e-6), (7, 2.1e-3), (10, 2.5e-3), (20, 4e-3), (100, 20e-3),
  ]
  static let k2460 = KeithleyModel(
    number: "2460", ranges: strong, voltageRanges: strongVoltages, smallestCurrentLimit: 1e-7,
    smallestVoltageLimit: 0.2)
  static let k2461 = KeithleyModel(
    number: "2461", ranges: strong, voltageRanges: strongVoltages, smallestCurrentLimit: 1e-7,
    smallestVoltageLimit: 0.2)

  static let k2470 = KeithleyModel(
    number: "2470",
    ranges: [
      keithleyRange(10e-9, 500e-15, 10e-15, 0.0010, 250e-12, settling: 0.04),
      keithleyRange(100e-9, 5e-12, 100e-15, 0.0006, 300e-12, settling: 0.01),
      keithleyRange(1e-6, 50e-12, 1e-12, 0.00025, 400e-12), keithleyRange(10e-6, 500e-12, 10e-12, 0.00025, 1.5e-9),
    ] + middle + [keithleyRange(1, 50e-6, 1e-6, 0.0003, 900e-6)],
    voltageRanges: [(0.2, 330e-6), (2, 540e-6), (20, 4e-3), (200, 40e-3), (1000, 0.25)],
    smallestCurrentLimit: 1e-9, smallestVoltageLimit: 0.2)

  /// What the operator must know before trusting it.
  var remarks: [String] {
    guard let lowest = ranges.first, lowest.range >= Amperes(1e-6) else { return [] }
    return [
      "the lowest range is \(lowest.range), with an accuracy of \(lowest.measureOffset): "
        + "currents of a nanobattery are below what it can tell"
    ]
  }
}

/// A range as Keithley's data sheets list it: A; source and measure resolution; gain and offset of the error; s.
func keithleyRange(
  _ range: Double, _ source: Double, _ measure: Double, _ gain: Double, _ offset: Double, settling: Double = 0.002
) -> RangeFacts {
  RangeFacts(
    range: Amperes(range), sourceResolution: Amperes(source), measureResolution: Amperes(measure), measureGain: gain,
    measureOffset: Amperes(offset), settling: Seconds(settling))
}
