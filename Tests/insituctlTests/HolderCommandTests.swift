import ControlProtocol
import FakeDaemon
import JSON
import Linux
import Testing

@testable import insituctl

@Suite("The holder's commands")
struct HolderCommandTests {
  private func parse(_ words: [String]) throws -> Command {
    try CommandParser.parse(words, environment: [:]).command
  }

  @Test(
    "words become commands",
    arguments: [
      ("status", .status), ("route (@1!1,2!2)", .route("(@1!1,2!2)")), ("open", .open), ("insert on", .insert(true)),
      ("insert off", .insert(false)), ("approach", .approach(axis: nil, steps: nil)),
      ("approach --axis z --max-steps 40", .approach(axis: "z", steps: "40")),
      ("retract --steps 5", .retract(axis: nil, steps: "5")), ("stop", .stop), ("heat 350 C", .heat("350 C")),
      ("heat off", .heat("off")), ("leakage", .leakage(nil)), ("leakage 1 V", .leakage("1 V")),
      ("leakage -1 V", .leakage("-1 V")), ("gate -0.3 V", .gate("-0.3 V")), ("waveform saw", .waveform("saw")),
      ("waveform table.txt", .waveform("table.txt")), ("blank on", .blank(true)), ("safe", .safe),
    ] as [(String, HolderCommand)])
  func vocabulary(line: String, command: HolderCommand) throws {
    #expect(try parse(["holder"] + line.split(separator: " ").map(String.init)) == .holder(command))
  }

  @Test(
    "wrong words are refused with what would be right",
    arguments: [
      ("", "goes on with status, route"), ("aproach", "did you mean “approach”?"), ("insert", "needs on|off"),
      ("insert maybe", "is on or off"), ("heat", "needs TEMPERATURE"),
      ("approach --max-steps -3", "no number of steps"),
      ("route", "needs CHANNELS"), ("open all", "one word too many"),
    ])
  func wrong(line: String, words: String) throws {
    let error = #expect(throws: ControlError.self) {
      try parse(["holder"] + line.split(separator: " ").map(String.init))
    }
    #expect(error?.kind == .usage)
    let text = error.map { "\($0)" } ?? ""
    #expect(text.contains(words), "\(text)")
  }

  private static let moving: JSONValue = [
    "moving": true, "motion": ["phase": "extending", "over": false, "steps": 4, "fine_V": -32.04, "message": ""],
  ]

  @Test(
    "an approach shows where it stands and ends with what came of it",
    arguments: [("contact", Int32(0)), ("failed", 4), ("stopped", 5)])
  func approach(phase: String, code: Int32) throws {
    let asked = Monitor(0)
    let daemon = try FakeDaemonServer("approach-\(phase)") { request in
      if request.method == .hello { return .success(FakeDaemonServer.hello) }
      guard request.text("action") == "status" else { return .success(["accepted": true]) }
      let count = asked.update { count -> Int in
        count += 1
        return count
      }
      if count == 1 { return .success(Self.moving) }
      return .success([
        "moving": false,
        "motion": ["phase": .string(phase), "over": true, "steps": 5, "fine_V": 12, "message": "it is so"],
      ])
    }
    let outcome = run("holder", "approach", endpoint: daemon.endpoint)
    #expect(outcome.code == code)
    #expect(outcome.remarks == ["extending, fine -32.0 V, 4 coarse steps"])
    #expect(outcome.printed.count == 1 && outcome.printed[0].contains("it is so"))
    let json = run("holder", "approach", "--json", "--quiet", endpoint: daemon.endpoint)
    #expect(json.document?["phase"]?.string == phase)
  }

  @Test("results are told in words with their units")
  func results() throws {
    let daemon = try FakeDaemonServer("holder-results") { request in
      if request.method == .hello { return .success(FakeDaemonServer.hello) }
      switch request.text("action") {
      case "heat": return .success(["set_K": 623.15, "temperature_K": 293.15])
      case "leakage":
        return .success([
          "bias_V": 1, "resistance_Ohm": 3.6e10, "current_A": 2.78e-11, "limit_A": 1e-12, "within_limit": false,
        ])
      case "open": return .success(["channels": "(@)"])
      case "status":
        return .success([
          "model": "obh-1", "profile": "probe", "identity": "x", "state": "SAFE_OPEN", "safe_cause": "HEARTBEAT",
          "contacts_closed": false, "channels": "(@)", "abilities": ["route", "piezo"], "limitations": ["it is old"],
          "readings": [["quantity": "force", "value": 1e-9, "unit": "N"]], "motion": .null, "moving": false,
        ])
      default: return .success([:])
      }
    }
    let heat = run("holder", "heat", "350", "C", endpoint: daemon.endpoint).printed
    #expect(heat.count == 1 && heat[0].contains("(350.0 C); it is at") && heat[0].contains("(20.0 C)"))
    let leakage = run("holder", "leakage", endpoint: daemon.endpoint).printed
    #expect(leakage.count == 2 && leakage[0].contains("27.8 pA") && leakage[1].contains("1.00 pA"))
    #expect(run("holder", "open", endpoint: daemon.endpoint).printed == ["Every contact is open."])
    let status = run("holder", "status", endpoint: daemon.endpoint).printed.joined(separator: "\n")
    for words in [
      "obh-1, profile probe", "SAFE_OPEN, made safe last by HEARTBEAT", "route, piezo", "1e-09 N", "it is old",
    ] {
      #expect(status.contains(words), "\(words) in \(status)")
    }
  }

  @Test("help says what Ctrl-C does and what may be left out")
  func help() {
    let text = run("holder", "approach", "--help").printed.joined()
    #expect(text.contains("Ctrl-C stops the probe"))
    #expect(run("holder", "leakage", "--help").printed.joined().contains("[BIAS]"))
  }
}
