import HolderDriver
import JSON
import Linux
import Potentiostat
import Quantities
import RunStore
import USB

/// A run over a hole: an instrument was unplugged, the cell is held open until it is back, and the record says so.
extension RunSequence {
  /// Between two attempts to reach the instruments.
  private static let attemptInterval = Seconds(0.25)

  /// Makes the cell safe, waits for the instruments to come back, and connects the cell anew, at 0 A.
  /// - Throws: when they do not within `patience`, when the cell is not known to be open, or when somebody stops the run.
  mutating func waitForInstruments(_ patience: Seconds, after reason: String) throws(Ending) {
    let began = MonotonicTime.now
    run.update { progress in
      progress.state = .waiting
      progress.waiting = RunProgress.Waiting(reason: reason, since: began, longest: patience)
    }
    let safe = instruments.makeSafe()
    guard safe.isCellOpen else {
      throw Ending(
        outcome: .failed,
        reason: "\(reason); the cell is not known to be open: \(safe.problems.joined(separator: "; "))")
    }
    // Now: an instrument that is still there has measured until its output was opened.
    let hole = Hole(lastKnown: run.lastReading, noticed: began, opened: .now)
    let chargeBefore = run.progress.charge
    run.markHole()
    tell(
      "hole_began", "\(reason); the cell is open, and the run waits up to \(patience) for the instrument", hole.details)
    let end = began + patience
    while true {
      try goThroughSignals()
      // The beam goes on while the cell waits.
      try holdDoseLimit()
      if isBack() {
        do throws(Ending) {
          try releaseLatch()
          try connectCell()
          try waitForFirstSample()
          break
        } catch {
          guard error.isLoss else { throw error }
          // Gone again: the cell is made safe again, and the waiting goes on.
          guard instruments.makeSafe().isCellOpen else { throw error }
        }
      }
      guard MonotonicTime.now < end else {
        throw Ending(outcome: .failed, reason: "\(reason); it was not back within \(patience)")
      }
    }
    let ended = MonotonicTime.now
    run.update { progress in
      progress.waiting = nil
      progress.stepStarted = progress.stepStarted + (ended - began)
    }
    showGoingOn()
    tell(
      "hole", "the run goes on after a hole of \(ended - hole.begins); the charge that flowed in it is not counted",
      hole.details.merging([
        "ended_raw_ns": .integer(ended.nanoseconds), "cause": .string(reason),
        "charge_before_C": .number(chargeBefore.value), "charge_unknown_C": .number(hole.unknownCharge.value),
      ]) { _, new in new })
  }

  /// A while in which operators are heard; what the lost instrument still has to say is known.
  private mutating func goThroughSignals() throws(Ending) {
    let end = MonotonicTime.now + Self.attemptInterval
    if let reason = stopWanted() { throw Ending(outcome: .stopped, reason: reason) }
    // It is signalled once; among what is passed over below it would be lost.
    if let failure = run.writer.failure { throw Ending(outcome: .failed, reason: "the record: \(failure)") }
    while MonotonicTime.now < end {
      guard let signal = run.signals.pop(atMost: max(.zero, end - .now)) else { continue }
      switch signal {
      case .lost, .failed: continue
      default: _ = try take(signal)
      }
    }
  }

  /// Both instruments answer. Opening them changes nothing but what the safe state wants.
  private func isBack() -> Bool {
    do throws(InstrumentFailure) {
      _ = try instruments.onPotentiostat("the potentiostat") { station throws(InstrumentError) in try station.connect()
      }
      _ = try instruments.onHolder("the holder") { station throws(InstrumentError) in try station.connect().state.name }
      return true
    } catch { return false }
  }

  /// Lets the cell be connected again, unless somebody has stopped the run meanwhile.
  private func releaseLatch() throws(Ending) {
    instruments.latch.release()
    guard let reason = stopWanted() else { return }
    instruments.latch.set()
    throw Ending(outcome: .stopped, reason: reason)
  }
}
