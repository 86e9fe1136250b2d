import BiasProtocol
import JSON
import Linux
package import Quantities
package import RunStore
import SQLite

/// What a run leaves behind beside its pixels.
enum RunEntry: Sendable {
  case samples([StoredSample])
  case clockPairs([ClockPair], device: String)
  case hostClock(HostClockReading)
  case frames([StoredFrame], RunCamera)
  case gaps([GapRecord])
  case ledger(SeriesLedger)
  case choices([ChoiceRecord])
  case statistics([StoredStatistics], RunCamera)
  case device(kind: String, model: String, identity: String, connection: String, details: [String: JSONValue])
  case stepBegan(Step, at: MonotonicTime)
  case stepEnded(Int, at: MonotonicTime, by: String, charge: Coulombs)
  case reading(device: String, quantity: String, value: Double, unit: String)
  case event(kind: String, message: String, details: [String: JSONValue] = [:])
  case note(String, HostClockReading)
  /// Nothing to store: says when all before it is.
  case barrier(@Sendable () -> Void)
}

/// The thread that owns a run's database: it takes entries from a bounded queue and commits them in batches, so that
/// at most `commitInterval` of samples is lost with the process (design §5 allows 250 ms).
package final class RunWriter: Sendable {
  private static let commitInterval = Seconds(0.1)
  private static let queueLimit = 65536

  private struct Shared {
    var failure: String?
    var database: RunDatabase?
    var tell: (@Sendable (String) -> Void)?
  }

  private let queue = BoundedQueue<(MonotonicTime, RunEntry)>(limit: queueLimit)
  private let shared: Monitor<Shared>
  private let thread = Monitor<NamedThread?>(nil)

  private let freeReserve: @Sendable () -> Void

  /// - Parameter freeReserve: makes some room on a full disk; called once, when something could not be stored.
  package init(_ database: RunDatabase, freeReserve: @escaping @Sendable () -> Void = {}) {
    self.freeReserve = freeReserve
    shared = Monitor(Shared(database: database))
    thread.update { $0 = NamedThread("store") { [self] in work(database) } }
  }

  /// Why nothing more can be stored; nil while all is well.
  package var failure: String? { shared.read { $0.failure } }

  /// `tell` is called once when something cannot be stored: a run without a record must not go on.
  func onFailure(_ tell: @escaping @Sendable (String) -> Void) { shared.update { $0.tell = tell } }

  func put(_ entry: RunEntry) {
    // After the end of the run an instrument's thread may still have something to say; it belongs to no run.
    guard !queue.push((.now, entry)), !queue.isClosed else { return }
    fail("its queue is full, the disk does not keep up")
  }

  /// Waits until everything put so far is committed; false when it is not within `limit`.
  package func commit(within limit: Seconds) -> Bool {
    let isReached = Monitor(false)
    put(.barrier { isReached.update { $0 = true } })
    return isReached.wait(atMost: limit) { $0 ? true : nil } ?? false
  }

  private func fail(_ reason: String) {
    let tell = shared.update { state in
      defer { state.tell = nil }
      state.failure = state.failure ?? reason
      return state.tell
    }
    tell?(reason)
  }

  /// Commits what waits and gives the database to the caller's thread.
  package func end() -> RunDatabase? {
    queue.close()
    thread.read { $0 }?.join()
    return shared.update { state in
      defer { state.database = nil }
      return state.database
    }
  }

  private func work(_ database: RunDatabase) {
    var failed = false
    while let first = next() {
      let batch = first.map { [$0] + queue.drain() } ?? []
      guard !batch.isEmpty, !failed else { continue }
      do throws(DatabaseError) { try Self.store(batch, in: database) } catch {
        fail("\(error)")
        // The run ends now. What is still to be said about it gets the room that was kept for that.
        freeReserve()
        do throws(DatabaseError) { try Self.store(batch, in: database) } catch { failed = true }
      }
      if !failed { for case (_, .barrier(let reached)) in batch { reached() } }
      sleepThread(for: Self.commitInterval)
    }
  }

  /// Nil at the end; `.some(nil)` when nothing came for a while.
  private func next() -> (MonotonicTime, RunEntry)?? {
    if let entry = queue.pop(atMost: Seconds(0.25)) { return .some(entry) }
    return queue.isDone ? nil : .some(nil)
  }

  private static func store(_ batch: [(MonotonicTime, RunEntry)], in database: RunDatabase) throws(DatabaseError) {
    try database.transaction { () throws(DatabaseError) in
      for (time, entry) in batch { try store(entry, at: time, in: database) }
    }
  }

  private static func store(_ entry: RunEntry, at time: MonotonicTime, in database: RunDatabase) throws(DatabaseError) {
    switch entry {
    case .samples(let samples): try database.append(samples: samples)
    case .clockPairs(let pairs, let device): try database.append(clockPairs: pairs, device: device)
    case .hostClock(let reading): try database.append(hostClock: reading)
    case .frames(let frames, let camera): try database.append(frames: frames, of: camera)
    case .gaps(let gaps):
      try database.append(gaps: gaps)
    case .ledger(let ledger): try database.set(ledger: ledger)
    case .choices(let choices): try database.append(choices: choices)
    case .statistics(let statistics, let camera): try database.append(statistics: statistics, of: camera)
    case .device(let kind, let model, let identity, let connection, let details):
      try database.set(
        device: DeviceRecord(
          kind: kind, model: model, identity: identity, connection: connection,
          detailsJSON: JSONValue.object(details).text))
    case .stepBegan(let step, let at):
      try database.begin(
        step: StepRecord(
          index: step.index, cycle: step.cycle, label: step.label, sentence: step.sentence, line: step.line, started: at
        ))
    case .stepEnded(let index, let at, let reason, let charge):
      try database.end(step: index, at: at, by: reason, charge: charge)
    case .reading(let device, let quantity, let value, let unit):
      try database.append(readings: [
        ReadingRecord(time: time, device: device, quantity: quantity, value: value, unit: unit)
      ])
    case .event(let kind, let message, let details):
      try database.append(
        event: EventRecord(
          time: time, unixNanoseconds: HostClockReading.now.unixNanoseconds, kind: kind, message: message,
          detailsJSON: details.isEmpty ? nil : JSONValue.object(details).text))
    case .note(let text, let clock):
      try database.append(note: text, at: clock.raw, unixNanoseconds: clock.unixNanoseconds)
    case .barrier: break
    }
  }
}
