package import JSON
import Quantities

extension Plan {
  /// Steps a table prints before it stops.
  package static let defaultRows = 400

  /// The steps as a table, the sums below it, then the warnings.
  package func table(rows: Int = Plan.defaultRows) -> String {
    let hasCycles = steps.contains { $0.cycle > 0 }
    let header =
      ["step"] + (hasCycles ? ["cycle"] : []) + ["sentence", "record", "at most", "charge", "frames", "size"]
    var cells: [[String]] = [header]
    func remark(_ text: String) -> [String] { [""] + (hasCycles ? [""] : []) + [text, "", "", "", "", ""] }
    for step in steps.prefix(rows) {
      if let time = step.keepBefore { cells.append(remark("(the last \(time.exactText) are kept)")) }
      for mark in step.marks { cells.append(remark("[\(mark)]")) }
      cells.append(
        ["\(step.index + 1)"] + (hasCycles ? ["\(step.cycle)"] : []) + [
          step.sentence, step.recording.isOff ? "" : "\(step.recording)", "\(step.duration)",
          step.charge == .zero ? "" : "\(step.charge)", step.frames.countText,
          step.frames.bytes == 0 ? "" : Self.size(step.frames.bytes),
        ])
    }
    if let keepAtEnd, steps.count <= rows { cells.append(remark("(the last \(keepAtEnd.exactText) are kept)")) }
    let left = hasCycles ? 2 : 1
    var lines = ["protocol “\(name)”", ""] + Self.aligned(cells, leftAligned: [left, left + 1])
    if steps.count > rows { lines.append("… and \(steps.count - rows) more steps") }
    lines += ["", summary]
    if cameras.count > 1 {
      lines += cameras.map {
        "camera “\($0.camera.name)”: \($0.frames.frames) frames\($0.frames.more), \(Self.size($0.frames.bytes))"
      }
    }
    lines += warnings.map { "warning: \($0)" }
    return lines.joined(separator: "\n") + "\n"
  }

  /// "13 steps, at most 58.0 s, 60.0 pC, 5800 samples, 2260 frames, 4.74 GB".
  package var summary: String {
    let charge = charge == .zero ? "" : ", \(charge)"
    return "\(steps.count) step\(steps.count == 1 ? "" : "s"), at most \(duration)\(charge), \(samples) samples,"
      + " \(frames.frames) frames\(frames.more), \(Self.size(frames.bytes))"
  }

  package var json: JSONValue {
    [
      "name": .string(name),
      "duration_s": .number(duration.value),
      "charge_C": .number(charge.value),
      "frames": .integer(Int64(frames.frames)),
      "frames_are_complete": .bool(frames.areComplete),
      "bytes": .integer(Int64(frames.bytes)),
      "cameras": .array(cameras.map(\.json)),
      "keep_at_end_s": .optional(keepAtEnd?.value),
      "samples": .integer(Int64(samples)),
      "warnings": .array(warnings.map(JSONValue.string)),
      "steps": .array(steps.map(\.json)),
    ]
  }

  /// Bytes as people read them: "4.74 GB" (10⁹).
  package static func size(_ bytes: Int) -> String {
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")]
    guard let (factor, unit) = units.first(where: { Double(bytes) >= $0.0 }) else { return "\(bytes) B" }
    let value = Double(bytes) / factor
    return "\(fixed(value, decimals: value < 10 ? 2 : value < 100 ? 1 : 0)) \(unit)"
  }

  private static func aligned(_ rows: [[String]], leftAligned: Set<Int>) -> [String] {
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      let line = row.indices.map { column -> String in
        let padding = String(repeating: " ", count: widths[column] - row[column].count)
        return leftAligned.contains(column) ? row[column] + padding : padding + row[column]
      }.joined(separator: "  ")
      return String(line.reversed().drop { $0 == " " }.reversed())
    }
  }
}

extension PlannedStep {
  var json: JSONValue {
    [
      "index": .integer(Int64(index)), "cycle": .integer(Int64(cycle)),
      "marks": .array(marks.map(JSONValue.string)), "sentence": .string(sentence), "record": recording.json,
      "duration_s": .number(duration.value), "charge_C": .number(charge.value),
      "keep_before_s": .optional(keepBefore?.value),
      "frames": frames.frames == 0 && !frames.areComplete ? .null : .integer(Int64(frames.frames)),
      "frames_are_complete": .bool(frames.areComplete), "bytes": .integer(Int64(frames.bytes)),
    ]
  }
}

extension PlannedCameraFrames {
  var json: JSONValue {
    [
      "name": .string(camera.name), "frames": .integer(Int64(frames.frames)),
      "frames_are_complete": .bool(frames.areComplete), "bytes": .integer(Int64(frames.bytes)),
    ]
  }
}

extension PlannedFrames {
  /// "800", "12+" where more may come, "?" where none is known.
  fileprivate var countText: String {
    if frames == 0 { areComplete ? "" : "?" } else { areComplete ? "\(frames)" : "\(frames)+" }
  }

  fileprivate var more: String { areComplete ? "" : " and what the camera sends" }
}
