/// What a 2450 sources or measures.
package enum KeithleyFunction: Sendable, CaseIterable {
  case voltage, current

  var keyword: String { self == .voltage ? "VOLTage" : "CURRent" }
  var short: String { self == .voltage ? "VOLT" : "CURR" }
  var unit: String { self == .voltage ? "Volt DC" : "Amp DC" }
}

/// Ranges and steps of one function of one model.
struct KeithleyScale {
  let function: KeithleyFunction
  /// Full-scale values, smallest first.
  let ranges: [Double]

  var largest: Double { ranges[ranges.count - 1] }

  /// 105 % of full scale; beyond it a range overflows.
  var maximum: Double { largest * 1.05 }

  /// The smallest range that holds `value`, or nil.
  func range(for value: Double) -> Double? { ranges.first { abs(value) <= $0 * 1.0000001 } }

  /// As `range(for:)`, with the 5 % above full scale that a range still gives.
  func rangeWithMargin(for value: Double) -> Double { ranges.first { abs(value) <= $0 * 1.05 } ?? largest }

  /// Step of the source: 500 fA in 10 nA, 5 pA in 100 nA (scpi-smu.md §0); of the voltage source 500 nV in 20 mV.
  func sourceStep(_ range: Double) -> Double { range * (function == .current ? 5e-5 : 2.5e-5) }

  /// Step of a reading: 10 fA in 10 nA, 10 nV in 20 mV (§0).
  func readingStep(_ range: Double) -> Double { range * (function == .current ? 1e-6 : 5e-7) }

  func quantized(_ value: Double, step: Double) -> Double { (value / step).rounded() * step }

  /// Time constant of settling after a change of level or range, s. Assumed: the slow pA input of the lowest ranges, and
  /// the amplifier's own speed above.
  func settlingTime(_ range: Double) -> Double {
    guard function == .current else { return 0.5e-3 }
    switch range {
    case ...1.01e-10: return 30e-3
    case ...1.01e-9: return 15e-3
    case ...1.01e-8: return 8e-3
    case ...1.01e-7: return 2e-3
    default: return 0.3e-3
    }
  }
}

/// The state of the terminals while the output is off; kept for each source function (scpi-smu.md §1.1).
package enum OutputOffState: String, Sendable, CaseIterable {
  case normal = "NORM"
  case zero = "ZERO"
  case guarded = "GUAR"
  case highImpedance = "HIMP"
}

/// `:ROUTe:TERMinals`.
package enum KeithleyTerminals: String, Sendable { case front = "FRON", rear = "REAR" }
