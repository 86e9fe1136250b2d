import JSON

/// The result of `status` as a person reads it.
enum StatusText {
  static func lines(_ status: JSONValue) -> [String] {
    var table = TextTable()
    if let run = status["run"], !run.isNull {
      table.rows.append(["run", "\(run["id"]?.string ?? "?")  \(run["name"]?.string ?? "")  \(state(status))"])
      table.rows.append(["step", step(run)])
      if let waiting = Wording.waiting(status) { table.rows.append(["", waiting]) }
      table.rows.append(
        [
          "",
          "\(Wording.ticking(run["step_elapsed_s"])) of at most \(Wording.seconds(run["step_bound_s"])); "
            + "run \(Wording.ticking(run["elapsed_s"])) of about \(Wording.seconds(run["planned_s"]))",
        ])
    } else {
      table.rows.append(["run", "none (\(state(status)))"])
    }
    table.rows.append(["cell", cell(status)])
    table.rows.append(["frames", frames(status)])
    if let limitation = status["holder"]?["limitation"]?.string { table.rows.append(["contacts", limitation]) }
    if let beam = status["beam"], !beam.isNull { table.rows.append(["beam", BeamText.line(beam)]) }
    for camera in status["cameras"]?.array ?? [] {
      let ring = camera["ring"]
      table.rows.append([
        "ring",
        "\(camera["name"]?.string ?? "?"): \(Wording.rate(camera["frames_per_second"])) per second, "
          + "\(Wording.count(ring?["filled"])) of \(Wording.count(ring?["slots"])) slots wait for the disk",
      ])
    }
    table.rows.append(["disk", disk(status["disk"])])
    for instrument in status["instruments"]?.array ?? [] {
      table.rows.append([instrument["kind"]?.string ?? "?", Self.instrument(instrument)])
    }
    table.rows.append(
      ["daemon", "\(status["software"]?.string ?? "?"), up \(Wording.seconds(status["uptime_s"]))"])
    return table.lines
  }

  /// "step 3 of 14, cycle 1: Charge at 2 pA for 1 h"
  private static func step(_ run: JSONValue) -> String {
    guard let index = run["step_index"]?.integer else { return Wording.nothing }
    let cycle = run["cycle"]?.integer.map { $0 > 0 ? ", cycle \($0)" : "" } ?? ""
    return "\(index + 1) of \(Wording.count(run["step_count"]))\(cycle): \(run["sentence"]?.string ?? "")"
  }

  private static func cell(_ status: JSONValue) -> String {
    var text = "\(Wording.volts(status["voltage_V"])), \(Wording.amperes(status["current_A"]))"
    if let charge = status["run"]?["charge_C"]?.double { text += ", charge \(Wording.coulombs(.number(charge)))" }
    if let holder = status["holder"]?["state"]?.string { text += "; holder \(holder)" }
    return text
  }

  private static func frames(_ status: JSONValue) -> String {
    var text = "\(Wording.rate(status["frames_per_second"])) per second"
    if let frames = status["run"]?["frames"], !frames.isNull {
      text += "; triggered \(Wording.count(frames["triggered"])), received \(Wording.count(frames["received"]))"
      text += ", written \(Wording.count(frames["written"]))\(Wording.chosen(frames))"
      if let causes = Wording.causes(frames["dropped"]) { text += "; dropped: \(causes)" }
    }
    return text + "; lost \(Wording.count(status["lost_frames"]))"
  }

  private static func disk(_ disk: JSONValue?) -> String {
    let free = "\(Wording.bytes(disk?["free_bytes"])) free"
    guard let left = disk?["seconds_left"], !left.isNull else { return free }
    return free + ", \(Wording.seconds(left)) at the present rate"
  }

  private static func instrument(_ instrument: JSONValue) -> String {
    let model = instrument["model"]?.string ?? "?"
    if let error = instrument["error"]?.string { return "\(model): \(error)" }
    let connected = instrument["connected"]?.bool == true ? "connected" : "not connected"
    return [model, connected, instrument["state"]?.string].compactMap { $0 }.joined(separator: ", ")
  }

  static func state(_ status: JSONValue) -> String { status["state"]?.string ?? "?" }
}
