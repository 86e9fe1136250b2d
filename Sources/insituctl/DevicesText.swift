import JSON

/// The result of `devices` as a person reads it.
enum DevicesText {
  static func lines(_ result: JSONValue) -> [String] {
    let devices = result["devices"]?.array ?? []
    guard !devices.isEmpty else { return ["No instrument is configured."] }
    return devices.enumerated().flatMap { index, device in (index > 0 ? [""] : []) + lines(ofOne: device) }
  }

  private static func lines(ofOne device: JSONValue) -> [String] {
    var table = TextTable()
    table.rows.append([device["kind"]?.string ?? "?", device["model"]?.string ?? "?"])
    table.rows.append(["  identity", device["identity"]?.string ?? Wording.nothing])
    let state = device["connected"]?.bool == true ? "connected" : "not connected"
    table.rows.append([
      "  connection", [device["connection"]?.string, state].compactMap { $0 }.joined(separator: ", "),
    ])
    if let clock = device["clock"], !clock.isNull {
      let drift = clock["drift_ppm"]?.double.map { Wording.rate(.number($0)) + " ppm" } ?? Wording.nothing
      table.rows.append(
        [
          "  clock",
          "offset \(Wording.seconds(clock["offset_s"])), drift \(drift), bound \(Wording.seconds(clock["bound_s"])) "
            + "from \(Wording.count(clock["pairs"])) pairs",
        ])
    }
    if let range = device["range_A"], !range.isNull {
      table.rows.append(
        [
          "  range",
          "\(Wording.amperes(range)), resolution \(Wording.amperes(device["resolution_A"])), accuracy "
            + (device["accuracy_gain"]?.double.map { "\(Wording.percent($0)) + " } ?? "")
            + Wording.amperes(device["accuracy_A"]),
        ])
    }
    if let lowest = device["lowest_range_A"], !lowest.isNull {
      table.rows.append(["  lowest range", Wording.amperes(lowest)])
    }
    if let problem = device["error"]?.string { table.rows.append(["  problem", problem]) }
    for error in device["errors"]?.array ?? [] { table.rows.append(["  error", error.string ?? error.text]) }
    for warning in device["warnings"]?.array ?? [] { table.rows.append(["  warning", warning.string ?? warning.text]) }
    return table.lines
  }
}
