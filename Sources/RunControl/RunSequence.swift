import Alignment
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
  /// Of the beam, for as long as the run lasts.
  let doseRate: DoseRate?
  /// Why the run is to end, as soon as somebody has said so.
  let stopWanted: @Sendable () -> String?
  /// Events that go to the record and to subscribers: kind, message, details.
  let tell: @Sendable (String, String, [String: JSONValue]) -> Void

  private var lastVoltage: Volts?
  private var lastCurrent: Amperes?
  /// Current range in use.
  private var range: Amperes?
  /// Somebody wants the run paused.
  private var isPauseWanted = false
  /// What the cameras have been told to do, by name.
  var demands: [String: CameraDemand] = [:]
  /// Some step has asked for frames.
  var hasRecorded = false
  var series: UInt64 = 0

  /// A current condition must hold for this many samples in a row: the noise of a pA reading alone must not end a step.
  private static let samplesForCurrentCondition = 3
  /// How long the first sample after contact may take.
  private static let firstSamplePatience = Seconds(3)
  /// Readings of the longest ramp: 10 V in steps of 20 mV.
  private static let longestRamp = 500.0

  /// Why the sequence ended before its last step.
  struct Ending: Error {
    var outcome: RunOutcome
    var reason: String
    /// An instrument is unplugged; the run may go on when it is back.
    var isLoss = false

    init(outcome: RunOutcome, reason: String, isLoss: Bool = false) {
      self.outcome = outcome
      self.reason = reason
      self.isLoss = isLoss
    }

    init(_ failure: InstrumentFailure) {
      self.init(outcome: .failed, reason: "\(failure)", isLoss: failure.isGone)
    }
  }

  init(
    _ run: ActiveRun, _ instruments: Instruments, _ settings: ControllerSettings, doseRate: DoseRate?,
    stopWanted: @escaping @Sendable () -> String?,
    tell: @escaping @Sendable (String, String, [String: JSONValue]) -> Void
  ) {
    self.run = run
    self.instruments = instruments
    self.settings = settings
    self.doseRate = doseRate
    self.stopWanted = stopWanted
    self.tell = tell
  }

  /// From open contacts to the last step. The caller brings the cell to its safe state afterwards, in every case.
  mutating func carryOut() -> (outcome: RunOutcome, reason: String) {
    do throws(Ending) {
      try connectCell()
      try waitForFirstSample()
      for step in run.compiled.steps { try perform(step) }
      return (.complete, "all steps were carried out")
    } catch {
      return (error.outcome, error.reason)
    }
  }

  // MARK: Before the first step

  /// From open contacts to a cell at 0 A.
  mutating func connectCell() throws(Ending) {
    do throws(InstrumentFailure) {
      range = try CellConnection(
        run: run, instruments: instruments, settings: settings, stopWanted: stopWanted, tell: tell
      ).make()
    } catch {
      // Work that was refused because somebody had stopped the run is no failure.
      if let reason = stopWanted() { throw Ending(outcome: .stopped, reason: reason) }
      throw Ending(error)
    }
  }

  mutating func waitForFirstSample() throws(Ending) {
    lastVoltage = nil
    let patience = Self.firstSamplePatience + run.compiled.samplePeriod * 2
    let end = MonotonicTime.now + patience
    while lastVoltage == nil {
      guard MonotonicTime.now < end else {
        throw Ending(outcome: .failed, reason: "no voltage was measured within \(patience)")
      }
      if let signal = run.signals.pop(atMost: Seconds(0.1)) { _ = try take(signal) }
    }
    showGoingOn()
  }

  /// A run that was paused before it lost an instrument is so afterwards.
  func showGoingOn() { run.update { $0.state = isPauseWanted ? .paused : .running } }

  // MARK: Steps

  private mutating func perform(_ step: Step) throws(Ending) {
    for mark in step.marks { tell("mark", mark, ["step": .integer(Int64(step.index))]) }
    // What was measured before the step may say that there is nothing to do.
    while let signal = run.signals.pop(atMost: Seconds(0)) { _ = try take(signal) }

    keepFrames(before: step)
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
      do throws(Ending) { endedBy = try carryOut(step) } catch {
        run.writer.put(.stepEnded(step.index, at: .now, by: error.reason, charge: run.progress.charge - chargeBefore))
        throw error
      }
    }
    run.writer.put(.stepEnded(step.index, at: .now, by: endedBy, charge: run.progress.charge - chargeBefore))
    tell("step_ended", "“\(step.sentence)” ended by \(endedBy)", ["step": .integer(Int64(step.index))])
  }

  /// Applies the step's bias and holds it to its end, over holes if the protocol allows it.
  /// - Returns: what ended it.
  private mutating func carryOut(_ step: Step) throws(Ending) -> String {
    var left = step.bound
    while true {
      do throws(Ending) {
        try begin(step)
        return try hold(step, &left)
      } catch {
        guard error.isLoss, let patience = run.compiled.waitForInstruments else { throw error }
        try waitForInstruments(patience, after: error.reason)
      }
    }
  }

  /// Puts the step's bias on the cell; of a run that is paused the range alone, and the bias when it is resumed.
  private mutating func begin(_ step: Step) throws(Ending) {
    if !isPauseWanted { try record(step) }
    do throws(InstrumentFailure) {
      try setRange(step.range ?? run.compiled.startRange)
      if !isPauseWanted { try apply(step.action, as: step.index) }
    } catch {
      // Work is refused after a trip or a stop; that is what ended the run then.
      while let signal = run.signals.pop(atMost: Seconds(0)) { _ = try take(signal) }
      throw Ending(error)
    }
  }

  /// - Parameter index: samples from the new bias on belong to this step; nil leaves them with the present one.
  private func apply(_ action: Step.Action, as index: Int? = nil) throws(InstrumentFailure) {
    let bias: Bias =
      switch action {
      case .rest: .current(.zero)
      case .current(let amperes): .current(amperes)
      case .voltage(let volts): .voltage(volts)
      }
    // A ramp is measured step by step, and takes its time at long sample periods; the lowest ranges settle for 16 s.
    let limit = Seconds(30) + (run.compiled.samplePeriod + Seconds(0.02)) * Self.longestRamp
    try instruments.onPotentiostat("applying the bias", within: limit) { [run] station throws(InstrumentError) in
      try station.apply(bias) { if let index { run.setStepOfSamples(index) } }
    }
  }

  /// Ranges change only between steps, and only where the protocol says so; the output is open meanwhile.
  private mutating func setRange(_ wanted: Amperes?) throws(InstrumentFailure) {
    guard let wanted, wanted != range else { return }
    try instruments.onPotentiostat("changing the range") { station throws(InstrumentError) in
      try station.setRange(wanted)
    }
    range = wanted
  }

  /// Waits until a condition of the step is met or its time is over; pauses and resumes in between.
  /// - Parameter left: of the step's time; kept up to date.
  private mutating func hold(_ step: Step, _ left: inout Seconds) throws(Ending) -> String {
    // What is still on its way was measured under the bias before, and judges nothing here.
    while let signal = run.signals.pop(atMost: Seconds(0)) { _ = try take(signal) }
    var end = MonotonicTime.now + left
    defer { left = max(.zero, end - .now) }
    var streak = 0
    while true {
      if isPauseWanted {
        let paused = MonotonicTime.now
        // A pause that ends with the loss of an instrument takes none of the step's time either.
        defer {
          let length = MonotonicTime.now - paused
          end = end + length
          run.update { progress in progress.stepStarted = progress.stepStarted + length }
        }
        try pause(step)
        // What is still on its way was measured at 0 A.
        while let signal = run.signals.pop(atMost: Seconds(0)) { _ = try take(signal) }
        streak = 0
      }
      try holdDoseLimit()
      let rest = end - .now
      if rest.value <= 0 { return "time" }
      guard let signal = run.signals.pop(atMost: min(rest, Seconds(0.25))) else { continue }
      guard case .samples(let samples) = try take(signal) else { continue }
      // A reading taken while something settles, or with the output off, ends no step.
      for sample in samples where sample.flags.isDisjoint(with: [.settling, .outputOff, .overflow]) {
        guard let met = step.end(voltage: sample.voltage, current: sample.current) else {
          streak = 0
          continue
        }
        streak += 1
        if met.quantity == .voltage || streak >= Self.samplesForCurrentCondition { return "\(met)" }
      }
    }
  }

  /// 0 A until somebody resumes; limits stay on, those of the dose too.
  private mutating func pause(_ step: Step) throws(Ending) {
    run.update { $0.state = .paused }
    tell("paused", "the run is paused at 0 A, and no frames are recorded", [:])
    stopRecording()
    do throws(InstrumentFailure) { try apply(.rest) } catch { throw Ending(error) }
    while isPauseWanted {
      try holdDoseLimit()
      if let signal = run.signals.pop(atMost: Seconds(0.25)) { _ = try take(signal) }
    }
    do throws(InstrumentFailure) { try apply(step.action, as: step.index) } catch { throw Ending(error) }
    try record(step)
    run.update { $0.state = .running }
    tell("resumed", "the run goes on", [:])
  }

  /// Notes what every signal says; throws those that end the run.
  mutating func take(_ signal: RunSignal) throws(Ending) -> RunSignal {
    switch signal {
    case .samples(let samples):
      lastVoltage = samples.last { $0.voltage != nil }?.voltage ?? lastVoltage
      if let last = samples.last {
        // With the circuit open none is measured, and the one before is over.
        let isOpen = last.flags.contains(.openCircuit)
        lastCurrent = last.current ?? (isOpen ? nil : samples.last { $0.current != nil }?.current ?? lastCurrent)
      }
    case .tripped(let limit): throw Ending(outcome: .tripped, reason: limit)
    case .failed(let reason): throw Ending(outcome: .failed, reason: reason)
    case .lost(let reason): throw Ending(outcome: .failed, reason: reason, isLoss: true)
    case .stop(let reason): throw Ending(outcome: .stopped, reason: reason)
    case .pause: isPauseWanted = true
    case .resume: isPauseWanted = false
    }
    return signal
  }

  func holdDoseLimit() throws(Ending) {
    guard let limit = run.compiled.limits.dose, let rate = doseRate?.rate else { return }
    let dose = ElectronDose(rate.value * (MonotonicTime.now - run.started).value)
    guard dose > limit else { return }
    throw Ending(outcome: .tripped, reason: "dose \(dose) is beyond \(limit)")
  }
}
