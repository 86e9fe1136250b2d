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
    if settings.holder == nil {
      journal.log(.warning, "no holder is configured: nothing opens the cell when this computer fails")
    }
    desk.post { [self] _ in
      do throws(InstrumentFailure) {
        if let found = try instruments.onHolder("the holder", { station throws(SCPIError) in try station.connect() }) {
          board.connected("holder", found.identity.description, state: found.state.name)
          journal.log(
            .info,
            "holder: \(found.identity.description), \(found.state.name), made safe last by \(found.state.safeCause)")
          noteInInterruptedRuns(found.state)
        }
      } catch {
        board.failed("holder", "\(error)")
        journal.log(.warning, "\(error)")
      }
      do throws(InstrumentFailure) {
        let identity = try instruments.onPotentiostat("the potentiostat") { station throws(SCPIError) in
          try station.connect()
        }
        board.connected("potentiostat", identity.description)
        journal.log(.info, "potentiostat: \(identity.description)")
        if !interrupted.isEmpty {
          // The output that the dead daemon had switched on may still be on.
          for problem in instruments.makeSafe() { journal.log(.error, problem) }
          journal.log(.notice, "after the interrupted run: output open, contacts open")
        }
      } catch {
        board.failed("potentiostat", "\(error)")
        journal.log(.warning, "\(error)")
      }
    }
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
