import ControlProtocol

/// What `insituctl holder …` asks for.
enum HolderCommand: Equatable, Sendable {
  case status
  case route(String)
  case open
  case insert(Bool)
  /// Steps as written; the daemon checks them.
  case approach(axis: String?, steps: String?)
  case retract(axis: String?, steps: String?)
  case stop
  case heat(String)
  case leakage(String?)
  case blank(Bool)
  /// A voltage as written.
  case gate(String)
  /// `saw`, `cycl`, or the path of a table.
  case waveform(String)
  case safe
}

extension CommandForm {
  private static let axis = OptionForm(
    name: "--axis", value: "x|y|z", summary: "the piezo's axis (else the configured one)")

  static let holder: [CommandForm] = [
    CommandForm(words: ["holder", "status"], summary: "the holder: state, contacts, abilities, readings, probe"),
    CommandForm(
      words: ["holder", "route"], arguments: ["CHANNELS"], summary: "close these channels, break before make",
      explanation: """
        CHANNELS is a list such as "(@1!1,2!2)": LINE!TAP, quoted for the shell. Taps: 0 ground, 1 working, 2 counter,
        3 sense, 4 bias source, 5 meter, 6 to 9 heater. Refused during a run.
        """),
    CommandForm(words: ["holder", "open"], summary: "open every contact; refused during a run"),
    CommandForm(
      words: ["holder", "insert"], arguments: ["on|off"],
      summary: "ground all contacts for the way into the microscope; refused during a run"),
    CommandForm(
      words: ["holder", "approach"],
      options: [
        axis, OptionForm(name: "--max-steps", value: "N", summary: "coarse steps at most (else the configured number)"),
      ],
      summary: "bring the probe to the sample until a current flows",
      explanation:
        "Shows progress. Ctrl-C stops the probe and ends with 130. Exit code 0 at contact, 4 without, 5 stopped."),
    CommandForm(
      words: ["holder", "retract"],
      options: [axis, OptionForm(name: "--steps", value: "N", summary: "coarse steps after the fine motion (else 1)")],
      summary: "take the probe back", explanation: "Ctrl-C stops the probe."),
    CommandForm(words: ["holder", "stop"], summary: "stop the probe where it is"),
    CommandForm(
      words: ["holder", "heat"], arguments: ["TEMPERATURE|off"], takesRest: true, summary: "heat the chip, or end it",
      explanation: "TEMPERATURE has a unit: 350 C (degrees Celsius) or 623 K. Allowed during a run."),
    CommandForm(
      words: ["holder", "leakage"], arguments: ["BIAS"], takesRest: true, isLastOptional: true,
      summary: "measure the holder's leakage with its contacts open", explanation: "BIAS is 1 V if not given."),
    CommandForm(
      words: ["holder", "blank"], arguments: ["on|off"], summary: "blank the beam, or end it; allowed during a run"),
    CommandForm(
      words: ["holder", "gate"], arguments: ["VOLTAGE"], takesRest: true,
      summary: "put the gate to a voltage, at 1 V/s; only during a run",
      explanation:
        "VOLTAGE has a unit and lies within 10 V: 1.5 V. Until then, and again after the run, the gate is at 0 V or open."
    ),
    CommandForm(
      words: ["holder", "waveform"], arguments: ["saw|cycl|FILE"],
      summary: "how the probe's coarse drive moves within a step",
      explanation: """
        FILE has the 256 points of one period, whole numbers from 0 to 255 (255 is the amplitude), parted by blanks, line ends or
        commas. It is compared after it was sent, and kept until the holder is switched off. Refused during a run.
        """),
    CommandForm(
      words: ["holder", "safe"], summary: "the safe state, as estop: output open, then contacts open"),
  ]
}

extension CommandParser {
  static func holderCommand(_ form: CommandForm, _ arguments: [String], _ values: [String: String])
    throws(ControlError) -> HolderCommand
  {
    let rest = arguments.joined(separator: " ")
    switch form.words[1] {
    case "status": return .status
    case "route": return .route(arguments[0])
    case "open": return .open
    case "insert": return .insert(try onOff(form, arguments[0]))
    case "approach": return .approach(axis: values["--axis"], steps: try steps(form, values["--max-steps"]))
    case "retract": return .retract(axis: values["--axis"], steps: try steps(form, values["--steps"]))
    case "stop": return .stop
    case "heat": return .heat(rest)
    case "leakage": return .leakage(rest.isEmpty ? nil : rest)
    case "blank": return .blank(try onOff(form, arguments[0]))
    case "gate": return .gate(rest)
    case "waveform": return .waveform(arguments[0])
    default: return .safe
    }
  }

  private static func onOff(_ form: CommandForm, _ word: String) throws(ControlError) -> Bool {
    switch word {
    case "on": return true
    case "off": return false
    default: throw usage("“\(form.title)” is on or off, not “\(word)”", form)
    }
  }

  private static func steps(_ form: CommandForm, _ text: String?) throws(ControlError) -> String? {
    guard let text else { return nil }
    guard let number = Int(text), 0...30_000 ~= number else {
      throw usage("“\(text)” is no number of steps; 0 to 30000 is possible", form)
    }
    return text
  }
}
