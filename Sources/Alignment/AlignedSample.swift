package import Quantities

/// A sample on the host's clock, with how sure its numbers are.
package struct AlignedSample: Sendable {
  /// Centre of the aperture.
  package var centre: MonotonicTime
  package var aperture: Seconds
  /// V; nil when the instrument gave none.
  package var voltage: Double?
  /// A, positive charges the working electrode; nil when the instrument gave none.
  package var current: Double?
  /// Standard deviations of single readings, V and A.
  package var voltageNoise: Double
  package var currentNoise: Double
  /// Charge moved up to `centre`, C.
  package var charge: Double
  /// The source was on: what is wrong with the current is wrong with the charge.
  package var outputOn: Bool
  /// Half-width of the interval that holds the true `centre` (a hard bound).
  package var halfWidth: Seconds
  /// Which bias it was taken under: any number that changes with the bias. Between two biases nothing is known.
  package var bias: Int64

  package init(
    centre: MonotonicTime, aperture: Seconds, voltage: Double?, current: Double?, voltageNoise: Double,
    currentNoise: Double, charge: Double, outputOn: Bool, halfWidth: Seconds, bias: Int64 = 0
  ) {
    self.centre = centre
    self.aperture = aperture
    self.voltage = voltage
    self.current = current
    self.voltageNoise = voltageNoise
    self.currentNoise = currentNoise
    self.charge = charge
    self.outputOn = outputOn
    self.halfWidth = halfWidth
    self.bias = bias
  }

  var start: MonotonicTime { centre - aperture * 0.5 }
  var end: MonotonicTime { centre + aperture * 0.5 }
}

/// When a frame was exposed, on the host's clock.
package struct Exposure: Sendable {
  package var start: MonotonicTime
  package var stop: MonotonicTime
  /// Half-width of the interval that holds the true `start` (a hard bound).
  package var halfWidth: Seconds

  package init(start: MonotonicTime, stop: MonotonicTime, halfWidth: Seconds) {
    self.start = start
    self.stop = stop
    self.halfWidth = halfWidth
  }
}

/// What belongs to one exposure.
package struct FrameValue: Equatable, Sendable {
  /// A voltage or a current over the exposure, in V or A.
  package struct Range: Equatable, Sendable {
    package var mean: Double
    package var minimum: Double
    package var maximum: Double
    /// Standard uncertainty of `mean`.
    package var uncertainty: Double
  }

  /// Samples whose aperture touches the exposure; 0: the values are interpolated between the neighbours.
  package var samples: Int
  /// Standard uncertainty of the alignment of frame and samples in time.
  package var timeUncertainty: Seconds
  /// nil: beyond the samples, in a hole between them, or the instrument gave none.
  package var voltage: Range?
  package var current: Range?
  /// Charge moved up to the end of the exposure, C, and its standard uncertainty.
  package var charge: Double?
  package var chargeUncertainty: Double?
}
