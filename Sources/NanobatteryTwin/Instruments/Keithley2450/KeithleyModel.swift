/// A model of the 2450 family: what differs between them.
///
/// The ranges of the 2450 are the fact sheet's (scpi-smu.md §0); those of the others, and what they allow as limits, are
/// from memory of their data sheets.
package struct KeithleyModel: Sendable {
  /// As `*IDN?` and the product descriptor have it; the USB product number has the same digits (usbtmc.md §1).
  package let number: String
  package let product: UInt16
  let voltageRanges: [Double]
  let currentRanges: [Double]

  /// As the daemon's configuration names it.
  var name: String { "keithley-\(number)" }
  /// What `ILIM` takes: from a tenth of the lowest range to 105 % of the largest (1 nA…1.05 A on the 2450, §2).
  var currentLimits: ClosedRange<Double> { currentRanges[0] / 10...currentRanges[currentRanges.count - 1] * 1.05 }
  /// What `VLIM` takes: 20 mV…210 V on the 2450 (§2).
  var voltageLimits: ClosedRange<Double> { voltageRanges[0]...voltageRanges[voltageRanges.count - 1] * 1.05 }

  package static let k2450 = KeithleyModel(
    number: "2450", product: 0x2450, voltageRanges: [0.02, 0.2, 2, 20, 200],
    currentRanges: [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1])
  package static let k2460 = KeithleyModel(
    number: "2460", product: 0x2460, voltageRanges: [0.2, 2, 7, 10, 20, 100],
    currentRanges: [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 4, 5, 7])
  package static let k2461 = KeithleyModel(
    number: "2461", product: 0x2461, voltageRanges: [0.2, 2, 7, 10, 20, 100],
    currentRanges: [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 4, 5, 7])
  package static let k2470 = KeithleyModel(
    number: "2470", product: 0x2470, voltageRanges: [0.2, 2, 20, 200, 1000],
    currentRanges: [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1])
}
