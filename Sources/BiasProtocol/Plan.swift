package import Quantities

/// What a step will take at most.
package struct PlannedStep: Hashable, Sendable {
  package var index: Int
  package var cycle: Int
  package var marks: [String]
  package var sentence: String
  package var recording: StepRecording
  /// Frames that are looked back for before the step.
  package var keepBefore: Seconds?
  /// The bound in time, s.
  package var duration: Seconds
  /// Charge moved when a current flows for the whole bound; 0 for steps whose current the cell decides.
  package var charge: Coulombs
  /// Of all cameras.
  package var frames: PlannedFrames
}

/// What is written of one camera.
package struct PlannedCameraFrames: Hashable, Sendable {
  package var camera: PlannedCamera
  package var frames: PlannedFrames
}

/// What a protocol will take at most: every step lasts until its bound in time.
package struct Plan: Hashable, Sendable {
  package var name: String
  package var steps: [PlannedStep]
  package var duration: Seconds
  /// Signed sum over the steps that set a current.
  package var charge: Coulombs
  /// Of all cameras.
  package var frames = PlannedFrames()
  /// By camera, in the order they were given.
  package var cameras: [PlannedCameraFrames] = []
  /// Frames that are looked back for after the last step.
  package var keepAtEnd: Seconds?
  package var samples: Int
  /// What is allowed but may not be meant, in the order of lines, at most `maximumWarnings`.
  package var warnings: [String]

  package static let maximumWarnings = 50

  /// Rounded up, so that disk space is not planned too small; a billionth more than a whole number is rounding.
  static func count(_ exact: Double) -> Int {
    let rounded = (exact * (1 - 1e-9)).rounded(.up)
    return rounded < Double(Int.max / 2) ? max(0, Int(rounded)) : .max / 2
  }
}

extension CompiledProtocol {
  /// - Parameters:
  ///   - cameras: those that are known; others write nothing here.
  ///   - indexBytes: index record of one frame.
  ///   - instrument: the potentiostat, where it is known.
  package func plan(cameras: [PlannedCamera], indexBytes: Int, instrument: PlannedInstrument? = nil) -> Plan {
    var plan = Plan(
      name: name, steps: [], duration: .zero, charge: .zero, keepAtEnd: keepAtEnd, samples: 0,
      warnings: warnings(instrument, cameras))
    var frames = FramePlan(cameras, indexBytes: indexBytes)
    for step in steps {
      let charge: Coulombs =
        if case .current(let current) = step.action { Coulombs(current.value * step.bound.value) } else { .zero }
      let written = frames.take(step)
      plan.steps.append(
        PlannedStep(
          index: step.index, cycle: step.cycle, marks: step.marks, sentence: step.sentence, recording: step.recording,
          keepBefore: step.keepBefore, duration: step.bound, charge: charge, frames: written))
      plan.duration = plan.duration + step.bound
      plan.charge = plan.charge + charge
      plan.frames.add(written)
    }
    if let keepAtEnd { plan.frames.add(frames.lookBack(keepAtEnd)) }
    plan.cameras = zip(cameras, frames.totals).map { PlannedCameraFrames(camera: $0, frames: $1) }
    plan.samples = Plan.count(plan.duration / samplePeriod)
    return plan
  }

  // MARK: - Warnings

  private func warnings(_ instrument: PlannedInstrument?, _ cameras: [PlannedCamera]) -> [String] {
    var texts = instrument.map(doubts) ?? []
    var seen: Set<String> = []
    // A camera that watches has run before the first step.
    var hasRun = cameras.contains { $0.watch != nil }
    for step in steps where texts.count < Plan.maximumWarnings {
      var found = warnings(step, instrument) + warnings(step.recording, cameras)
      if let time = step.keepBefore, !hasRun { found.append(Self.nothingToKeep(time)) }
      hasRun = hasRun || !step.recording.isOff
      // Repeats say it once.
      for text in found where seen.insert("\(step.line) \(text)").inserted {
        texts.append(step.line > 0 ? "line \(step.line): \(text)" : "step \(step.index): \(text)")
      }
    }
    if let keepAtEnd, !hasRun { texts.append(Self.nothingToKeep(keepAtEnd)) }
    return Array(texts.prefix(Plan.maximumWarnings))
  }

  private static func nothingToKeep(_ time: Seconds) -> String {
    "“Keep the last \(time.exactText)” may find nothing: no step before it runs a camera"
  }

  private func warnings(_ recording: StepRecording, _ cameras: [PlannedCamera]) -> [String] {
    cameras.flatMap { camera -> [String] in
      let own = recording[camera.name]
      let name = cameras.count > 1 ? "camera “\(camera.name)”" : "the camera"
      var texts: [String] = []
      if own.writtenRate(camera: camera.rate) == nil {
        texts.append("how many frames \(name) sends is not known, so their bytes are not counted")
      }
      if let trigger = own.trigger {
        texts.append(
          "how often “\(trigger)” starts the writing of \(name) is not known; its frames are counted as for once")
      }
      return texts
    }
  }

  private func warnings(_ step: Step, _ instrument: PlannedInstrument?) -> [String] {
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
