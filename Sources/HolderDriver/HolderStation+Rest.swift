import Linux
import Quantities
import USB

/// How tip, contacts and heater come to rest, and what is done when that does not succeed.
extension HolderStation {
  /// Something that must come to rest and is not known to have done so.
  struct Unrest {
    enum Extent { case cell, everything }

    /// A heater stays on where only the cell is to be opened.
    var extent: Extent
    /// The word on the motion once the tip stands; nil when nothing moved.
    var ending: MotionProgress?
    /// Somebody has been told.
    var isTold = false
  }

  /// Stops the tip and opens the contacts. What does not succeed is owed from now on: it is tried again with every tick until
  /// it is known to be done or the holder is gone, and meanwhile no heartbeat is sent, so that the holder comes to rest by
  /// itself when no word of ours reaches it (holder.md §4.4).
  /// - Parameters:
  ///   - extent: `cell` is the end of something that was done with no run going on; a sample that is heated stays hot.
  ///   - ending: what is told of the motion when the tip stands.
  func bringToRest(_ extent: Unrest.Extent, ending: MotionProgress?) throws(InstrumentError) {
    shouldBeClosed = false
    guard identity != nil else { throw .wire(.notFound(device: settings.model, reason: "it is not connected")) }
    var owed = unrest ?? Unrest(extent: extent)
    if extent == .everything { owed.extent = .everything }
    owed.ending = owed.ending ?? ending
    unrest = owed
    try settle()
  }

  /// Does what is owed, if anything is.
  func settle() throws(InstrumentError) {
    guard let owed = unrest else { return }
    do throws(InstrumentError) {
      do throws(InstrumentError) { try rest(owed) } catch {
        // A tip that still moves goes 1 nm in a millisecond: it does not wait for the next tick.
        guard owed.ending != nil, !error.isGone else { throw error }
        try rest(owed)
      }
    } catch {
      if !error.isGone { tell(owed, error) }
      throw error
    }
    unrest = nil
    if let ending = owed.ending { endMotion(ending) }
    if owed.isTold { report(.cameToRest) }
  }

  /// Nothing is owed, or it has been done just now.
  func isSettled() -> Bool {
    do throws(InstrumentError) {
      try settle()
      return true
    } catch {
      if error.isGone { report(.failed("\(error)")) }
      return false
    }
  }

  private func rest(_ owed: Unrest) throws(InstrumentError) {
    if owed.extent == .everything { isHeating = false }
    guard isHeating else {
      isArmed = false
      // One message ends all motion and opens all contacts (docs/obh-1.md §3).
      try with { holder throws(InstrumentError) in try holder.makeSafe() }
      try refreshState()
      guard lastState?.contactsClosed != true || !abilities.contains(.route) else {
        throw .unexpected(device: settings.model, command: "the safe state", answer: "the contacts are still closed")
      }
      return
    }
    try with { holder throws(InstrumentError) in
      if holder.abilities.contains(.piezo) { try holder.stopMotion() }
      let cell = try holder.closedChannels().filter { HolderChannel.Tap.cell.contains($0.tap) }
      if !cell.isEmpty { try holder.open(cell) }
      if holder.abilities.contains(.piezo) { try holder.detectContact(nil) }
      try holder.setOutput(false)
    }
    try refreshState()
  }

  /// Once, to whoever listens.
  private func tell(_ owed: Unrest, _ error: InstrumentError) {
    guard !owed.isTold else { return }
    unrest?.isTold = true
    let what = owed.ending == nil ? "the contacts are not known to be open" : "the probe is not known to stand"
    let sentence = "\(what): \(error); it is tried again, and no heartbeat is sent, so that the holder stops by itself"
    if var moving = owed.ending {
      moving.phase = .stopping
      moving.message = moving.message.isEmpty ? sentence : "\(moving.message); \(sentence)"
      lastMotion = moving
      report(.motion(moving))
    }
    report(.notAtRest(sentence))
  }

  /// What was begun and refused half way leaves nothing moving and nothing connected; what was there before stays.
  func giveUp(_ error: InstrumentError) {
    guard !error.isGone, motion != nil || !shouldBeClosed, identity != nil else { return }
    do throws(InstrumentError) { try bringToRest(.cell, ending: motionEnded(.failed, "\(error)")) } catch {
      // It is owed now, and those who listen have been told.
    }
  }

  /// Where the motion would stand if it were over; nil when nothing moves.
  func motionEnded(_ phase: MotionProgress.Phase, _ message: String) -> MotionProgress? {
    guard var moving = motion else { return nil }
    moving.finish(phase, message)
    return moving.progress
  }

  func endMotion(_ ending: MotionProgress) {
    motion = nil
    lastMotion = ending
    report(.motion(ending))
  }
}
