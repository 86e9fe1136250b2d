import JSON

/// The progress of a run, made from a `status` result.
enum ProgressLine {
  /// One line for a terminal, at most `width` characters. What fits least goes first: frames, time in the step, half the
  /// bar.
  static func live(_ status: JSONValue, width: Int) -> String {
    let run = status["run"]
    let step = "\((run?["step_index"]?.integer ?? -1) + 1)/\(Wording.count(run?["step_count"]))"
    let time = "\(Wording.ticking(run?["step_elapsed_s"]))/\(Wording.seconds(run?["step_bound_s"]))"
    let sentence = Wording.waiting(status) ?? run?["sentence"]?.string ?? StatusText.state(status)
    let frames = Wording.count(run?["frames"]?["written"]) + " frames"
    let cell = [Wording.volts(status["voltage_V"]), Wording.amperes(status["current_A"])]
    let rates = [Wording.rate(status["frames_per_second"]) + " fps", Wording.count(status["lost_frames"]) + " lost"]
    let choices = [
      (16, [time] + cell + [rates[0], frames, rates[1]]), (16, [time] + cell + rates), (16, cell + rates),
      (8, cell + rates), (8, cell),
    ]
    for (cells, items) in choices {
      let head = "\(bar(run, cells: cells)) \(step) "
      let tail = "  " + items.joined(separator: "  ")
      let room = width - head.count - tail.count
      if room >= min(sentence.count, leastSentence) { return head + shortened(sentence, room) + tail }
    }
    return String("\(step) \(cell.joined(separator: " "))".prefix(max(0, width)))
  }

  /// Characters of a step's sentence that still say what it is.
  private static let leastSentence = 14

  /// One line of plain text: what the step has come to.
  static func plain(_ status: JSONValue) -> String {
    let run = status["run"]
    if let waiting = Wording.waiting(status) { return "  " + waiting }
    return "  \(Wording.ticking(run?["step_elapsed_s"])) of at most \(Wording.seconds(run?["step_bound_s"]))  "
      + measures(status)
  }

  /// The line that tells of a new step.
  static func step(_ status: JSONValue) -> String {
    let run = status["run"]
    let cycle = run?["cycle"]?.integer.map { $0 > 0 ? ", cycle \($0)" : "" } ?? ""
    return "step \((run?["step_index"]?.integer ?? -1) + 1) of \(Wording.count(run?["step_count"]))\(cycle): "
      + "\(run?["sentence"]?.string ?? "") (\(Wording.ticking(run?["elapsed_s"])) into the run)"
  }

  /// "[######..........]  42 %"
  static func bar(_ run: JSONValue?, cells: Int) -> String {
    guard let elapsed = run?["elapsed_s"]?.double, let planned = run?["planned_s"]?.double, planned > 0, elapsed >= 0
    else { return "[" + String(repeating: ".", count: cells) + "]   ? %" }
    let share = min(1, elapsed / planned)
    let full = Int(share * Double(cells))
    let percent = "\(Int(share * 100))"
    return "[" + String(repeating: "#", count: full) + String(repeating: ".", count: cells - full) + "] "
      + String(repeating: " ", count: 3 - percent.count) + percent + " %"
  }

  private static func measures(_ status: JSONValue) -> String {
    [
      Wording.volts(status["voltage_V"]), Wording.amperes(status["current_A"]),
      Wording.rate(status["frames_per_second"]) + " fps",
      Wording.count(status["run"]?["frames"]?["written"]) + " frames", Wording.count(status["lost_frames"]) + " lost",
    ].joined(separator: "  ")
  }

  private static func shortened(_ text: String, _ room: Int) -> String {
    text.count <= room ? text : String(text.prefix(room - 1)) + "…"
  }
}
