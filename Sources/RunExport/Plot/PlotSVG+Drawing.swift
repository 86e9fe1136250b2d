internal import Quantities

extension PlotSVG {
  static func grid(
    _ svg: inout SVGDocument, _ panel: Panel, _ time: PlotAxis, _ layout: Layout, _ x: (Double) -> Double
  ) {
    svg.clip(panel.clip, layout.left, panel.edges.top, layout.right - layout.left, panel.edges.bottom - panel.edges.top)
    for tick in time.ticks {
      svg.line(x(tick.value), panel.edges.top, x(tick.value), panel.edges.bottom, stroke: PlotColor.grid)
    }
    for value in panel.axis.minorTicks {
      svg.line(layout.left - 3, panel.y(value), layout.left, panel.y(value), stroke: PlotColor.frame)
    }
    for tick in panel.axis.ticks {
      let y = panel.y(tick.value)
      svg.line(layout.left, y, layout.right, y, stroke: tick.value == 0 ? PlotColor.boundary : PlotColor.grid)
      svg.line(layout.left - 5, y, layout.left, y, stroke: PlotColor.frame)
      svg.text(layout.left - 9, y + 4, tick.label, size: 12, fill: PlotColor.quiet, anchor: .end)
    }
    svg.line(layout.left, panel.edges.top, layout.left, panel.edges.bottom, stroke: PlotColor.frame)
    svg.line(layout.left, panel.edges.bottom, layout.right, panel.edges.bottom, stroke: PlotColor.frame)
    let middle = (panel.edges.top + panel.edges.bottom) / 2
    svg.text(
      24, middle, "\(panel.name) (\(panel.axis.unit))", size: 13, fill: panel.color, anchor: .middle, bold: true,
      turned: true)
  }

  static func trace(
    _ svg: inout SVGDocument, _ trace: Trace, _ panel: Panel, _ layout: Layout, _ x: (Double) -> Double
  ) {
    if trace.usesBins {
      for stretch in trace.stretches {
        let filled = stretch.filter { trace.bins[$0].count > 0 }
        let upper = filled.map { (x(trace.time($0)), panel.y(trace.bins[$0].maximum)) }
        let lower = filled.reversed().map { (x(trace.time($0)), panel.y(trace.bins[$0].minimum)) }
        svg.polygon(upper + lower, fill: panel.color, opacity: 0.25, clip: panel.clip)
        svg.polyline(
          filled.map { (x(trace.time($0)), panel.y(trace.bins[$0].mean)) }, stroke: panel.color, width: 1.6,
          clip: panel.clip)
      }
    } else {
      for line in trace.lines {
        svg.polyline(line.map { (x($0.time), panel.y($0.value)) }, stroke: panel.color, width: 1.6, clip: panel.clip)
      }
    }
    guard let extremes = trace.extremes else { return }
    var cut: [String] = []
    if extremes.upperBound > panel.axis.range.upperBound {
      cut.append("up to " + typographic(Amperes(extremes.upperBound).description))
    }
    if extremes.lowerBound < panel.axis.range.lowerBound {
      cut.append("down to " + typographic(Amperes(extremes.lowerBound).description))
    }
    guard !cut.isEmpty else { return }
    svg.text(
      layout.right - 8, panel.edges.top + 15, "spikes " + cut.joined(separator: " and ") + " not shown", size: 11,
      fill: panel.color, anchor: .end, halo: true)
  }

  /// A true minus sign and a true micro sign.
  static func typographic(_ text: String) -> String {
    let signed = text.hasPrefix("-") ? "−" + text.dropFirst() : text
    guard let unit = signed.lastIndex(of: " "), signed[signed.index(after: unit)...].hasPrefix("u") else {
      return signed
    }
    return signed[...unit] + "µ" + signed[unit...].dropFirst(2)
  }

  /// The rate as steps with a light area below; zero is the lower edge.
  static func rateTrace(
    _ svg: inout SVGDocument, _ trace: RateTrace, _ rates: [Double], _ panel: Panel, _ layout: Layout,
    _ x: (Double) -> Double
  ) {
    func y(_ rate: Double) -> Double {
      rate <= 0 ? panel.edges.bottom : max(panel.edges.top, min(panel.edges.bottom, panel.y(rate)))
    }
    let width = trace.duration / Double(RateTrace.binCount)
    var from = 0
    while from < rates.count {
      guard rates[from] > 0 else {
        from += 1
        continue
      }
      var to = from
      while to < rates.count, rates[to] > 0 { to += 1 }
      var points: [(Double, Double)] = [(x(Double(from) * width), panel.edges.bottom)]
      var bin = from
      while bin < to {
        var end = bin + 1
        while end < to, isLevel(rates[end], rates[bin]) { end += 1 }
        let level = rates[bin..<end].reduce(0, +) / Double(end - bin)
        points.append((x(Double(bin) * width), y(level)))
        points.append((x(Double(end) * width), y(level)))
        bin = end
      }
      points.append((x(Double(to) * width), panel.edges.bottom))
      svg.polygon(points, fill: panel.color, opacity: 0.18, clip: panel.clip)
      svg.polyline(points, stroke: panel.color, width: 1.4, clip: panel.clip)
      from = to
    }
    var occupied = -Double.infinity
    for burst in trace.bursts {
      let text = "\(PlotAxis.plain(burst.rate)) fps"
      let half = SVGDocument.width(of: text, size: 11) / 2
      let middle = min(max((x(burst.from) + x(burst.to)) / 2, layout.left + half + 2), layout.right - half)
      guard middle - half > occupied else { continue }
      occupied = middle + half + 6
      svg.text(
        middle, max(y(burst.rate) - 6, panel.edges.top + 9), text, size: 11, fill: PlotColor.rate, anchor: .middle,
        bold: true, halo: true)
    }
  }

  private static func isLevel(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= 0.03 * b }

  static func empty(_ svg: inout SVGDocument, _ panel: Panel, _ layout: Layout, _ text: String) {
    svg.text(
      (layout.left + layout.right) / 2, (panel.edges.top + panel.edges.bottom) / 2 + 4, text, size: 13,
      fill: PlotColor.quiet, anchor: .middle)
  }

  static func timeAxis(_ svg: inout SVGDocument, _ time: PlotAxis, _ layout: Layout, _ x: (Double) -> Double) {
    for tick in time.ticks {
      svg.line(x(tick.value), layout.bottom, x(tick.value), layout.bottom + 5, stroke: PlotColor.frame)
      svg.text(x(tick.value), layout.bottom + 19, tick.label, size: 12, fill: PlotColor.quiet, anchor: .middle)
    }
    svg.text(
      (layout.left + layout.right) / 2, layout.bottom + 38, "Time since the run’s start (\(time.unit))", size: 13,
      fill: PlotColor.text, anchor: .middle)
  }
}
