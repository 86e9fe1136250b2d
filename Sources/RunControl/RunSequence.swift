import BiasProtocol
import FrameIngest
import HolderDriver
import JSON
import Linux
import Potentiostat
import Quantities
import RunStore
import USB

/// Carries a protocol out, step by step, on the run's own thread. It decides when a step ends; what is dangerous is
/// decided beside the instruments.
struct RunSequence {
  let run: ActiveRun
  let instruments: Instruments
  let settings: ControllerSettings
  /// Events that go to the record and to subscribers: kind, message, details.
  let tell: @Sendable (String, String, [String: JSONValue]) -> Void

  private var lastVoltage: Volts?
  private var lastCurrent: Amperes?
  /// Current range in use, once the first step has named one.
  private var range: Amperes?
  private var recording = Recording.off
  private var series: UInt64 = 0

  /// A current condition must hold for this many samples in a row: the noise of a pA reading alone must not end a step.
  private static let samplesForCurrentCondition = 3
  /// How long the first sample after contact may take.
  private static let firstSamplePatience = Seconds(3)
  /// How long the current is read with the contacts open to find the instrument's zero.
  private static let zeroTime = Seconds(0.6)

  /// Why the sequence ended before its last step.
  private struct Ending: Error {
    var outcome: RunOutcome
    var reason: String
  }

  init(
    _ run: ActiveRun, _ instruments: Instruments, _ settings: ControllerSettings,
    tell: @escaping @Sendable (String, String, [String: JSONValue]) -> Void
  ) {
    self.run = run
    self.instruments = instruments
    self.settings = settings
    self.tell = tell
  }

  /// From open contacts to the last step. The caller brings the cell to its safe state afterwards, in every case.
  mutating func carryOut() -> (outcome: RunOutcome, reason: String) {
    do throws(Ending) {
      do throws(InstrumentFailure) { try connectCell() } catch { throw Ending(outcome: .failed, reason: "\(error)") }
      try waitForFirstSample()
      for step in run.compiled.steps { try perform(step) }
      return (.complete, "all steps were carried out")
    } catch {
      return (error.outcome, error.reason)
    }
  }

  // MARK: Before the first step

  /// Potentiostat ready with its output open, zero read, then the holder's contacts closed, then 0 A.
  private func connectCell() throws(InstrumentFailure) {
    let acquisition = Acquisition(
      period: run.compiled.samplePeriod,
      currentRange: run.compiled.range ?? run.compiled.limits.current.upperBound.magnitude,
      voltageRange: run.compiled.voltageRange
        ?? max(run.compiled.limits.voltage.upperBound.magnitude, run.compiled.limits.voltage.lowerBound.magnitude),
      limits: CellLimits(voltage: run.compiled.limits.voltage, current: run.compiled.limits.current))

    let found = try instruments.onHolder("connecting the holder") { station throws(SCPIError) in try station.connect() }
    let potentiostat = try instruments.onPotentiostat("connecting the potentiostat") { station throws(SCPIError) in
      try station.connect()
    }
    try instruments.onPotentiostat("preparing the potentiostat") { station throws(SCPIError) in
      try station.prepare(acquisition)
    }
    if let found {
      // Before it is armed: the measurement takes a second, in which no heartbeat gets through.
      let leakage = try instruments.onHolder("measuring the holder's leakage") { station throws(SCPIError) in
        try station.leakage(at: Volts(1))
      }
      if let leakage {
        run.writer.put(
          .reading(device: "holder", quantity: "leakage_resistance", value: leakage.resistance.value, unit: "Ohm"))
        run.writer.put(.reading(device: "holder", quantity: "leakage_current", value: leakage.current.value, unit: "A"))
      }
      run.writer.put(
        .device(
          kind: "holder", model: settings.holder?.model ?? "", identity: found.identity.description,
          connection: settings.holder?.usb.description ?? "",
          details: ["state_found": .string(found.state.name), "safe_cause_found": .string(found.state.safeCause)]))
      try instruments.onHolder("arming the holder") { station throws(SCPIError) in try station.arm() }
    }

    let zero = try instruments.onPotentiostat("reading the zero") { station throws(SCPIError) in
      try station.measureZero(for: Self.zeroTime)
    }
    run.writer.put(.reading(device: "potentiostat", quantity: "current_zero", value: zero.zero.value, unit: "A"))
    let facts = try instruments.onPotentiostat("asking for the range") { station throws(SCPIError) in
      (range: station.range, voltage: station.voltageAccuracy)
    }
    // As limits of error, which the alignment turns into standard uncertainties (÷ √3).
    let zeroLimit = zero.standardError.value * 3.0.squareRoot() + (facts.range?.measureResolution.value ?? 0) / 2
    run.writer.put(
      .device(
        kind: "potentiostat", model: settings.potentiostat.model, identity: potentiostat.description,
        connection: settings.potentiostat.usb.description,
        details: [
          "range_A": .optional(facts.range?.range.value), "current_zero_A": .number(zero.zero.value),
          "current_zero_standard_error_A": .number(zero.standardError.value),
          "accuracy_current_A": .number(zeroLimit), "accuracy_voltage_V": .number(facts.voltage.value),
        ]))
    tell(
      "zero",
      "current zero \(zero.zero) ± \(zero.standardError) with the contacts open is subtracted from every reading",
      [:])

    _ = try instruments.onHolder("closing the contacts") { station throws(SCPIError) in try station.closeContacts() }
    try instruments.onPotentiostat("switching the output on at 0 A") { station throws(SCPIError) in
      try station.apply(.current(.zero))
    }
  }

  private mutating func waitForFirstSample() throws(Ending) {
    let end = MonotonicTime.now + Self.firstSamplePatience
    while lastVoltage == nil {
      guard MonotonicTime.now < end else {
        throw Ending(outcome: .failed, reason: "no voltage was measured within \(Self.firstSamplePatience)")
      }
      if let signal = run.signals.pop(atMost: Seconds(0.1)) { _ = try take(signal) }
    }
    run.update { $0.state = .running }
  }

  // MARK: Steps

  private mutating func perform(_ step: Step) throws(Ending) {
    for mark in step.marks { tell("mark", mark, ["step": .integer(Int64(step.index))]) }
    // What was measured before the step may say that there is nothing to do.
    while let signal = run.signals.pop(atMost: Seconds(0)) { _ = try take(signal) }

    let began = MonotonicTime.now
    let chargeBefore = run.progress.charge
    run.update { progress in
      progress.step = step.index
      progress.sentence = step.sentence
      progress.cycle = step.cycle
      progress.stepStarted = began
      progress.stepBound = step.bound
    }
    run.writer.put(.stepBegan(step, at: began))
    tell("step", step.sentence, ["step": .integer(Int64(step.index)), "cycle": .integer(Int64(step.cycle))])

    var endedBy = ""
    if let met = step.skip(at: lastVoltage, lastCurrent) {
      endedBy = "skipped: \(met) held already"
      tell("step_skipped", "“\(step.sentence)” is skipped: \(met) holds already", ["step": .integer(Int64(step.index))])
    } else {
      record(step)
      do throws(InstrumentFailure) {
        try setRange(step.range ?? run.compiled.range)
        try apply(step.action)
        // What came until now was measured under the bias of the step before.
        run.setStepOfSamples(step.index)
      } catch { throw Ending(outcome: .failed, reason: "\(error)") }
      do throws(Ending) { endedBy = try hold(step) } catch {
        run.writer.put(.stepEnded(step.index, at: .now, by: error.reason, charge: run.progress.charge - chargeBefore))
        throw error
      }
    }
    run.writer.put(.stepEnded(step.index, at: .now, by: endedBy, charge: run.progress.charge - chargeBefore))
    tell("step_ended", "“\(step.sentence)” ended by \(endedBy)", ["step": .integer(Int64(step.index))])
  }

  private func apply(_ action: Step.Action) throws(InstrumentFailure) {
    let bias: Bias =
      switch action {
      case .rest: .current(.zero)
      case .current(let amperes): .current(amperes)
      case .voltage(let volts): .voltage(volts)
      }
    try instruments.onPotentiostat("applying the bias") { station throws(SCPIError) in try station.apply(bias) }
  }

  /// Ranges change only between steps, and only where the protocol says so; the output is open meanwhile.
  private mutating func setRange(_ wanted: Amperes?) throws(InstrumentFailure) {
    guard let wanted, wanted != range else { return }
    if range != nil {
      try instruments.onPotentiostat("changing the range") { station throws(SCPIError) in try station.setRange(wanted) }
    }
    range = wanted
  }

  /// Waits until a condition of the step is met or its time is over; pauses and resumes in between.
  private mutating func hold(_ step: Step) throws(Ending) -> String {
    var end = MonotonicTime.now + step.bound
    var streak = 0
    while true {
      try holdDoseLimit()
      let left = end - .now
      if left.value <= 0 { return "time" }
      guard let signal = run.signals.pop(atMost: min(left, Seconds(0.25))) else { continue }
      switch try take(signal) {
      case .samples(let samples):
        // A reading taken while something settles, or with the output off, ends no step.
        for sample in samples where sample.flags.isDisjoint(with: [.settling, .outputOff, .overflow]) {
          guard let met = step.until.first(where: { $0.isMet(voltage: sample.voltage, current: sample.current) }) else {
            streak = 0
            continue
          }
          streak += 1
          if met.quantity == .voltage || streak >= Self.samplesForCurrentCondition { return "\(met)" }
        }
      case .pause:
        let paused = MonotonicTime.now
        try pause()
        do throws(InstrumentFailure) { try apply(step.action) } catch {
          throw Ending(outcome: .failed, reason: "\(error)")
        }
        end = end + (.now - paused)
        run.update { progress in
          progress.state = .running
          progress.stepStarted = progress.stepStarted + (.now - paused)
        }
        tell("resumed", "the run goes on", [:])
      case .resume, .tripped, .failed, .stop:
        break
      }
    }
  }

  /// 0 A until somebody resumes; limits stay on.
  private mutating func pause() throws(Ending) {
    run.update { $0.state = .paused }
    tell("paused", "the run is paused at 0 A", [:])
    do throws(InstrumentFailure) { try apply(.rest) } catch { throw Ending(outcome: .failed, reason: "\(error)") }
    while true {
      guard let signal = run.signals.pop(atMost: Seconds(1)) else { continue }
      if case .resume = try take(signal) { return }
    }
  }

  /// Notes what every signal says; throws those that end the run.
  private mutating func take(_ signal: RunSignal) throws(Ending) -> RunSignal {
    switch signal {
    case .samples(let samples):
      lastVoltage = samples.last { $0.voltage != nil }?.voltage ?? lastVoltage
      lastCurrent = samples.last { $0.current != nil }?.current ?? lastCurrent
    case .tripped(let limit): throw Ending(outcome: .tripped, reason: limit)
    case .failed(let reason): throw Ending(outcome: .failed, reason: reason)
    case .stop(let reason): throw Ending(outcome: .stopped, reason: reason)
    case .pause, .resume: break
    }
    return signal
  }

  private func holdDoseLimit() throws(Ending) {
    guard let limit = run.compiled.limits.dose, let rate = settings.doseRate else { return }
    let dose = ElectronDose(rate * (MonotonicTime.now - run.started).value)
    guard dose > limit else { return }
    throw Ending(outcome: .tripped, reason: "dose \(dose) is beyond \(limit)")
  }

  // MARK: Frames

  private mutating func record(_ step: Step) {
    guard let camera = instruments.camera else { return }
    let index = UInt32(step.index)
    guard step.recording != recording else {
      camera.send(.setStep(index))
      return
    }
    recording = step.recording
    series += 1
    switch step.recording {
    case .off: camera.send(.stop)
    case .rate(let rate):
      let period = Seconds(1 / rate.value)
      camera.send(
        .record(
          ExposureRequest(series: series, framePeriod: period, exposure: min(settings.exposure, period * 0.96)),
          step: index))
    case .all:
      camera.send(
        .record(
          ExposureRequest(series: series, framePeriod: settings.exposure * (1 / 0.96), exposure: settings.exposure),
          step: index))
    }
  }
}
