import JSON

/// Runs as a person reads them: the list, and one run's summary.
enum RunText {
  static func list(_ result: JSONValue) -> [String] {
    let runs = result["runs"]?.array ?? []
    guard !runs.isEmpty else { return ["No runs yet."] }
    var table = TextTable(rightAligned: [3, 4, 5])
    table.rows.append(["ID", "OUTCOME", "STARTED", "SAMPLES", "FRAMES", "SIZE", "NAME"])
    for run in runs {
      table.rows.append([
        run["id"]?.string ?? "?", run["outcome"]?.string ?? "?", Wording.localTime(run["started"]),
        Wording.count(run["samples"]), Wording.count(run["frames_written"]), Wording.bytes(run["size_bytes"]),
        run["name"]?.string ?? "",
      ])
    }
    return table.lines
  }

  static func summary(_ run: JSONValue, steps showsSteps: Bool) -> [String] {
    let frames = run["frames"]
    var table = TextTable()
    table.rows.append(["run", "\(run["id"]?.string ?? "?")  \(run["name"]?.string ?? "")"])
    table.rows.append(["outcome", outcome(run)])
    table.rows.append(["time", "\(Wording.localTime(run["started"])) to \(Wording.localTime(run["ended"]))"])
    table.rows.append(
      [
        "frames",
        "triggered \(Wording.count(frames?["triggered"])), received \(Wording.count(frames?["received"])), "
          + "written \(Wording.count(frames?["written"]))\(Wording.chosen(frames))",
      ])
    var lost = "at source \(Wording.count(frames?["lost_at_source"]))"
    if let causes = Wording.causes(frames?["dropped"]) { lost += ", \(causes)" }
    table.rows.append(["lost", lost])
    let isOpen = run["outcome"]?.string == "running"
    table.rows.append(["ledger", isOpen ? "open, the run goes on" : ledger(run["ledger"])])
    table.rows.append(["samples", Wording.count(run["samples"])])
    table.rows.append(["charge", Wording.coulombs(run["charge_C"])])
    let uncertainty = run["alignment"]?["uncertainty_s"]
    table.rows.append(
      [
        "alignment",
        uncertainty.map { $0.isNull ? "none" : "\(Wording.seconds($0)) standard uncertainty" } ?? "none",
      ])
    if let directory = run["directory"]?.string { table.rows.append(["directory", directory]) }
    for (index, line) in files(run).enumerated() { table.rows.append([index == 0 ? "files" : "", line]) }
    return table.lines + (showsSteps ? Self.steps(run) : [])
  }

  private static func outcome(_ run: JSONValue) -> String {
    let outcome = run["outcome"]?.string ?? "?"
    guard let reason = run["reason"]?.string, !reason.isEmpty else { return outcome }
    return "\(outcome): \(reason)"
  }

  private static func ledger(_ ledger: JSONValue?) -> String {
    switch ledger?["balanced"]?.bool {
    case true: "balanced"
    case false: "does not balance" + (ledger?["reason"]?.string.map { ": \($0)" } ?? "")
    default: Wording.nothing
    }
  }

  /// Name and size of each file; of many, the first and how many more.
  private static func files(_ run: JSONValue) -> [String] {
    let files = run["files"]?.array ?? []
    let directory = (run["directory"]?.string ?? "") + "/"
    let lines = files.prefix(mostFiles).map { file in
      let path = file["path"]?.string ?? file.text
      return
        "\(path.hasPrefix(directory) ? String(path.dropFirst(directory.count)) : path)  \(Wording.bytes(file["bytes"]))"
    }
    return files.count > mostFiles ? lines + ["and \(files.count - mostFiles) more"] : lines
  }

  private static let mostFiles = 12

  private static func steps(_ run: JSONValue) -> [String] {
    let steps = run["steps"]?.array ?? []
    guard !steps.isEmpty else { return [] }
    var table = TextTable(rightAligned: [0, 1, 2])
    table.rows.append(["STEP", "CYCLE", "CHARGE", "ENDED BY", "SENTENCE"])
    for (index, step) in steps.enumerated() {
      table.rows.append([
        "\((step["index"]?.integer ?? Int64(index)) + 1)", Wording.count(step["cycle"]),
        Wording.coulombs(step["charge_C"]), step["ended_by"]?.string ?? Wording.nothing,
        step["sentence"]?.string ?? "",
      ])
    }
    return [""] + table.lines
  }
}
