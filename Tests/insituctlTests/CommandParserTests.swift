import ControlProtocol
import RunExport
import Testing

@testable import insituctl

@Suite("Words become commands")
struct CommandParserTests {
  private func parse(_ line: String, _ environment: [String: String] = [:]) throws -> Invocation {
    try CommandParser.parse(line.split(separator: " ").map(String.init), environment: environment)
  }

  private func refusal(_ words: [String]) -> ControlError? {
    do {
      _ = try CommandParser.parse(words, environment: [:])
      return nil
    } catch {
      return error
    }
  }

  @Test(
    "every command of the vocabulary",
    arguments: [
      ("status", .status), ("devices", .devices),
      ("run start a.yaml", .runStart(file: "a.yaml", name: nil, compression: nil, follows: false)),
      ("run start a.yaml --name x --follow", .runStart(file: "a.yaml", name: "x", compression: nil, follows: true)),
      (
        "run start a.yaml --compress bszstd",
        .runStart(file: "a.yaml", name: nil, compression: "bszstd", follows: false)
      ),
      ("frames keep --last 10s", .framesKeep(last: "10s", camera: nil)),
      ("frames keep --camera image --last=2", .framesKeep(last: "2", camera: "image")),
      ("frames left", .framesLeft), ("frames recover", .framesRecover), ("frames discard", .framesDiscard),
      ("run start --follow --name=x a.yaml", .runStart(file: "a.yaml", name: "x", compression: nil, follows: true)),
      ("--json run --name run start start", .runStart(file: "start", name: "run", compression: nil, follows: false)),
      ("run stop", .runStop), ("run pause", .runPause), ("run resume", .runResume), ("estop", .emergencyStop),
      ("note beam blanked", .note("beam blanked")), ("note -- --json is text", .note("--json is text")),
      ("runs", .runsList), ("runs show last", .runsShow("last")), ("runs verify 01J", .runsVerify("01J")),
      ("protocol check a.yaml", .protocolCheck("a.yaml")),
      ("export last --format bdf -o x.csv", .export(id: "last", format: .bdf, output: "x.csv")),
      ("export --output=- last --format=csv", .export(id: "last", format: .csv, output: "-")),
      ("plot last -o x.svg", .plot(id: "last", output: "x.svg")), ("watch", .watch),
      ("subscribe sample", .subscribe(topic: "sample", count: nil)),
      ("subscribe frame/camera --count 3", .subscribe(topic: "frame/camera", count: 3)),
      ("subscribe all", .subscribe(topic: "all", count: nil)),
      ("--version", .version), ("status --version", .version), ("help", .help(nil)), ("--help", .help(nil)),
      ("-h", .help(nil)),
    ] as [(String, Command)])
  func vocabulary(line: String, command: Command) throws {
    #expect(try parse(line).command == command)
  }

  @Test("help knows every command, before and after its name")
  func help() throws {
    for form in CommandForm.all {
      #expect(try parse("help \(form.title)").command == .help(form))
      #expect(try parse("\(form.title) --help").command == .help(form))
      #expect(HelpText.text(nil).contains(form.title))
      #expect(HelpText.text(form).contains(form.usage))
    }
  }

  @Test("options of every command may stand anywhere")
  func general() throws {
    let invocation = try parse("--endpoint tcp://host:5 runs --json show last --quiet --data d")
    #expect(
      invocation
        == Invocation(command: .runsShow("last"), endpoint: "tcp://host:5", json: true, quiet: true, data: "d"))
  }

  @Test("the endpoint comes from the option, else the environment, else the default")
  func endpoint() throws {
    let environment = ["INSITUD_ENDPOINT": "ipc:///a"]
    #expect(try parse("status --endpoint ipc:///b", environment).endpoint == "ipc:///b")
    #expect(try parse("status", environment).endpoint == "ipc:///a")
    #expect(try parse("status", ["INSITUD_ENDPOINT": ""]).endpoint == "ipc:///run/insitud/control")
    #expect(try parse("status").endpoint == "ipc:///run/insitud/control")
  }

  @Test(
    "wrong words are refused with what would be right",
    arguments: [
      ("", "no command"), ("stauts", "did you mean “status”?"), ("run", "start, stop, pause, resume"),
      ("run strat a", "did you mean “start”?"), ("runs shwo last", "did you mean “show”?"),
      ("run start", "needs FILE"), ("run start a b", "one word too many: “b”"), ("note", "needs TEXT"),
      ("status --jsn", "did you mean “--json”?"), ("status --follow", "has no option “--follow”"),
      ("status --json=1", "takes no value"), ("run start a --name", "needs a value"),
      ("run start a --name=", "empty"), ("export last", "needs --format"),
      ("export last --format csv", "needs --output"), ("export last --format xls -o a", "no format “xls”"),
      ("plot last", "needs --output"), ("subscribe sampel", "did you mean “sample”?"),
      ("subscribe sample --count 0", "from 1"), ("subscribe sample --count x", "from 1"),
      ("xyzzy", "All commands: insituctl help"), ("help xyzzy", "no command “xyzzy”"), ("protocol", "check"),
      ("--frobnicate", "no option “--frobnicate”"),
    ])
  func refusals(line: String, text: String) throws {
    let error = try #require(refusal(line.split(separator: " ").map(String.init)))
    #expect(error.kind == .usage)
    #expect(error.description.contains(text), "\(error)")
  }

  @Test("empty words are no arguments")
  func emptyWords() {
    #expect(refusal(["run", "start", ""])?.message == "FILE is empty")
    #expect(refusal(["note", ""])?.message == "TEXT is empty")
    #expect(refusal([""])?.kind == .usage)
  }
}
