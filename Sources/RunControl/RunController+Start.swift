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
      board.failed("holder", "\(error)")
      journal.log(.warning, "\(error)")
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
      board.failed("potentiostat", "\(error)")
      journal.log(.warning, "\(error)")
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
