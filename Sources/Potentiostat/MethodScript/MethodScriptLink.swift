import Linux
package import Quantities
package import USB

/// The conversation with a MethodSCRIPT instrument (methodscript.md §2): what it is, scripts loaded and run, and the way
/// back to a known state.
///
/// Scripts are loaded with `l` and begun with `r`, never with `e`: a rejection after `l` proves that the cell was not
/// touched.
package final class MethodScriptLink {
  package enum State: Hashable, Sendable {
    /// What the instrument is doing is not known.
    case unknown
    case idle
    /// A script runs.
    case running
  }

  package struct Identity: Hashable, Sendable {
    /// Six characters that name the model: "es4_lr".
    package var firmware: String
    package var version: String
    package var serial: String
    /// Of the script language.
    package var language: String
  }

  /// A line of a running script, and when it had arrived.
  package struct Output: Sendable {
    package var line: MethodScriptLine
    package var arrival: MonotonicTime
  }

  package let name: String
  package private(set) var state = State.unknown
  private let wire: any MethodScriptWire
  /// The instrument ignores what comes for about 100 ms after an error (§2).
  private var deafUntil: MonotonicTime?
  /// Whatever is waited for ends here, while it is set.
  private var deadline: MonotonicTime?
  /// When `r` was written: the script began after it.
  package private(set) var startWritten = MonotonicTime(nanoseconds: 0)
  /// Lines that belonged to nothing.
  package private(set) var damagedLines = 0

  private static let deafness = Seconds(0.15)
  /// An answer, a written script: milliseconds.
  private static let answerTime = Seconds(0.8)
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
  /// Lines of `t`.
  private static let mostIdentityLines = 20
  /// Characters of a line that every firmware takes.
  package static let longestLine = 120

  package init(_ wire: any MethodScriptWire, name: String) {
    self.wire = wire
    self.name = name
  }

  package func close() { wire.close() }

  // MARK: Known state

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

  /// Asks what it is: `t`, `i`, `v`. None of them changes anything in the instrument.
  package func identify() throws(InstrumentError) -> Identity {
    var lines = [try ask("t")]
    while lines.last?.hasSuffix("*") == false {
      guard lines.count < Self.mostIdentityLines, let line = try nextLine(until: .now + Self.answerTime) else {
        throw .unexpected(device: name, command: "t", answer: lines.joined(separator: " / "))
      }
      lines.append(line.text)
    }
    let head = lines[0].dropFirst()
    let digits = head.dropFirst(6).prefix { $0 != "#" }
    guard lines[0].first == "t", digits.count == 2 || digits.count == 4, digits.allSatisfy(\.isNumber) else {
      throw .unexpected(device: name, command: "t", answer: lines[0])
    }
    let serial = try ask("i")
    guard serial.first == "i", serial.dropFirst().first != "!" else {
      throw .unexpected(device: name, command: "i", answer: serial)
    }
    // Old firmware does not know `v`.
    let language = try ask("v")
    let two = Array(digits)
    return Identity(
      firmware: String(head.prefix(6)), version: "\(two[0]).\(two[1])" + (two.count == 4 ? ".\(two[2])\(two[3])" : ""),
      serial: String(serial.dropFirst()),
      language: language.dropFirst().first == "!" ? "unknown" : String(language.dropFirst()))
  }

  private func ask(_ command: String) throws(InstrumentError) -> String {
    try write(command)
    guard let line = try nextLine(until: .now + Self.answerTime) else {
      state = .unknown
      throw .wire(.timedOut(device: name, operation: "“\(command)”"))
    }
    if line.text.dropFirst().first == "!" { noteError() }
    return line.text
  }

  // MARK: Scripts

  /// Hands a script over; nothing of it is carried out yet.
  package func load(_ script: [String]) throws(InstrumentError) {
    for line in script where line.isEmpty || line.utf8.count > Self.longestLine {
      throw .unable(device: name, reason: "the script line “\(line)” is empty or longer than \(Self.longestLine)")
    }
    let reply = try ask((["l"] + script + [""]).joined(separator: "\n"))
    guard reply.first == "l" else {
      state = .unknown
      throw .unexpected(device: name, command: "l", answer: reply)
    }
    guard reply.utf8.count > 1 else { return }
    guard let error = MethodScriptError(reply.dropFirst()) else {
      throw .unexpected(device: name, command: "l", answer: reply)
    }
    let text = error.line.flatMap { (1...script.count).contains($0) ? script[$0 - 1] : nil }
    throw .refused(device: name, command: text ?? "the script", errors: ["\(error)"])
  }

  /// Begins the script that was loaded.
  package func start() throws(InstrumentError) {
    waitOutDeafness()
    startWritten = .now
    state = .unknown
    let reply = try ask("r")
    guard reply.first == "r" else { throw .unexpected(device: name, command: "r", answer: reply) }
    if let error = MethodScriptError(reply.dropFirst()) {
      state = .idle
      throw .refused(device: name, command: "r", errors: ["\(error)"])
    }
    state = .running
  }

  /// What the script has put out since the last call. A script that an error broke off has left the cell ON: the cell is
  /// switched off before anybody hears of it (§2.6).
  package func output() throws(InstrumentError) -> [Output] {
    var output: [Output] = []
    var lines: [SerialInput.Line] = []
    do throws(InstrumentError) { lines = try wire.lines() } catch {
      // The script holds the limits meanwhile; what was lost is counted and told.
      guard case .wire(.malformed) = error else {
        state = .unknown
        throw error
      }
      damagedLines += 1
    }
    for line in lines { output.append(try take(line)) }
    return output
  }

  /// The next line of the script; nil when none came in time.
  package func next(within limit: Seconds) throws(InstrumentError) -> Output? {
    guard let line = try nextLine(until: .now + limit) else { return nil }
    return try take(line)
  }

  private func take(_ line: SerialInput.Line) throws(InstrumentError) -> Output {
    let parsed = MethodScriptLine(line.text)
    switch parsed {
    case .end: state = .idle
    case .error:
      noteError()
      state = .idle
      try switchCellOff()
    case .unknown: damagedLines += 1
    default: break
    }
    return Output(line: parsed, arrival: line.arrival)
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

  // MARK: Wire

  private func write(_ text: String) throws(InstrumentError) {
    waitOutDeafness()
    do throws(InstrumentError) {
      try wire.write(Array((text + "\n").utf8), within: left(until: .now + Self.answerTime))
    } catch {
      state = .unknown
      throw error
    }
  }

  /// The next line before `end`; losses are counted, not thrown, so that the way to an open cell does not end at one.
  private func nextLine(until end: MonotonicTime) throws(InstrumentError) -> SerialInput.Line? {
    while true {
      let left = min(end, deadline ?? end) - .now
      guard left.value > 0 else { return nil }
      do throws(InstrumentError) { return try wire.line(within: left) } catch {
        guard case .wire(.malformed) = error else {
          state = .unknown
          throw error
        }
        damagedLines += 1
      }
    }
  }

  private func left(until end: MonotonicTime) -> Seconds { max(min(end, deadline ?? end) - .now, Seconds(0.001)) }

  private func noteError() { deafUntil = .now + Self.deafness }

  private func waitOutDeafness() {
    guard let until = deafUntil else { return }
    deafUntil = nil
    sleepThread(for: until - .now)
    wire.discardInput()
  }
}
