import ControlProtocol

/// What `--help` prints.
enum HelpText {
  static func text(_ form: CommandForm?) -> String {
    guard let form else { return overview }
    var lines = ["Usage: \(form.usage)", "", capitalized(form.summary) + "."]
    if !form.explanation.isEmpty { lines += [form.explanation] }
    if !form.options.isEmpty { lines += ["", "Options:"] + table(form.options) }
    return (lines + ["", "Options of every command:"] + table(CommandForm.general)).joined(separator: "\n")
  }

  private static var overview: String {
    let width = CommandForm.all.map { invocation($0).count }.max() ?? 0
    let commands = CommandForm.all.map { "  \(padded(invocation($0), width))  \($0.summary)" }
    return
      ([
        "insituctl talks to insitud, the in-situ biasing and acquisition daemon.", "", "Usage: insituctl COMMAND …", "",
      ]
      + commands + ["", "Options of every command:"] + table(CommandForm.general)
      + [
        "", "insituctl help COMMAND says more.",
        "Exit codes: 0 well, 3 tripped, 4 failed, 5 stopped, 64 usage, 65 data, 66 no such file or run, 69 no daemon,",
        "70 software, 73 cannot create, 74 input/output, 75 busy, 77 permission, 78 configuration, 130 Ctrl-C.",
      ]).joined(separator: "\n")
  }

  private static func invocation(_ form: CommandForm) -> String {
    (form.words + form.arguments + form.options.filter(\.isRequired).map(\.usage)).joined(separator: " ")
  }

  private static func table(_ options: [OptionForm]) -> [String] {
    let names = options.map { option in
      [option.short, option.name].compactMap { $0 }.joined(separator: ", ") + (option.value.map { " \($0)" } ?? "")
    }
    let width = names.map(\.count).max() ?? 0
    return zip(names, options).map { "  \(padded($0, width))  \($1.summary)" }
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  private static func capitalized(_ text: String) -> String { text.prefix(1).uppercased() + text.dropFirst() }
}
