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
  package internal(set) var state = State.unknown
  let wire: any MethodScriptWire
  /// The instrument ignores what comes for about 100 ms after an error (§2).
  private var deafUntil: MonotonicTime?
  /// Whatever is waited for ends here, while it is set.
  var deadline: MonotonicTime?
  /// When `r` was written: the script began after it.
  package private(set) var startWritten = MonotonicTime(nanoseconds: 0)
  /// Lines that belonged to nothing.
  package private(set) var damagedLines = 0

  private static let deafness = Seconds(0.15)
  /// An answer, a written script: milliseconds.
  static let answerTime = Seconds(0.8)
  /// Lines of `t`.
  private static let mostIdentityLines = 20
  /// Characters of a line that every firmware takes.
  package static let longestLine = 120

  package init(_ wire: any MethodScriptWire, name: String) {
    self.wire = wire
    self.name = name
  }

  package func close() { wire.close() }

  // MARK: Identity

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

  // MARK: Wire

  func write(_ text: String) throws(InstrumentError) {
    waitOutDeafness()
    do throws(InstrumentError) {
      try wire.write(Array((text + "\n").utf8), within: left(until: .now + Self.answerTime))
    } catch {
      state = .unknown
      throw error
    }
  }

  /// The next line before `end`; losses are counted, not thrown, so that the way to an open cell does not end at one.
  func nextLine(until end: MonotonicTime) throws(InstrumentError) -> SerialInput.Line? {
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

  func noteError() { deafUntil = .now + Self.deafness }

  func waitOutDeafness() {
    guard let until = deafUntil else { return }
    deafUntil = nil
    sleepThread(for: until - .now)
    wire.discardInput()
  }
}
