package import Quantities

/// What a step will take at most.
package struct PlannedStep: Hashable, Sendable {
  package var index: Int
  package var cycle: Int
  package var marks: [String]
  package var sentence: String
  package var recording: Recording
  /// The bound in time, s.
  package var duration: Seconds
  /// Charge moved when a current flows for the whole bound; 0 for steps whose current the cell decides.
  package var charge: Coulombs
  /// nil: the camera decides how many.
  package var frames: Int?
  /// Pixels and index records of `frames`.
  package var bytes: Int
}

/// What a protocol will take at most: every step lasts until its bound in time.
package struct Plan: Hashable, Sendable {
  package var name: String
  package var steps: [PlannedStep]
  package var duration: Seconds
  /// Signed sum over the steps that set a current.
  package var charge: Coulombs
  /// Without those of steps that record all frames of a camera that decides its own rate.
  package var frames: Int
  package var bytes: Int
  package var samples: Int
  /// Steps record what the camera sends, so `frames` and `bytes` are not all.
  package var hasUnplannedFrames: Bool
  /// What is allowed but may not be meant, in the order of lines, at most `maximumWarnings`.
  package var warnings: [String]

  package static let maximumWarnings = 50
}

extension CompiledProtocol {
  /// - Parameters:
  ///   - frameBytes: pixels of one frame.
  ///   - indexBytes: index record of one frame.
  ///   - instrument: the potentiostat, where it is known.
  ///   - cameraRate: frames per second of a camera that decides itself, where it is known.
  package func plan(
    frameBytes: Int, indexBytes: Int, instrument: PlannedInstrument? = nil, cameraRate: Hertz? = nil
  ) -> Plan {
    var plan = Plan(
      name: name, steps: [], duration: .zero, charge: .zero, frames: 0, bytes: 0, samples: 0,
      hasUnplannedFrames: false, warnings: warnings(instrument, cameraRate))
    for step in steps {
      let rate: Hertz? =
        switch step.recording {
        case .off: .zero
        case .rate(let rate): rate
        case .all: cameraRate
        }
      let frames = rate.map { Self.count(step.bound.value * $0.value) }
      let bytes = (frames ?? 0).saturatingProduct(frameBytes.saturatingSum(indexBytes))
      let charge: Coulombs =
        if case .current(let current) = step.action { Coulombs(current.value * step.bound.value) } else { .zero }
      plan.steps.append(
        PlannedStep(
          index: step.index, cycle: step.cycle, marks: step.marks, sentence: step.sentence, recording: step.recording,
          duration: step.bound, charge: charge, frames: frames, bytes: bytes))
      plan.duration = plan.duration + step.bound
      plan.charge = plan.charge + charge
      plan.frames = plan.frames.saturatingSum(frames ?? 0)
      plan.bytes = plan.bytes.saturatingSum(bytes)
      plan.hasUnplannedFrames = plan.hasUnplannedFrames || frames == nil
    }
    plan.samples = Self.count(plan.duration / samplePeriod)
    return plan
  }

  /// Rounded up, so that disk space is not planned too small; a billionth more than a whole number is rounding.
  private static func count(_ exact: Double) -> Int {
    let rounded = (exact * (1 - 1e-9)).rounded(.up)
    return rounded < Double(Int.max / 2) ? max(0, Int(rounded)) : .max / 2
  }

  // MARK: - Warnings

  private func warnings(_ instrument: PlannedInstrument?, _ cameraRate: Hertz?) -> [String] {
    var texts = instrument.map(doubts) ?? []
    var seen: Set<String> = []
    for step in steps where texts.count < Plan.maximumWarnings {
      // Repeats say it once.
      for text in warnings(step, instrument, cameraRate) where seen.insert("\(step.line) \(text)").inserted {
        texts.append(step.line > 0 ? "line \(step.line): \(text)" : "step \(step.index): \(text)")
      }
    }
    return Array(texts.prefix(Plan.maximumWarnings))
  }

  private func warnings(_ step: Step, _ instrument: PlannedInstrument?, _ cameraRate: Hertz?) -> [String] {
    let wanted = step.range ?? startRange
    let resolution =
      if case .current(let current) = step.action, current != .zero {
        instrument?.rangeHolding(wanted)?.resolution
      } else {
        instrument?.range(for: wanted)?.resolution
      }
    var texts: [String] = []
    if !step.boundIsExplicit {
      texts.append("“\(step.sentence)” gives no time; it ends after max_step (\(step.bound.exactText)) at the latest")
    }
    for stop in step.until {
      if let reason = hindrance(to: stop, step, resolution) {
        texts.append("“until \(stop.thresholdText)” may never be seen: \(reason); the step then ends by its time")
      }
    }
    if step.recording == .all && cameraRate == nil {
      texts.append("how many frames the camera sends is not known, so their bytes are not counted")
    }
    return texts
  }

  /// Why a condition cannot be reached, or nil.
  private func hindrance(to stop: StopCondition, _ step: Step, _ resolution: Amperes?) -> String? {
    switch stop.quantity {
    case .current:
      if let resolution, stop.threshold < resolution.value {
        return "it is below the resolution of \(resolution.exactText)"
      }
      if let range = step.range ?? range, stop.comparison == .above, stop.threshold > range.value {
        return "it does not fit into the range of \(range.exactText)"
      }
    case .voltage:
      let edge = stop.comparison == .above ? limits.voltage.upperBound : limits.voltage.lowerBound
      if stop.threshold == edge.value { return "it is the limit itself, which may trip first" }
      if case .current(let current) = step.action, (stop.comparison == .above) != (current.value > 0) {
        return "the current drives the voltage the other way"
      }
    }
    return nil
  }
}

extension Int {
  fileprivate func saturatingProduct(_ other: Int) -> Int {
    let (product, overflow) = multipliedReportingOverflow(by: other)
    return overflow ? .max : product
  }

  fileprivate func saturatingSum(_ other: Int) -> Int {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
