package import Quantities

/// Checked on every sample; beyond one of them the cell goes to its safe state and the run is tripped (design §7).
package struct Limits: Hashable, Sendable {
  package var voltage: ClosedRange<Volts>
  package var current: ClosedRange<Amperes>
  package var dose: ElectronDose?

  package init(voltage: ClosedRange<Volts>, current: ClosedRange<Amperes>, dose: ElectronDose?) {
    self.voltage = voltage
    self.current = current
    self.dose = dose
  }
}

/// A protocol that was checked and expanded: nothing in it repeats, and every step has a bound in time.
package struct CompiledProtocol: Hashable, Sendable {
  /// `repeat` within `repeat`.
  package static let maximumNesting = 8
  package static let maximumSteps = 100_000
  /// An instrument is waited for no longer than this.
  package static let maximumWait = Seconds(24 * 3600)
  package static let maximumSamplePeriod = Seconds(10)
  package static let maximumFrameRate = Hertz(100_000)
  /// Bytes of a name, a mark or a sample's id.
  package static let maximumNameBytes = 200
  /// Bytes of a sentence.
  package static let maximumSentenceBytes = 1000
  package static let defaultSamplePeriod = Seconds(0.01)
  /// Bound of a step that gives none.
  package static let defaultMaximumStep = Seconds(24 * 3600)

  package var name: String
  package var sampleID: String?
  package var sampleArea: SquareMetres?
  package var limits: Limits
  package var samplePeriod: Seconds
  /// Current range; nil leaves it to the instrument's driver.
  package var range: Amperes?
  /// Voltage range; nil leaves it to the instrument's driver.
  package var voltageRange: Volts?
  /// An instrument that is unplugged is waited for so long, with the cell open; nil ends the run.
  package var waitForInstruments: Seconds?
  package var steps: [Step]
  /// After the last step, the frames of so long a time that are still in the ring are written; nil: nobody looks back.
  package var keepAtEnd: Seconds?
  /// Cameras that steps name, each where it is named first.
  package var cameras: [NamedCamera] = []
  /// The source as it was written; empty when there was none.
  package var text: String

  package init(
    name: String, sampleID: String?, sampleArea: SquareMetres?, limits: Limits, samplePeriod: Seconds,
    range: Amperes?, voltageRange: Volts?, steps: [Step], text: String
  ) {
    self.name = name
    self.sampleID = sampleID
    self.sampleArea = sampleArea
    self.limits = limits
    self.samplePeriod = samplePeriod
    self.range = range
    self.voltageRange = voltageRange
    self.steps = steps
    self.text = text
  }
}
