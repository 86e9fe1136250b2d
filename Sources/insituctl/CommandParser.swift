import ControlProtocol
import RunExport

/// Turns the words of a command line into an `Invocation`. Pure.
enum CommandParser {
  /// - Parameters:
  ///   - words: without the program's name.
  ///   - environment: looked at for `INSITUD_ENDPOINT`.
  static func parse(_ words: [String], environment: [String: String]) throws(ControlError) -> Invocation {
    var (plain, given) = split(words)
    let asksForHelp = plain.first == "help" || given.contains { $0.name == "--help" || $0.name == "-h" }
    if plain.first == "help" { plain.removeFirst() }
    let form = try findForm(plain)
    let values = try values(given, form)
    var invocation = base(.version, values, environment)
    if asksForHelp {
      invocation.command = .help(form)
      return invocation
    }
    if values["--version"] != nil { return invocation }
    guard let form else {
      throw usage("no command", nil, "Say for example: insituctl status. All commands: insituctl help.")
    }
    for option in form.options where option.isRequired && values[option.name] == nil {
      throw usage("“\(form.title)” needs \(option.name)", form)
    }
    let arguments = Array(plain.dropFirst(form.words.count))
    guard arguments.count >= form.arguments.count - (form.isLastOptional ? 1 : 0) else {
      throw usage("“\(form.title)” needs \(form.arguments[arguments.count])", form)
    }
    guard form.takesRest || arguments.count == form.arguments.count else {
      throw surplus(arguments[form.arguments.count], form)
    }
    invocation.command = try command(form, arguments, values)
    return invocation
  }

  private struct GivenOption {
    var name: String
    var value: String?
  }

  /// Parts the words into plain ones and options with their values. An option means the same to every command that has
  /// it, so options may stand anywhere.
  private static func split(_ words: [String]) -> (plain: [String], given: [GivenOption]) {
    let options = CommandForm.general + CommandForm.all.flatMap(\.options)
    var plain: [String] = []
    var given: [GivenOption] = []
    var rest = words[...]
    while let word = rest.popFirst() {
      if word == "--" { return (plain + rest, given) }
      // No option begins with a digit: “-0.5 V” is a quantity.
      guard word.hasPrefix("-"), word != "-", word.dropFirst().first?.isNumber == false else {
        plain.append(word)
        continue
      }
      let name = String(word.prefix { $0 != "=" })
      if name != word {
        given.append(GivenOption(name: name, value: String(word.dropFirst(name.count + 1))))
      } else if options.contains(where: { ($0.name == name || $0.short == name) && $0.value != nil }) {
        given.append(GivenOption(name: name, value: rest.popFirst()))
      } else {
        given.append(GivenOption(name: name, value: nil))
      }
    }
    return (plain, given)
  }

  /// The options' values by long name; a flag has the value "".
  private static func values(_ given: [GivenOption], _ form: CommandForm?) throws(ControlError) -> [String: String] {
    let known = (form?.options ?? []) + CommandForm.general
    var values: [String: String] = [:]
    for one in given {
      guard let option = known.first(where: { $0.name == one.name || $0.short == one.name }) else {
        throw unknownOption(one.name, form, known)
      }
      guard let what = option.value else {
        guard one.value == nil else { throw usage("“\(one.name)” takes no value", form) }
        values[option.name] = ""
        continue
      }
      guard let value = one.value else { throw usage("“\(one.name)” needs a value: \(what)", form) }
      guard !value.isEmpty else { throw usage("“\(one.name)” has an empty value", form) }
      values[option.name] = value
    }
    return values
  }

  /// The command named by the first plain words; nil when there are none.
  private static func findForm(_ plain: [String]) throws(ControlError) -> CommandForm? {
    guard let first = plain.first else { return nil }
    let second = plain.dropFirst().first
    let forms = CommandForm.all
    let form =
      forms.first { $0.words.count == 2 && $0.words[0] == first && $0.words[1] == second }
      ?? forms.first { $0.words == [first] }
    guard let form else { throw unknownCommand(first, second) }
    return form
  }

  private static func command(_ form: CommandForm, _ arguments: [String], _ values: [String: String])
    throws(ControlError) -> Command
  {
    for (index, argument) in arguments.enumerated() where argument.isEmpty {
      throw usage("\(form.arguments[min(index, form.arguments.count - 1)]) is empty", form)
    }
    if form.words[0] == "holder" { return .holder(try holderCommand(form, arguments, values)) }
    if form.words[0] == "beam" { return .beam(try beamCommand(form, values)) }
    switch form.title {
    case "status": return .status
    case "devices": return .devices
    case "run start":
      return .runStart(
        file: arguments[0], name: values["--name"], compression: values["--compress"],
        follows: values["--follow"] != nil)
    case "run stop": return .runStop
    case "run pause": return .runPause
    case "run resume": return .runResume
    case "estop": return .emergencyStop
    case "note": return .note(arguments.joined(separator: " "))
    case "runs": return .runsList
    case "runs show": return .runsShow(arguments[0])
    case "runs verify": return .runsVerify(arguments[0])
    case "frames keep": return .framesKeep(last: values["--last"] ?? "", camera: values["--camera"])
    case "frames left": return .framesLeft
    case "frames recover": return .framesRecover
    case "frames discard": return .framesDiscard
    case "protocol check": return .protocolCheck(arguments[0])
    case "export":
      let name = values["--format"] ?? ""
      guard let format = ExportFormat(rawValue: name) else {
        let known = ExportFormat.allCases.map(\.rawValue).joined(separator: ", ")
        throw usage("there is no format “\(name)”", form, "Formats: \(known).")
      }
      return .export(id: arguments[0], format: format, output: values["--output"] ?? "")
    case "plot": return .plot(id: arguments[0], output: values["--output"] ?? "")
    case "watch": return .watch
    default: return try subscription(form, arguments[0], values["--count"])
    }
  }

  private static func subscription(_ form: CommandForm, _ topic: String, _ count: String?) throws(ControlError)
    -> Command
  {
    guard topic == "all" || Topic(parsing: topic) != nil else {
      let known = Topic.allCases.map { String($0.rawValue.dropLast()) } + ["all"]
      throw usage(
        "there is no topic “\(topic)”" + didYouMean(topic, among: known), form,
        "Topics: \(known.joined(separator: ", ")).")
    }
    guard let count else { return .subscribe(topic: topic, count: nil) }
    guard let number = Int(count), number > 0 else { throw usage("“--count” needs a whole number from 1", form) }
    return .subscribe(topic: topic, count: number)
  }

  private static func base(_ command: Command, _ values: [String: String], _ environment: [String: String])
    -> Invocation
  {
    let named = environment[ControlEndpoint.environmentVariable].flatMap { $0.isEmpty ? nil : $0 }
    return Invocation(
      command: command, endpoint: values["--endpoint"] ?? named ?? ControlEndpoint.control,
      json: values["--json"] != nil, quiet: values["--quiet"] != nil, data: values["--data"])
  }
}
