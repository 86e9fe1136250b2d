import RunExport

/// The form of a command: its words, what follows them, and what it says of itself.
struct CommandForm: Equatable, Sendable {
  /// "run start"
  var words: [String]
  /// Names of the arguments, as printed: ["FILE"].
  var arguments: [String] = []
  /// True when the last argument may be many words.
  var takesRest = false
  /// True when the last argument may be left out.
  var isLastOptional = false
  var options: [OptionForm] = []
  var summary: String
  var explanation: String = ""

  var title: String { words.joined(separator: " ") }
  var usage: String {
    let marks = options.map(\.usage)
    var shown = arguments
    if isLastOptional, let last = shown.popLast() { shown.append("[\(last)]") }
    return (["insituctl"] + words + shown + marks).joined(separator: " ")
  }
}

/// An option of a command line.
struct OptionForm: Equatable, Sendable {
  /// "--name"
  var name: String
  /// "-o"
  var short: String?
  /// What its value is called; nil for a flag.
  var value: String?
  var isRequired = false
  var summary: String

  var usage: String {
    let text = [short ?? name, value].compactMap { $0 }.joined(separator: " ")
    return isRequired ? text : "[\(text)]"
  }
}

extension CommandForm {
  /// Options every command takes.
  static let general = [
    OptionForm(
      name: "--endpoint", value: "URL",
      summary: "the daemon's control socket (else $INSITUD_ENDPOINT, else ipc:///run/insitud/control)"),
    OptionForm(name: "--json", summary: "print one JSON document; one per line where it streams"),
    OptionForm(name: "--quiet", summary: "no progress and no remarks, only results and errors"),
    OptionForm(name: "--data", value: "DIR", summary: "look for runs in this data directory, without a daemon"),
    OptionForm(name: "--help", short: "-h", summary: "say how to use a command"),
    OptionForm(name: "--version", summary: "say the version"),
  ]

  private static let output = OptionForm(
    name: "--output", short: "-o", value: "PATH", isRequired: true, summary: "the file to make")
  private static let identifier = "ID is a run's id, its beginning where that is unique, a run's name, or last."

  static let all: [CommandForm] = main + holder + beam

  private static let main: [CommandForm] = [
    CommandForm(
      words: ["status"], summary: "instruments, voltage, current, frames, disk, run and step"),
    CommandForm(
      words: ["devices"], summary: "every instrument: model, identity, connection, clock, errors"),
    CommandForm(
      words: ["run", "start"], arguments: ["FILE"],
      options: [
        OptionForm(name: "--name", value: "NAME", summary: "the run's name (else the protocol's)"),
        OptionForm(
          name: "--compress", value: "METHOD",
          summary: "none, bslz4, bszstd or bsgaps, without loss (else the daemon's configuration)"),
        OptionForm(name: "--follow", summary: "show progress until the run ends; Ctrl-C detaches"),
      ], summary: "run a protocol",
      explanation: """
        With --follow the exit code tells the outcome: 0 complete, 3 tripped, 4 failed or interrupted, 5 stopped.
        Ctrl-C detaches with 130; the run goes on.
        """),
    CommandForm(words: ["run", "stop"], summary: "stop the run; the cell goes to its safe state"),
    CommandForm(words: ["run", "pause"], summary: "pause the run"),
    CommandForm(words: ["run", "resume"], summary: "let a paused run go on"),
    CommandForm(words: ["estop"], summary: "safe state now, whatever else is going on"),
    CommandForm(words: ["note"], arguments: ["TEXT"], takesRest: true, summary: "write a note into the run"),
    CommandForm(words: ["runs"], summary: "list the runs"),
    CommandForm(
      words: ["runs", "show"], arguments: ["ID"], summary: "show a run", explanation: identifier),
    CommandForm(
      words: ["runs", "verify"], arguments: ["ID"], summary: "check a run: ledger, checksums, headers, gaps",
      explanation: identifier + "\nExit code 65 when something is wrong with it."),
    CommandForm(
      words: ["frames", "keep"],
      options: [
        OptionForm(name: "--last", value: "TIME", isRequired: true, summary: "how far back, such as 10s or \"2 min\""),
        OptionForm(name: "--camera", value: "NAME", summary: "of this camera alone (else of all)"),
      ], summary: "record what has already happened: frames that the ring still holds",
      explanation: """
        They go into the run that is going on, else into a run of their own. Needs a camera that is running: in a step that
        records, or between runs with camera.watch in the daemon's configuration.
        """),
    CommandForm(words: ["frames", "left"], summary: "frames that a daemon which died left in memory"),
    CommandForm(words: ["frames", "recover"], summary: "write them into a run of their own"),
    CommandForm(words: ["frames", "discard"], summary: "give them up, and their memory free"),
    CommandForm(
      words: ["protocol", "check"], arguments: ["FILE"], summary: "check a protocol and print what it will do",
      explanation: "Needs no daemon; asks one for the size of its frames where it can."),
    CommandForm(
      words: ["export"], arguments: ["ID"],
      options: [
        OptionForm(
          name: "--format", value: ExportFormat.allCases.map(\.rawValue).joined(separator: "|"), isRequired: true,
          summary:
            "csv: samples, and frames with V, I, Q and uncertainty; bdf: samples, Battery Data Format; mrc: the frames"),
        output,
      ], summary: "write a run's samples and frames as tables, or its frames as MRC2014", explanation: identifier),
    CommandForm(
      words: ["plot"], arguments: ["ID"], options: [output], summary: "draw a run as SVG", explanation: identifier),
    CommandForm(words: ["watch"], summary: "the state as a live line; lines of a table when not on a terminal"),
    CommandForm(
      words: ["subscribe"], arguments: ["TOPIC"],
      options: [OptionForm(name: "--count", value: "N", summary: "end after N messages")],
      summary: "a stream as NDJSON",
      explanation: "TOPIC is frame, ref, preview, sample, event or status, or all."),
  ]
}
