internal import Quantities
internal import RunStore

extension PlotSVG {
  static func title(_ svg: inout SVGDocument, _ data: PlotData, _ layout: Layout) {
    let run = data.run
    let outcome = run.outcome.isEmpty ? "unknown" : run.outcome
    let badge = SVGDocument.width(of: outcome, size: 12.5) + 22
    let name = SVGDocument.shortened(
      run.name.isEmpty ? "(no name)" : run.name, to: layout.right - layout.left - badge - 30, size: 21 * 1.15)
    svg.text(layout.left, 40, name, size: 21, bold: true)
    let colors = [
      "complete": "#00704F", "tripped": "#A84300", "failed": "#A3123A", "interrupted": "#7A3E9D", "stopped": "#4A5568",
      "running": "#005A8C",
    ]
    svg.rectangle(layout.right - badge, 23, badge, 24, fill: colors[outcome] ?? "#4A5568", radius: 12)
    svg.text(layout.right - badge / 2, 39.5, outcome, size: 12.5, fill: "#FFFFFF", anchor: .middle, bold: true)
    var facts = [run.id]
    if let sample = run.sampleID, !sample.isEmpty { facts.append("sample " + sample) }
    // "2026-03-01T12:34:56.789Z" for people: without the letters and the milliseconds.
    let start = UTCTime.text(unixNanoseconds: run.startedUnix)
    facts.append("\(start.prefix(10)) \(start.dropFirst(11).prefix(8)) UTC")
    facts.append(Seconds(data.duration).description)
    facts.append("charge moved " + typographic(Coulombs(run.charge).description))
    let line = facts.joined(separator: "  ·  ")
    svg.text(
      layout.left, 63, SVGDocument.shortened(line, to: layout.right - layout.left, size: 12.5), size: 12.5,
      fill: PlotColor.quiet)
    if let reason = run.reason, !reason.isEmpty {
      svg.text(
        layout.left, 81, SVGDocument.shortened(reason, to: layout.right - layout.left, size: 12.5), size: 12.5,
        fill: colors[outcome] ?? PlotColor.text)
    }
  }

  /// Every other step has a tint behind all panels.
  static func bands(_ svg: inout SVGDocument, _ data: PlotData, _ layout: Layout, _ x: (Double) -> Double) {
    for (index, step) in data.steps.enumerated() where index % 2 == 0 {
      let width = x(step.end) - x(step.start)
      if width >= 0.5 {
        svg.rectangle(x(step.start), layout.top, width, layout.bottom - layout.top, fill: PlotColor.band)
      }
    }
  }

  /// Lines where steps begin, with their texts above the panels, and flags where the operator noted something.
  static func boundaries(
    _ svg: inout SVGDocument, _ data: PlotData, _ steps: [Label], _ notes: [Label], _ layout: Layout,
    _ x: (Double) -> Double
  ) {
    // Hundreds of steps: their lines would be a wall; the tints and the texts of some are enough.
    let isCrowded = Double(data.steps.count) * 8 > layout.right - layout.left
    let texts = Set(steps.map(\.index))
    for (index, step) in data.steps.enumerated() where !isCrowded || texts.contains(index) {
      svg.line(x(step.start), layout.top, x(step.start), layout.bottom, stroke: PlotColor.boundary)
    }
    if steps.isEmpty && !data.steps.isEmpty {
      svg.text(layout.left, layout.steps + 14, "\(data.steps.count) steps", size: labelSize, fill: PlotColor.quiet)
    }
    for label in steps {
      let y = layout.steps + Double(label.row) * Layout.row
      svg.line(label.x, y + 3, label.x, layout.top, stroke: PlotColor.boundary)
      svg.text(label.x + 5, y + 14, label.text, size: labelSize, halo: true)
    }
    for note in data.notes {
      svg.line(x(note.time), layout.top, x(note.time), layout.bottom, stroke: PlotColor.note, dash: "3 3")
    }
    for label in notes {
      let y = layout.notes + Double(label.row) * Layout.row
      let flag = "M\(SVGDocument.number(label.x)) \(SVGDocument.number(y + 4))l9 4l-9 4z"
      svg.line(label.x, y + 4, label.x, layout.top, stroke: PlotColor.note)
      svg.raw("<path d=\"\(flag)\" fill=\"\(PlotColor.note)\"/>")
      svg.text(
        label.x + 12, y + 14, String(label.text.dropFirst(2)), size: labelSize, fill: PlotColor.note,
        halo: true)
    }
  }

  /// Where frames are missing (drawn behind the traces, with their texts before them): at least wide enough to be seen; those too close to tell apart are drawn as one.
  static func gaps(
    _ svg: inout SVGDocument, _ data: PlotData, _ layout: Layout, _ x: (Double) -> Double, texts: Bool
  ) {
    var merged: [(from: Double, to: Double, frames: Int64)] = []
    for gap in data.gaps {
      let from = x(gap.from)
      let to = max(x(gap.to), from + 3)
      if let last = merged.last, from <= last.to + 2 {
        merged[merged.count - 1].to = max(last.to, to)
        merged[merged.count - 1].frames += gap.frames
      } else {
        merged.append((from, to, gap.frames))
      }
    }
    var labelled = -Double.infinity
    let bottom = layout.panels[2].bottom
    for gap in merged {
      guard texts else {
        svg.rectangle(gap.from, layout.top, gap.to - gap.from, bottom - layout.top, fill: PlotColor.gap, opacity: 0.4)
        continue
      }
      let text = gap.frames == 1 ? "1 frame lost" : "\(gap.frames) frames lost"
      let width = SVGDocument.width(of: text, size: 11)
      guard gap.from > labelled else { continue }
      let isRight = gap.to + width + 8 > layout.right
      svg.text(
        isRight ? gap.from - 4 : gap.to + 4, bottom - 7, text, size: 11, fill: "#9C3F73",
        anchor: isRight ? .end : .start,
        bold: true, halo: true)
      labelled = gap.to + width + 10
    }
  }

  static func footer(_ svg: inout SVGDocument, _ data: PlotData, _ layout: Layout) {
    let y = layout.height - 12
    let band = data.voltage.usesBins ? " Line: mean; band: smallest to greatest reading." : ""
    svg.text(
      layout.left, y, "Positive current charges the working electrode (anodic)." + band, size: 11, fill: PlotColor.quiet
    )
    var facts = [
      "\(grouped(data.samples)) samples", "\(grouped(data.frames)) frames", "\(grouped(Int(data.lost))) lost",
    ]
    if let uncertainty = data.timeUncertainty {
      facts.append("frame to sample ±\(typographic(Seconds(uncertainty).formatted(digits: 2))) (standard uncertainty)")
    }
    svg.text(layout.right, y, facts.joined(separator: "  ·  "), size: 11, fill: PlotColor.quiet, anchor: .end)
  }

  /// 13,034
  private static func grouped(_ number: Int) -> String {
    var digits = String(number)
    var groups: [Substring] = []
    while digits.count > 3 {
      groups.insert(digits.suffix(3), at: 0)
      digits = String(digits.dropLast(3))
    }
    return ([Substring(digits)] + groups).joined(separator: ",")
  }
}
