package import Quantities

/// Electrons per Å² and second at the specimen while the beam is on, and how that is known.
package struct DoseRate: Hashable, Sendable {
  package enum Source: Hashable, Sendable {
    case configuration
    /// - Parameter unixNanoseconds: when the calibration ended.
    case calibration(camera: String, unixNanoseconds: Int64)
  }

  /// e⁻/Å²/s with its standard uncertainty.
  package var rate: UncertainValue
  package var source: Source

  package init(_ rate: UncertainValue, from source: Source) {
    self.rate = rate
    self.source = source
  }

  /// "2.50 ± 0.25 e/A^2/s".
  package var description: String { "\(rate.description) e/A^2/s" }
  /// The same with where it is from.
  package var sentence: String {
    switch source {
    case .configuration: "the dose rate is \(description), as configured"
    case .calibration(let camera, _): "the dose rate is \(description), calibrated with \(camera)"
    }
  }
}
