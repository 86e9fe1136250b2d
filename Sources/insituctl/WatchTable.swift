import JSON

/// `watch` where no terminal is: a table that grows by a line a second.
enum WatchTable {
  private static let widths = [8, 8, 7, 10, 10, 7, 9, 6]

  static let heading = line(["time", "state", "step", "voltage", "current", "fps", "ring", "lost"])

  static func row(_ status: JSONValue, time: String) -> String {
    let run = status["run"]
    let step = run?["step_index"]?.integer.map { "\($0 + 1)/\(Wording.count(run?["step_count"]))" } ?? Wording.nothing
    return line([
      time, StatusText.state(status), step, Wording.volts(status["voltage_V"]), Wording.amperes(status["current_A"]),
      Wording.rate(status["frames_per_second"]),
      "\(Wording.count(status["ring"]?["filled"]))/\(Wording.count(status["ring"]?["slots"]))",
      Wording.count(status["lost_frames"]),
    ])
  }

  private static func line(_ cells: [String]) -> String {
    zip(cells, widths).map { cell, width in
      String(repeating: " ", count: max(0, width - cell.count)) + cell
    }.joined(separator: "  ")
  }
}
