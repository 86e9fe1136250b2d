import JSON
import Linux

@testable import insituctl

/// What a program printed, and how it ended.
struct ProgramOutcome {
  var code: Int32
  var printed: [String]
  var remarks: [String]
  var document: JSONValue? { printed.last.flatMap { try? JSONValue(parsing: $0) } }
}

/// Runs insituctl's words in this process, without a terminal.
func run(_ words: String..., endpoint: String = "ipc:///tmp/insitud-test-nowhere/control") -> ProgramOutcome {
  let printed = Monitor<[String]>([])
  let remarks = Monitor<[String]>([])
  let console = Console(
    print: { line in printed.update { $0.append(line) } }, remark: { line in remarks.update { $0.append(line) } },
    redraw: nil, isTerminal: false, width: { 80 })
  let code = Program.run(words, environment: ["INSITUD_ENDPOINT": endpoint], console: console)
  return ProgramOutcome(code: code, printed: printed.read { $0 }, remarks: remarks.read { $0 })
}
