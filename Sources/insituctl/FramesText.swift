import JSON

/// What came of looking back, as a person reads it.
enum FramesText {
  static func kept(_ result: JSONValue) -> [String] {
    let run = "\(result["run"]?.string ?? "?") “\(result["name"]?.string ?? "")”"
    let cameras = result["cameras"]?.array ?? []
    return ["Kept \(Wording.count(result["frames"])) frames in run \(run)."]
      + cameras.map { camera in
        let reach = camera["reaches_back_s"].flatMap { $0.isNull ? nil : Wording.seconds($0) }
        return "  \(camera["name"]?.string ?? "?"): \(Wording.count(camera["frames"])) frames"
          + (reach.map { ", the oldest of \($0) ago" } ?? ", the ring held none of that time")
      }
  }

  static func left(_ result: JSONValue) -> [String] {
    let rings = result["rings"]?.array ?? []
    guard !rings.isEmpty else { return ["No earlier daemon left frames in memory."] }
    return rings.map { ring in
      "\(ring["camera"]?.string ?? "?"): \(Wording.count(ring["frames"])) frames, number "
        + "\(Wording.count(ring["first_frame"])) to \(Wording.count(ring["last_frame"])), "
        + "\(Wording.seconds(ring["age_s"])) old, \(Wording.bytes(ring["bytes"])) of memory"
    } + ["To write them into a run: insituctl frames recover. To give them up: insituctl frames discard."]
  }

  static func recovered(_ result: JSONValue) -> [String] {
    var lines = [
      "Recovered \(Wording.count(result["frames"])) frames in run \(result["run"]?.string ?? "?")"
        + " “\(result["name"]?.string ?? "")”."
    ]
    if let damaged = result["damaged"]?.integer, damaged > 0 { lines.append("\(damaged) slots were not whole.") }
    return lines
  }
}
