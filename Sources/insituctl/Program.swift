import ControlProtocol
import Glibc
import JSON
import Quantities

/// Carries out an invocation: asks the daemon (or the files), prints, and says how to exit. Decides nothing.
struct Program {
  let invocation: Invocation
  let console: Console

  /// Reads the words and carries them out.
  /// - Parameter words: without the program's name.
  static func run(_ words: [String], environment: [String: String], console: Console) -> Int32 {
    let invocation: Invocation
    do throws(ControlError) {
      invocation = try CommandParser.parse(words, environment: environment)
    } catch {
      // Words before “--” only: behind it a “--json” is text.
      return report(error, json: words.prefix { $0 != "--" }.contains("--json"), console)
    }
    do throws(ControlError) {
      return try Program(invocation: invocation, console: console).run()
    } catch {
      return report(error, json: invocation.json, console)
    }
  }

  /// One line on standard error; with `--json` also one document on standard output.
  static func report(_ error: ControlError, json: Bool, _ console: Console) -> Int32 {
    if error.places.count > 1 {
      for place in error.places {
        let file = error.details["file"]?.string ?? "protocol"
        let one = ControlError(file: file, places: [place])
        console.remark("insituctl: \(one)")
      }
    } else {
      console.remark("insituctl: \(error)")
    }
    if json {
      let document: JSONValue = [
        "error": [
          "code": .integer(error.kind.code), "kind": .string(error.kind.rawValue), "message": .string(error.message),
          "remedy": .string(error.remedy), "details": .object(error.details),
          "exit_code": .integer(Int64(error.kind.exitCode)),
        ]
      ]
      console.print(document.text)
    }
    return error.kind.exitCode
  }

  private func run() throws(ControlError) -> Int32 {
    switch invocation.command {
    case .help(let form): console.print(HelpText.text(form))
    case .version: console.print(Software.title("insituctl"))
    case .status: try ask(.status, text: StatusText.lines)
    // Every instrument is asked in turn, and one that is silent has seconds to answer.
    case .holder(let command): return try holder(command)
    case .beam(let command): return try beam(command)
    case .devices: try ask(.devices, within: Seconds(30), text: DevicesText.lines)
    case .runStart(let file, let name, let compression, let follows):
      return try startRun(file, name: name, compression: compression, follows: follows)
    case .runStop: try ask(.runStop) { _ in ["The run is being stopped; the cell goes to its safe state."] }
    case .runPause: try ask(.runPause) { _ in ["The run is paused."] }
    case .runResume: try ask(.runResume) { _ in ["The run goes on."] }
    case .emergencyStop: return try stopAtOnce()
    case .note(let text): try ask(.note, ["text": .string(text)], text: Self.noted)
    case .runsList: try output(try RunSource(invocation).list(), text: RunText.list)
    case .runsShow(let id):
      try output(try RunSource(invocation).summary(id)) { RunText.summary($0, steps: true) }
    case .runsVerify(let id): return try verify(id)
    case .framesKeep(let last, let camera):
      var parameters: [String: JSONValue] = ["last": .string(last)]
      if let camera { parameters["camera"] = .string(camera) }
      try ask(.framesKeep, parameters, within: Seconds(60), text: FramesText.kept)
    case .framesLeft: try ask(.framesLeft, text: FramesText.left)
    case .framesRecover: try ask(.framesRecover, within: Seconds(300), text: FramesText.recovered)
    case .framesDiscard:
      try ask(.framesDiscard) { ["\(Wording.count($0["frames"])) frames are given up."] }
    case .protocolCheck(let file): try checkProtocol(file)
    case .export(let id, let format, let path): try export(id, format: format, to: path)
    case .plot(let id, let path): try plot(id, to: path)
    case .watch: return try watch()
    case .subscribe(let topic, let count): return try subscribe(topic, count: count)
    }
    return ExitCode.well
  }

  /// One request whose result is printed.
  func ask(
    _ method: ControlMethod, _ parameters: [String: JSONValue] = [:], within limit: Seconds = Seconds(10),
    text: (JSONValue) -> [String]
  ) throws(ControlError) {
    let client = try ControlClient(invocation.endpoint)
    try output(try client.call(method, parameters, within: limit), text: text)
  }

  /// No greeting first: the stop is the first thing the daemon hears.
  func stopAtOnce() throws(ControlError) -> Int32 {
    let client = try ControlClient(invocation.endpoint, greeting: false)
    let reply = try client.call(.emergencyStop)
    let problems = (reply["problems"]?.array ?? []).compactMap(\.string)
    try output(reply) { _ in
      problems.isEmpty
        ? ["Emergency stop: \(reply["state"]?.string ?? "output open, contacts open")."]
        : ["Emergency stop, but the cell is not known to be safe:"] + problems.map { "  \($0)" }
    }
    guard reply["safe"]?.bool == false else { return 0 }
    // Whoever stopped in an emergency must not read success where it failed.
    console.remark("insituctl: the safe state was not reached everywhere. Open the cell by hand.")
    return ControlErrorKind.io.exitCode
  }

  func output(_ document: JSONValue, text: (JSONValue) -> [String]) throws(ControlError) {
    if invocation.json {
      console.print(console.isTerminal ? document.prettyText : document.text)
    } else {
      for line in text(document) { console.print(line) }
    }
  }

  private static func noted(_ result: JSONValue) -> [String] {
    let time = result["t_unix_ns"]?.integer.map { Wording.localTime(unixSeconds: Int($0 / 1_000_000_000)) }
    return ["Noted in run \(result["run"]?.string ?? "?") at \(time ?? "?")."]
  }
}
