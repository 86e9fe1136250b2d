internal import Quantities

/// The plot of a run as SVG: voltage, current and recorded frame rate over one time axis, with steps, gaps and notes.
/// Traces are thinned to at most 2,000 points, so the plot of a day is as small as that of a minute.
package enum PlotSVG {
  /// Draws the run kept in `directory` and writes the file `path`.
  package static func write(run directory: String, to path: String) throws(ExportError) {
    let text = try render(run: directory)
    var file = try ExportFile(path)
    file.write(text)
    try file.finish()
  }

  /// The plot of the run kept in `directory` as text.
  package static func render(run directory: String) throws(ExportError) -> String {
    draw(try PlotData(try RunSource(directory)))
  }

  /// Where things are, px.
  struct Layout {
    var left = 84.0
    var right = 1256.0
    var width = 1280.0
    /// Bottom of the title, tops and bottoms of the strips and panels.
    var steps = 92.0
    var stepRows = 1
    var noteRows = 0
    var panels: [(top: Double, bottom: Double)] = []
    var height = 0.0

    static let row = 19.0

    init(stepRows: Int, noteRows: Int) {
      self.stepRows = stepRows
      self.noteRows = noteRows
      var y = steps + Double(stepRows + noteRows) * Self.row + 10
      for height in [210.0, 210.0, 120.0] {
        panels.append((y, y + height))
        y += height + 16
      }
      height = y + 62
    }

    var top: Double { panels[0].top }
    var bottom: Double { panels[2].bottom }
    var notes: Double { steps + Double(stepRows) * Self.row }
  }

  static func draw(_ data: PlotData) -> String {
    let time = PlotAxis.time(data.duration)
    let probe = Layout(stepRows: 1, noteRows: 0)
    func x(_ seconds: Double) -> Double {
      probe.left + min(max(time.share(seconds), 0), 1) * (probe.right - probe.left)
    }
    let stepLabels = labels(
      data.steps.map { (x($0.start), stepText($0)) }, limit: probe.right, rows: 3, size: labelSize)
    let noteLabels = labels(
      data.notes.map { (x($0.time), "⚑ " + $0.text) }, limit: probe.right, rows: 2, size: labelSize)
    let layout = Layout(
      stepRows: (stepLabels.map(\.row).max() ?? 0) + 1, noteRows: (noteLabels.map(\.row).max() ?? -1) + 1)

    var svg = SVGDocument(width: layout.width, height: layout.height)
    svg.rectangle(0, 0, layout.width, layout.height, fill: "#FFFFFF")
    title(&svg, data, layout)
    bands(&svg, data, layout, x)
    let rates = data.rate.rates
    let some = rates.filter { $0 > 0 }
    // Rates that hold for a moment only, as when frames are lost, need not set the axis.
    let least = some.isEmpty ? 0 : some.sorted()[some.count / 50]
    let voltage = PlotAxis.linear(data.voltage.extremes, unit: "V", ticks: 6)
    let current = PlotAxis.linear(
      data.current.spanWithoutSpikes ?? data.current.extremes, unit: "A", ticks: 6)
    let rate = PlotAxis.rate(least: least, most: rates.max() ?? 0)
    let panels = [
      Panel(name: "Voltage", color: PlotColor.voltage, axis: voltage, clip: "v", edges: layout.panels[0]),
      Panel(name: "Current", color: PlotColor.current, axis: current, clip: "i", edges: layout.panels[1]),
      Panel(name: "Frame rate", color: PlotColor.rate, axis: rate, clip: "r", edges: layout.panels[2]),
    ]
    for panel in panels { grid(&svg, panel, time, layout, x) }
    gaps(&svg, data, layout, x, texts: false)
    boundaries(&svg, data, stepLabels, noteLabels, layout, x)
    trace(&svg, data.voltage, panels[0], layout, x)
    trace(&svg, data.current, panels[1], layout, x)
    rateTrace(&svg, data.rate, rates, panels[2], layout, x)
    gaps(&svg, data, layout, x, texts: true)
    if data.frames == 0 { empty(&svg, panels[2], layout, "no frames recorded") }
    if data.voltage.extremes == nil { empty(&svg, panels[0], layout, "no samples recorded") }
    if data.current.extremes == nil { empty(&svg, panels[1], layout, "no samples recorded") }
    timeAxis(&svg, time, layout, x)
    footer(&svg, data, layout)
    return svg.source
  }

  static let labelSize = 11.5
  /// A text cut to fewer letters says nothing.
  private static let leastLetters = 12

  struct Panel {
    var name: String
    var color: String
    var axis: PlotAxis
    var clip: String
    var edges: (top: Double, bottom: Double)

    func y(_ value: Double) -> Double { edges.bottom - axis.share(value) * (edges.bottom - edges.top) }
  }

  private static func stepText(_ step: PlotData.Step) -> String {
    guard let label = step.label, !label.isEmpty else { return step.sentence }
    return label + ": " + step.sentence
  }

  struct Label {
    var index: Int
    var x: Double
    var row: Int
    var text: String
  }

  /// Puts texts that begin at given places into rows so that none overlaps another; shortens them where they must be,
  /// and leaves those out that have no room.
  static func labels(_ wanted: [(Double, String)], limit: Double, rows: Int, size: Double) -> [Label] {
    var result: [Label] = []
    // The next labels of the same row are not known yet: a label may reach to the `rows`-th mark after its own.
    var ends = Array(repeating: -Double.infinity, count: rows)
    for (index, (x, text)) in wanted.enumerated() {
      guard let row = ends.firstIndex(where: { $0 <= x }) else { continue }
      let free = rows - ends.filter { $0 > x }.count
      let next = index + free < wanted.count ? wanted[index + free].0 : limit
      let room = max(min(next, limit) - x - 14, min(70, limit - x - 14))
      let short = SVGDocument.shortened(text, to: min(room, 330), size: size)
      guard short == text || short.count >= leastLetters else { continue }
      ends[row] = x + SVGDocument.width(of: short, size: size) + 14
      result.append(Label(index: index, x: x, row: row, text: short))
    }
    return result
  }
}
