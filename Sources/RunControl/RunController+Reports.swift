import Alignment
import ControlProtocol
import HolderDriver
import JSON
import Journal
import Linux
import Potentiostat
import Quantities
import RunStore

/// What the instruments' threads say, and where it goes: the run, its record, the subscribers, the log.
extension RunController {
  func heard(_ report: PotentiostatReport) {
    switch report {
    case .samples(let samples, let pairs):
      let kept = potentiostatClock.add(pairs)
      guard let run = activeRun else { return }
      if !kept.isEmpty { run.writer.put(.clockPairs(kept, device: "potentiostat")) }
      let stored = run.take(samples, clock: potentiostatClock.latest)
      publish(stored)
    case .tripped(let limit):
      activeRun?.signals.push(.tripped(limit))
      journal.log(.warning, "limit: \(limit)")
    case .failed(let reason):
      board.failed("potentiostat", reason)
      journal.log(.error, "potentiostat: \(reason)")
      activeRun?.signals.push(.failed("potentiostat: \(reason)"))
    case .lost(let reason):
      board.failed("potentiostat", reason)
      journal.log(.error, "potentiostat: \(reason)")
      activeRun?.signals.push(.lost("potentiostat: \(reason)"))
    case .notes(let notes):
      for note in notes { event("potentiostat", "the potentiostat notes: \(note)", in: activeRun, .warning) }
    }
  }

  func heard(_ report: HolderReport) {
    switch report {
    case .clockPair(let pair):
      let kept = holderClock.add([pair])
      if !kept.isEmpty { activeRun?.writer.put(.clockPairs(kept, device: "holder")) }
    case .state(let state):
      board.setState("holder", state.contactsClosed ? "\(state.name), contacts closed" : state.name)
    case .readings(let readings):
      // At the rate the holder's thread reads them (holder.readings).
      for reading in readings {
        activeRun?.writer.put(
          .reading(device: "holder", quantity: reading.quantity, value: reading.value, unit: reading.unit))
      }
    case .motion(let progress): heard(progress)
    case .openedItself(let cause):
      event("holder", "the holder opened the cell by itself: \(cause)", in: activeRun, .error)
      activeRun?.signals.push(.failed("the holder opened the cell by itself: \(cause)"))
    case .failed(let reason):
      board.failed("holder", reason)
      journal.log(.error, "holder: \(reason)")
      activeRun?.signals.push(.failed("holder: \(reason)"))
    case .lost(let reason):
      board.failed("holder", reason)
      journal.log(.error, "holder: \(reason)")
      activeRun?.signals.push(.lost("holder: \(reason)"))
    case .notAtRest(let reason): event("holder_unsafe", "holder: \(reason)", in: activeRun, .error)
    case .cameToRest:
      event(
        "holder_safe", "holder: what was told to stop has stopped, and the contacts are open", in: activeRun, .warning)
    }
  }

  /// To the record of the run, to subscribers, and to the log.
  func event(
    _ kind: String, _ message: String, details: [String: JSONValue] = [:], in run: ActiveRun?,
    _ priority: Journal.Priority = .info
  ) {
    run?.writer.put(.event(kind: kind, message: message, details: details))
    publisher.publish(event: kind, message, details: details)
    journal.log(priority, (run.map { "run \($0.id.suffix(6)): " } ?? "") + message)
  }

  /// Samples wait this long for others to be published with.
  private static let columnInterval = Seconds(0.05)

  /// Samples that wait for company are published now.
  func flushSamples() {
    let rest = columns.update { state -> SampleColumns in
      defer { state.batch.removeAll() }
      return state.batch
    }
    if rest.count > 0 { publisher.publish(rest, halfWidth: nil) }
  }

  private func publish(_ samples: [StoredSample]) {
    guard let last = samples.last else { return }
    publisher.setLatest(
      StreamPublisher.Latest(voltage: last.sample.voltage, current: last.sample.current, charge: last.charge))
    let model = potentiostatClock.latest
    let full = columns.update { state -> SampleColumns? in
      if state.batch.count == 0 { state.since = .now }
      for stored in samples {
        let centre = stored.sample.centre(by: model)
        state.batch.append(
          unixNanoseconds: publisher.unixNanoseconds(at: centre), monotonicNanoseconds: centre.nanoseconds,
          voltage_V: stored.sample.voltage?.value, current_A: stored.sample.current?.value,
          charge_C: stored.charge.value, range_A: stored.sample.range.value, flags: stored.sample.flags.rawValue,
          step: UInt32(stored.step))
      }
      guard MonotonicTime.now - state.since >= Self.columnInterval else { return nil }
      defer { state.batch.removeAll() }
      return state.batch
    }
    if let full { publisher.publish(full, halfWidth: halfWidth(model, last.sample)) }
  }

  private func halfWidth(_ model: ClockModel?, _ sample: Sample) -> Seconds? {
    model?.host(atDevice: sample.deviceNanoseconds, arrival: sample.arrival)?.halfWidth
  }
}
