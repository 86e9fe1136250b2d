package import EmulatedUSB
package import Quantities

/// A Keithley 2636B, 2635B or 2634B source-measure unit: Lua scripts behind USBTMC (scpi-smu.md §4).
///
/// Lines are executed one after the other; while a script runs they wait, except `abort` and `*TRG`. Reading, waiting and
/// printing into a full queue let time pass.
package final class Keithley2636B: MessageInstrument {
  package struct Settings: Sendable {
    package var model = TSPModel.k2636B
    package var serial = "4012345"
    package var firmware = "3.3.5"
    package var lineFrequency = 50.0
    /// A rms of a current reading at an aperture of 20 ms, and V rms of a voltage reading.
    package var currentNoise = 50e-15
    package var voltageNoise = 1e-6
    /// A and V by which sources and readings are off.
    package var sourceOffset = 0.0
    package var measureOffset = 0.0
    package var measureVoltageOffset = 0.0
    /// A by which readings on all ranges but the lowest are off, on top: every range has a zero of its own.
    package var higherRangeOffset = 0.0
    /// Share of the range by which a current reading is off right after a change of range.
    package var settlingShare = 1e-3
    /// What a reading takes beside its aperture, and what any other request of a script takes.
    package var overhead = Seconds(0.3e-3)
    package var stepTime = Seconds(20e-6)
    /// The channel that the cable to the holder is at.
    package var wiredChannel = "smua"
    package var seed: UInt64 = 1

    package init() {}
  }

  /// An entry of the error queue.
  struct Problem: Equatable {
    var code: Int
    var text: String
  }

  private enum Waiting {
    case until(MonotonicTime)
    case trigger(MonotonicTime)
    case line(Int, MonotonicTime)
    case measure(TSPChannel, String, from: MonotonicTime, to: MonotonicTime)
    case room
  }

  private static let mostLinesWaiting = 256
  private static let longestLine = 64 << 10
  static let mostProblems = 100
  /// Bytes in the output queue above which a script that prints is held.
  private static let outputRoom = 8 << 10
  /// A script that was interrupted goes on so much later.
  private static let interruption = Seconds(1e-3)

  package let settings: Settings
  let cell: any CellSide
  let clock: any InstrumentClock
  let interpreter = TSPInterpreter()
  var channels: [String: TSPChannel] = [:]
  /// Attributes that are only kept: `format.asciiprecision`, `localnode.prompts`, and so on.
  var kept: [String: TSPValue] = [:]
  var problems: [Problem] = []
  /// When the present request of the script is made; the instrument's own time.
  private(set) var time: MonotonicTime
  var timerStart: Int64 = 0

  private var input: [String] = []
  private var output: [[UInt8]] = []
  private var waiting: Waiting?
  private var answers: [TSPValue] = []
  /// A script that is being loaded: its name, its lines, whether it runs at once.
  private var loading: (name: String, lines: [String], runs: Bool)?
  private var loaded: (name: String, text: String, runs: Bool)?
  private(set) var isTriggered = false
  var lines: [Int: TSPLine] = [:]
  private var serviceEnable: UInt8 = 0

  package struct OutputPulse: Equatable, Sendable {
    package var line: Int
    package var time: MonotonicTime
  }
  /// What came out of the digital lines, oldest first; the last ten thousand.
  package private(set) var outputPulses: [OutputPulse] = []

  package init(_ settings: Settings, cell: any CellSide, clock: any InstrumentClock, at now: MonotonicTime) {
    self.settings = settings
    self.cell = cell
    self.clock = clock
    time = now
    for name in ["smua", "smub"].prefix(settings.model.channels) {
      channels[name] = TSPChannel(name, settings)
    }
    kept = Self.defaults(settings)
    interpreter.answer = { [unowned self] what, arguments in answer(what, arguments) }
    // Whatever the prelude needs is known now.
    interpreter.begin()
    for channel in channels.values { present(channel) }
  }

  package var identity: String {
    "Keithley Instruments Inc., Model \(settings.model.number), \(settings.serial), \(settings.firmware)"
  }

  package var outputOnSince: MonotonicTime? { channels[settings.wiredChannel]?.onSince }
  /// True while a script or a line is under way.
  package var isBusy: Bool { interpreter.isBusy }

  // MARK: messages

  package func receive(_ message: [UInt8], at now: MonotonicTime) {
    run(until: now)
    for bytes in message.split(separator: 10) {
      let line = String(decoding: bytes, as: UTF8.self).trimmedBlanks
      switch line {
      case "": continue
      case "abort": abort()
      case "*TRG": isTriggered = true
      default:
        guard input.count < Self.mostLinesWaiting, line.utf8.count <= Self.longestLine else {
          report(-363, "Input buffer over-run")
          continue
        }
        input.append(line)
      }
    }
    run(until: now)
  }

  private func abort() {
    interpreter.abandon()
    waiting = nil
    answers = []
    loading = nil
  }

  package func response(at now: MonotonicTime) -> [UInt8]? {
    run(until: now)
    return output.isEmpty ? nil : output.removeFirst()
  }

  package var isResponseDue: Bool { !output.isEmpty }

  package func dropResponse(_ reason: QueryError?, at now: MonotonicTime) {
    run(until: now)
    // A script that is under way may still print what is asked for.
    if reason == .unterminated, interpreter.isBusy || !input.isEmpty || !output.isEmpty { return }
    output = []
    switch reason {
    case .interrupted: report(-410, "Query interrupted")
    case .unterminated: report(-420, "Query unterminated")
    case nil: break
    }
  }

  /// Empties both queues. A script that runs goes on: the manual's words on this are not known, and it is the worse case.
  package func clear(at now: MonotonicTime) {
    run(until: now)
    input = []
    output = []
    loading = nil
  }

  package func trigger(at now: MonotonicTime) {
    run(until: now)
    isTriggered = true
    run(until: now)
  }

  package func statusByte(at now: MonotonicTime) -> UInt8 {
    run(until: now)
    var byte: UInt8 = (problems.isEmpty ? 0 : 0x04) | (output.isEmpty ? 0 : 0x10)
    if byte & serviceEnable != 0 { byte |= 0x40 }
    return byte
  }

  package func tick(_ now: MonotonicTime) { run(until: now) }

  /// A pulse that comes in from outside on a digital line.
  package func pulse(line: Int, at now: MonotonicTime) {
    run(until: now)
    lines[line, default: TSPLine()].wasTriggered = true
    run(until: now)
  }

  // MARK: scripts

  private func run(until now: MonotonicTime) {
    while true {
      if interpreter.isBusy {
        guard time <= now, let values = takeAnswer(until: now) else { return }
        follow(interpreter.resume(values))
      } else if input.isEmpty {
        time = max(time, now)
        return
      } else {
        guard time <= now else { return }
        execute(input.removeFirst())
      }
    }
  }

  /// The answer to what the script waits for, when its time has come by `now`.
  private func takeAnswer(until now: MonotonicTime) -> [TSPValue]? {
    guard let pending = waiting else { return [] }
    var values: [TSPValue] = []
    switch pending {
    case .until(let end):
      guard end <= now else { return nil }
      time = max(time, end)
    case .trigger(let limit):
      guard isTriggered || limit <= now else { return nil }
      // A trigger that comes while it is waited for is seen at once.
      time = isTriggered ? max(time, min(now, limit)) : max(time, limit)
      values = [.flag(isTriggered)]
      isTriggered = false
    case .line(let line, let limit):
      let wasTriggered = lines[line]?.wasTriggered ?? false
      guard wasTriggered || limit <= now else { return nil }
      time = wasTriggered ? max(time, min(now, limit)) : max(time, limit)
      values = [.flag(wasTriggered)]
      lines[line]?.wasTriggered = false
    case .measure(let channel, let what, let begin, let end):
      guard end <= now else { return nil }
      time = max(time, end)
      values = read(channel, what, from: begin, to: end)
    case .room:
      guard hasRoom else { return nil }
      time = max(time, now)
    }
    waiting = nil
    time = time + settings.stepTime
    return values
  }

  private var hasRoom: Bool { output.reduce(0) { $0 + $1.count } < Self.outputRoom }

  private func follow(_ outcome: TSPOutcome) {
    switch outcome {
    case .finished: break
    case .interrupted: waiting = .until(time + Self.interruption)
    case .failed(let text): report(-286, "TSP Runtime error \(Self.place(text))")
    case .asks(let what, let arguments):
      func seconds(_ index: Int) -> Seconds {
        Seconds(max(0, min(1e6, index < arguments.count ? arguments[index].number ?? 0 : 0)))
      }
      switch what {
      case "delay": waiting = .until(time + seconds(0))
      case "trigger": waiting = .trigger(time + seconds(0))
      case "line": waiting = .line(Int(arguments.first?.number ?? 0), time + seconds(1))
      case "room": waiting = .room
      case "measure":
        guard let channel = channels[arguments.first?.text ?? ""], arguments.count > 1, let kind = arguments[1].text
        else { return waiting = .until(time) }
        let begin = time + settings.overhead
        waiting = .measure(channel, kind, from: begin, to: begin + channel.aperture(settings.lineFrequency))
      default: waiting = .until(time)
      }
    }
  }

  private func execute(_ line: String) {
    if loading != nil {
      if line == "endscript" { return finishLoading() }
      loading?.lines.append(line)
      return
    }
    let words = line.split(separator: " ").map(String.init)
    if let first = words.first, first == "loadscript" || first == "loadandrunscript" {
      loading = (words.count > 1 ? words[1] : "", [], first == "loadandrunscript")
      return
    }
    if line.hasPrefix("*") { return common(words) }
    begin(line)
  }

  private func finishLoading() {
    guard let done = loading else { return }
    loading = nil
    loaded = (done.name, done.lines.joined(separator: "\n"), done.runs)
    begin("_G[\"\\1define\"]()")
  }

  private func begin(_ text: String) {
    waiting = nil
    if let problem = interpreter.start(text) { report(-285, "TSP Syntax error \(Self.place(problem))") }
  }

  /// Lua's `tsp:3: …` as the instrument says it: `at line 3: …`.
  private static func place(_ text: String) -> String {
    let parts = text.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0] == "tsp" else { return ": " + text }
    return "at line \(parts[1]):\(parts[2])"
  }

  /// The common commands that mean something without SCPI (IEEE 488.2 §10).
  private func common(_ words: [String]) {
    switch words.first ?? "" {
    case "*IDN?": print(identity)
    case "*CLS":
      problems = []
      output = []
    case "*RST": reset()
    case "*OPC?", "*TST?": print(words.first == "*OPC?" ? "1" : "0")
    case "*SRE": serviceEnable = UInt8(words.last ?? "") ?? 0
    case "*WAI", "*ESE", "*OPC": break
    default: report(-285, "TSP Syntax error at line 1: unexpected symbol near `*'")
    }
  }

  func print(_ text: String) { output.append(Array(text.utf8) + [10]) }

  func report(_ code: Int, _ text: String) {
    if problems.count < Self.mostProblems { problems.append(Problem(code: code, text: text)) }
  }

  func reset() {
    for channel in channels.values {
      channel.reset()
      present(channel)
    }
    kept = Self.defaults(settings)
  }

  /// What a script asks for that takes no time; see the prelude.
  private func answer(_ what: String, _ arguments: [TSPValue]) -> [TSPValue] {
    switch what {
    case "room": return [.flag(hasRoom)]
    case "print":
      print(arguments.first?.text ?? "")
      return []
    case "script":
      guard let loaded else { return [.text(""), .text(""), .flag(false)] }
      return [.text(loaded.name), .text(loaded.text), .flag(loaded.runs)]
    case "syntax":
      report(-285, "TSP Syntax error \(Self.place(arguments.first?.text ?? ""))")
      return []
    case "cleartrigger":
      isTriggered = false
      return []
    case "assert":
      if outputPulses.count >= 10_000 { outputPulses.removeFirst() }
      outputPulses.append(OutputPulse(line: Int(arguments.first?.number ?? 0), time: time))
      return []
    case "clearline":
      lines[Int(arguments.first?.number ?? 0)]?.wasTriggered = false
      return []
    default: return attribute(what, arguments)
    }
  }
}

/// A digital line as far as triggers go.
struct TSPLine {
  var wasTriggered = false
}
