import Linux
package import Quantities
package import USB

/// The ways back to a known state, and to an open cell, whatever was going on (methodscript.md §2).
extension MethodScriptLink {
  /// The way to an open cell, with everything that may have to be said again.
  private static let safeTime = Seconds(1.1)
  /// Of `Z`: the loop ends, then `on_finished`. Documented are up to 15 s for slow loops; ours end in milliseconds, and
  /// whoever waits for an open cell is told after this instead.
  private static let abortTime = Seconds(0.5)
  /// A script of somebody else may take long to end.
  private static let foreignAbortTime = Seconds(30)
  private static let syncAttempts = 3
  /// Answers that were held up come all at once.
  private static let lateTime = Seconds(0.05)
  /// Between two lines of a script that is ending.
  private static let quietTime = Seconds(0.4)
  private static let syncTime = Seconds(0.4)

  /// Brings the conversation into step, whatever was going on: a half-typed command is flushed, a script is aborted.
  ///
  /// Aborting is right: a script that runs while nobody reads it polarises the cell and nobody watches; its end, with
  /// its `on_finished`, is the safe state it was given. An instrument that is idle is left as it is.
  /// - Returns: a script was running.
  package func synchronize(within limit: Seconds? = nil) throws(InstrumentError) -> Bool {
    state = .unknown
    for _ in 0..<Self.syncAttempts {
      waitOutDeafness()
      wire.discardInput()
      try write("\nZ")
      let end = MonotonicTime.now + Self.syncTime
      while let line = try nextLine(until: end) {
        guard line.text.first == "Z" else { continue }
        guard line.text == "Z" else {
          // Z!0006: nothing was running.
          noteError()
          try takeLateAnswers()
          state = .idle
          return false
        }
        guard try readToEnd(until: .now + (limit ?? Self.foreignAbortTime)) else { continue }
        try takeLateAnswers()
        state = .idle
        return true
      }
    }
    throw .wire(.timedOut(device: name, operation: "Z: bringing the conversation into step"))
  }

  /// To a `Z` that was said before, and whose answer was held up on its way: the answer to what is said next comes after.
  private func takeLateAnswers() throws(InstrumentError) {
    let end = MonotonicTime.now + Self.lateTime
    while let line = try nextLine(until: end) {
      // One more refusal: it is deaf again.
      if line.text.hasPrefix("Z!") { noteError() }
    }
  }

  /// Reads up to the end of a script that was aborted. Its last line may have been lost: after `quietTime` without one it
  /// is asked again.
  private func readToEnd(until end: MonotonicTime) throws(InstrumentError) -> Bool {
    while let line = try nextLine(until: min(end, .now + Self.quietTime)) {
      if line.text.isEmpty { return true }
      if line.text.first == "!" {
        noteError()
        return true
      }
    }
    while .now < end {
      try write("Z")
      while let line = try nextLine(until: min(end, .now + Self.quietTime)) {
        // Z!0006: it has ended meanwhile.
        if line.text.isEmpty { return true }
        guard line.text.hasPrefix("Z!") || line.text.first == "!" else { continue }
        noteError()
        return true
      }
    }
    return false
  }

  /// Ends whatever runs and switches the cell off, by the shortest way; a stream that is damaged does not matter.
  /// - Returns: what the script still put out.
  package func makeSafe() throws(InstrumentError) -> [Output] {
    deadline = .now + Self.safeTime
    defer { deadline = nil }
    var rest: [Output] = []
    if state == .running {
      // A `Z` that could not be written is said again below.
      do throws(InstrumentError) { rest = try abort() } catch { if error.isGone { throw error } }
    }
    if state != .idle { _ = try synchronize(within: Self.abortTime) }
    do throws(InstrumentError) { try switchCellOff() } catch {
      if error.isGone { throw error }
      // Once more from the beginning.
      _ = try synchronize(within: Self.abortTime)
      try switchCellOff()
    }
    return rest
  }

  /// `Z`, up to the script's end. Where that does not come, the state is unknown.
  private func abort() throws(InstrumentError) -> [Output] {
    var output: [Output] = []
    state = .unknown
    try write("Z")
    let limit = MonotonicTime.now + Self.abortTime
    var isAnswered = false
    var isOver = false
    while !(isAnswered && isOver), let line = try nextLine(until: limit) {
      let parsed = MethodScriptLine(line.text)
      switch parsed {
      case .echo("Z"): isAnswered = true
      case .end: isOver = true
      case .error:
        // Over, with the cell on; `Z` came while it was deaf.
        noteError()
        return output + [Output(line: parsed, arrival: line.arrival)]
      default:
        if line.text.hasPrefix("Z!") {
          // It had ended by itself.
          noteError()
          isAnswered = true
          isOver = true
          continue
        }
      }
      output.append(Output(line: parsed, arrival: line.arrival))
    }
    if isAnswered && isOver { state = .idle }
    return output
  }

  /// A script of one line; the only thing that is sent after an error.
  package func switchCellOff() throws(InstrumentError) {
    try load(["cell_off"])
    try start()
    let end = MonotonicTime.now + Self.answerTime
    while let line = try nextLine(until: end) {
      if line.text.isEmpty {
        state = .idle
        return
      }
      if let error = MethodScriptError(line.text) {
        noteError()
        state = .unknown
        throw .refused(device: name, command: "cell_off", errors: ["\(error)"])
      }
    }
    state = .unknown
    throw .wire(.timedOut(device: name, operation: "cell_off"))
  }
}
