import Quantities

/// Data of the B2985A and B2987A electrometers.
///
/// Error of 2 pA, 20 pA and 2 nA, and settling of 2, 20 and 200 pA, 2 nA and 2 µA: `scpi-smu.md` §0 [P4]. The other
/// rows, resolutions and all of the voltage source and voltmeter are from memory of the data sheet: not tried on
/// hardware.
enum KeysightB2980Model {
  static let ranges: [RangeFacts] = [
    row(2e-12, 1e-18, 0.01, 3e-15, 16), row(20e-12, 1e-17, 0.005, 3e-15, 1.4), row(200e-12, 1e-16, 0.005, 5e-15, 1.4),
    row(2e-9, 1e-15, 0.002, 300e-15, 13e-3), row(20e-9, 1e-14, 0.002, 300e-15, 13e-3),
    row(200e-9, 1e-13, 0.002, 5e-12, 13e-3), row(2e-6, 1e-12, 0.001, 100e-12, 550e-6),
    row(20e-6, 1e-11, 0.0005, 500e-12, 550e-6), row(200e-6, 1e-10, 0.0005, 5e-9, 550e-6),
    row(2e-3, 1e-9, 0.0005, 50e-9, 550e-6), row(20e-3, 1e-8, 0.0005, 500e-9, 550e-6),
  ]

  private static func row(_ range: Double, _ resolution: Double, _ gain: Double, _ offset: Double, _ settling: Double)
    -> RangeFacts
  {
    // There is no current source: its resolution is the range itself.
    var facts = RangeFacts(
      range: Amperes(range), sourceResolution: Amperes(range), measureResolution: Amperes(resolution),
      measureGain: gain, measureOffset: Amperes(offset))
    facts.settling = Seconds(settling)
    return facts
  }

  /// The voltage source in its 20 V range: error gain·setting + offset, V.
  static let sourceGain = 0.0005
  static let sourceOffset = 10e-3
  static let sourceRange = 20.0
  /// The voltmeter in its 20 V range.
  static let meterGain = 0.00025
  static let meterOffset = 400e-6
  static let meterSettling = Seconds(0.05)
}
