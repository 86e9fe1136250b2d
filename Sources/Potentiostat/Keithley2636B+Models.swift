import Quantities

/// A model of the 2600B family with low current ranges (scpi-smu.md §§0, 4).
///
/// Ranges are the fact sheet's. Accuracy, resolution and settling are from memory of the data sheet (1 PLC, 23 °C), and
/// not tried on hardware.
struct TSPModel: Sendable {
  /// As `*IDN?` has it.
  let number: String
  let channels: [String]
  /// It has digital lines.
  let hasLines: Bool
  let ranges: [RangeFacts]

  var name: String { "keithley-\(number.lowercased())" }
  /// Readings on the 100 pA range; the lowest range of the current source is 1 nA.
  static let lowestSourceRange = Amperes(1e-9)
  /// What the source takes as its current limit at least (scpi-smu.md §4).
  static let smallestCurrentLimit = 1e-10
  /// What the source takes as its voltage limit at most: its largest range (from memory, not tried on hardware).
  static let largestVoltageLimit = 200.0
  /// Full scale, and the largest error of a reading (gain·range + offset), V.
  static let voltageRanges: [(range: Double, error: Double)] = [
    (0.2, 255e-6), (2, 650e-6), (20, 8e-3), (200, 80e-3),
  ]

  static let k2636B = TSPModel(number: "2636B", channels: ["a", "b"], hasLines: true, ranges: [lowest] + common)
  static let k2635B = TSPModel(number: "2635B", channels: ["a"], hasLines: true, ranges: [lowest] + common)
  static let k2634B = TSPModel(number: "2634B", channels: ["a", "b"], hasLines: false, ranges: common)

  private static let lowest = keithleyRange(100e-12, 20e-15, 0.1e-15, 0.0015, 120e-15, settling: 0.15)
  private static let common: [RangeFacts] = [
    keithleyRange(1e-9, 20e-15, 1e-15, 0.0015, 240e-15, settling: 0.08),
    keithleyRange(10e-9, 200e-15, 10e-15, 0.0015, 3e-12, settling: 0.04),
    keithleyRange(100e-9, 2e-12, 100e-15, 0.0006, 40e-12, settling: 0.01),
    keithleyRange(1e-6, 20e-12, 1e-12, 0.00025, 400e-12), keithleyRange(10e-6, 200e-12, 10e-12, 0.00025, 1.5e-9),
    keithleyRange(100e-6, 2e-9, 100e-12, 0.0002, 25e-9), keithleyRange(1e-3, 20e-9, 1e-9, 0.0002, 200e-9),
    keithleyRange(10e-3, 200e-9, 10e-9, 0.0002, 2.5e-6), keithleyRange(100e-3, 2e-6, 100e-9, 0.0002, 20e-6),
    keithleyRange(1, 20e-6, 1e-6, 0.0003, 1.5e-3), keithleyRange(1.5, 50e-6, 1e-6, 0.0005, 3.5e-3),
  ]

  var remarks: [String] {
    var remarks = [
      "a held current comes from the 1 nA range or a higher one and is read there; its source is off by up to 2 pA"
    ]
    if ranges[0].range > Amperes(1e-10) { remarks.append("it has no 100 pA range; the 2635B and 2636B have") }
    return remarks
  }
}
