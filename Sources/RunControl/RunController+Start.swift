import HolderDriver
import Journal
import Linux
import Potentiostat
import Quantities
import RunStore
import SQLite
import USB

/// What happens when the daemon has just started.
extension RunController {
  /// Reaches for the instruments without holding anybody up, and notes in the log what state they are in.
  package func connectAtStart() {
    noteHostClock()
    watchBetweenRuns()
    if settings.holder == nil, let limitation = settings.holderLimitation { journal.log(.warning, limitation) }
    desk.post { [self] _ in
      let holder = reachHolder()
      if let holder { noteInInterruptedRuns(holder) }
      // A holder that cannot switch is always connected: that says nothing.
      let isConnectedCell = settings.holder?.opensContacts == true && holder?.contactsClosed == true
      reachPotentiostat()
      // The output that a dead daemon had switched on may still be on, and our heartbeat keeps the holder as it was: a
      // bias that nobody watches must not go on.
      if isConnectedCell || !interrupted.isEmpty { makeSafeAtStart() }
    }
  }

  /// Reaches for what is away, from time to time and while nothing else goes on: for a bus that does not tell when a cable
  /// is plugged in again.
  func reachAgain() {
    let isAway = ["potentiostat", "holder"].filter { board[$0]?.isConnected == false }
    guard !isAway.isEmpty, occupation.read({ if case .idle = $0 { true } else { false } }) else { return }
    let now = MonotonicTime.now
    let isDue = reachedAt.update { last in
      guard now - last >= Self.reachPeriod else { return false }
      last = now
      return true
    }
    guard isDue else { return }
    desk.post { [self] _ in
      guard occupation.read({ if case .idle = $0 { true } else { false } }) else { return }
      if isAway.contains("potentiostat") { reachPotentiostat() }
      guard isAway.contains("holder"), reachHolder() != nil else { return }
      // What had ended this connection may have ended the other, which nobody has asked anything since.
      if !isAway.contains("potentiostat") { instruments.potentiostat.post { $0.checkConnection() } }
    }
  }

  private static let reachPeriod = Seconds(2)

  /// The same complaint is logged once.
  private func complain(_ kind: String, _ reason: String) {
    if board[kind]?.error != reason { journal.log(.warning, reason) }
    board.failed(kind, reason)
  }

  /// Opens the holder if it is not open; what became of it goes to the log and the board.
  @discardableResult
  private func reachHolder() -> HolderState? {
    do throws(InstrumentFailure) {
      let found = try instruments.onHolder("the holder") { station throws(InstrumentError) in try station.connect() }
      guard let found else { return nil }
      board.connected("holder", found.identity.description, state: found.state.name)
      journal.log(
        .info, "holder: \(found.identity.description), \(found.state.name), made safe last by \(found.state.safeCause)")
      for limitation in instruments.holder?.run(within: Seconds(1), { $0.limitations }) ?? [] {
        journal.log(.warning, limitation)
      }
      return found.state
    } catch {
      complain("holder", "\(error)")
      return nil
    }
  }

  private func reachPotentiostat() {
    do throws(InstrumentFailure) {
      let identity = try instruments.onPotentiostat("the potentiostat") { station throws(InstrumentError) in
        try station.connect()
      }
      board.connected("potentiostat", identity.description)
      journal.log(.info, "potentiostat: \(identity.description)")
    } catch {
      complain("potentiostat", "\(error)")
    }
  }

  /// The bus tells of a device that came or went: what went is let go at once, what came is opened. A run looks after its
  /// instruments itself.
  func noticed(_ change: USBChange) {
    switch change {
    case .left(let device):
      if settings.potentiostat.usb.mayMean(device) {
        instruments.potentiostat.post { station in station.checkConnection() }
      }
      if let usb = settings.holder?.usb, usb.mayMean(device) { instruments.holder?.post { station in station.tick() } }
    case .arrived(let device):
      let isPotentiostat = settings.potentiostat.usb.mayMean(device)
      let isHolder = settings.holder?.usb?.mayMean(device) ?? false
      guard isPotentiostat || isHolder, occupation.read({ if case .idle = $0 { true } else { false } }) else { return }
      desk.post { [self] _ in
        if isPotentiostat { reachPotentiostat() }
        if isHolder { reachHolder() }
      }
    }
  }

  /// After a daemon that died: whatever it left on is opened.
  private func makeSafeAtStart() {
    let problems = instruments.makeSafe(mustAnswer: true).problems
    for problem in problems { journal.log(.error, problem) }
    if problems.isEmpty { journal.log(.notice, "an earlier daemon ended in a run: \(instruments.safeWords)") }
    board.setState("holder", (instruments.holder?.run(within: Seconds(1)) { $0.state?.name } ?? nil) ?? "")
  }

  /// A run that ended with its daemon gets to know what became of the cell: the holder's own word.
  private func noteInInterruptedRuns(_ state: HolderState) {
    let clock = HostClockReading.now
    let message =
      "after the restart the holder was found in \(state.name), contacts \(state.contactsClosed ? "closed" : "open"); "
      + "it was made safe last by \(state.safeCause)"
    for directory in interrupted {
      do {
        let run = try RunDatabase.open(directory, .readWrite)
        try run.append(
          event: EventRecord(
            time: clock.raw, unixNanoseconds: clock.unixNanoseconds, kind: "holder_found", message: message))
        try run.close()
      } catch { journal.log(.error, "run \(directory.id): \(error)") }
    }
  }
}
