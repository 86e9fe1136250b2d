import Glibc
import Linux
@testable import RunExport
import RunStore
import SQLite
import Testing

@Suite("Plot of a run")
struct PlotTests {
  /// Writes the plots where a person can look at them.
  private func keep(_ svg: String, _ name: String) {
    guard let directory = getenv("INSITUD_KEEP_PLOTS") else { return }
    try? FileSystem.replace(String(cString: directory) + "/" + name + ".svg", with: Array(svg.utf8))
  }

  @Test("shows voltage, current and frame rate with their units, the steps, notes and gaps")
  func whole() throws {
    var options = RunFixture.Options()
    options.lost = [500, 501, 502]
    let run = try RunFixture(options)
    defer { run.remove() }
    _ = try RunAlignment.align(database: try run.open())
    let svg = try PlotSVG.render(run: run.directory)
    keep(svg, "run")
    for text in [
      "Voltage (V)", "Current (pA)", "Frame rate (fps)", "run’s start (s)", "2 pA formation", "complete", "400 fps",
      "charge: Charge at 2 pA", "Hold at 4.2 V", "dendrite starts", "&lt;west &amp; up&gt;", "frames lost",
      "01KAH7Z3X9P4Q8R5T6V7W8X9Y0", "2026-11-21 22:26:40 UTC", "standard uncertainty",
    ] {
      #expect(svg.contains(text), "\(text)")
    }
    #expect(svg.utf8.count < 200_000)
    #expect(svg.hasPrefix("<?xml") && svg.hasSuffix("</svg>\n"))
  }

  @Test("frames that nobody wanted are not lost, and make no other rate than that of the recorded ones")
  func thinned() {
    var every10th = RateTrace(duration: 10)
    for k in 0..<50 { every10th.append(series: 1, number: Int64(k * 10), time: Double(k) * 0.1) }
    every10th.finish()
    #expect(every10th.gaps.isEmpty)
    #expect(every10th.bursts.count == 1 && abs(every10th.bursts[0].rate - 10) < 0.01)

    let lost = [Int64(1): [RateTrace.LostRange(first: 13, last: 16, frames: 4)]]
    var some = RateTrace(duration: 10, lost: lost)
    for k in [0, 10, 20, 30] { some.append(series: 1, number: Int64(k), time: Double(k) / 100) }
    some.finish()
    #expect(some.gaps.map(\.frames) == [4] && some.gaps.map(\.from) == [0.1])

    // Of a range that lies between two pairs of frames each has its part.
    var parts = RateTrace(duration: 10, lost: [1: [RateTrace.LostRange(first: 15, last: 24, frames: 8)]])
    for k in [0, 10, 20, 30] { parts.append(series: 1, number: Int64(k), time: Double(k) / 100) }
    #expect(parts.gaps.map(\.frames) == [4, 3])
  }

  @Test("a long run with many steps stays small")
  func long() throws {
    var options = RunFixture.Options()
    options.duration = 7200
    options.sampleInterval = 0.4
    options.hasClockPairs = false
    options.outcome = "tripped"
    options.reason = "limit: current 104 pA is above 100 pA (step 311, “Charge at 2 pA for 10 s”)"
    options.name =
      "many cycles of a cell with a name that is much too long for one line of a title, and then some more to be cut"
    options.steps = (0..<360).map { (Double($0) * 20, Double($0 + 1) * 20, nil, "Charge at 2 pA for 10 s") }
    options.series = [(5, 6000, 0.5), (6500, 2, 400)]
    let run = try RunFixture(options)
    defer { run.remove() }
    let svg = try PlotSVG.render(run: run.directory)
    keep(svg, "long")
    #expect(svg.utf8.count < 250_000)
    #expect(svg.contains("start (min)"))
    #expect(svg.contains("104 pA is above"))
  }

  @Test("a run without frames, and one without samples, can be plotted")
  func empty() throws {
    var options = RunFixture.Options()
    options.series = []
    options.notes = []
    options.outcome = "failed"
    options.reason = "potentiostat unplugged"
    let run = try RunFixture(options)
    defer { run.remove() }
    let svg = try PlotSVG.render(run: run.directory)
    keep(svg, "noframes")
    #expect(svg.contains("no frames recorded"))
    let database = try run.open()
    try database.execute("DELETE FROM sample; DELETE FROM step")
    let bare = try PlotSVG.render(run: run.directory)
    keep(bare, "bare")
    #expect(bare.contains("no samples recorded"))
  }

  @Test("step texts never overlap, are cut where they must be, and short ones are never left out for long ones")
  func labels() throws {
    var chance = Chance(seed: 3)
    for count in [1, 4, 9, 20, 60, 300] {
      let places = (0..<count).map { _ in 84 + 1170 * chance.uniform() }.sorted()
      let wanted = places.map { ($0, "Charge at 2 pA for 60 s or until 4.2 V") }
      let labels = PlotSVG.labels(wanted, limit: 1256, rows: 3, size: 11.5)
      for row in 0..<3 {
        let inRow = labels.filter { $0.row == row }
        for (label, next) in zip(inRow, inRow.dropFirst()) {
          #expect(label.x + SVGDocument.width(of: label.text, size: 11.5) < next.x)
        }
      }
      #expect(labels.allSatisfy { $0.x + SVGDocument.width(of: $0.text, size: 11.5) <= 1256 })
      if count <= 4 { #expect(labels.count >= min(count, 3)) }
    }
    let few = PlotSVG.labels([(84, "Rest"), (90, "Rest"), (600, "Rest")], limit: 1256, rows: 3, size: 11.5)
    #expect(few.map(\.text) == ["Rest", "Rest", "Rest"])
    #expect(few.map(\.row) == [0, 1, 0])
  }

  @Test("the file appears whole, or an error says why it cannot")
  func file() throws {
    let run = try RunFixture()
    defer { run.remove() }
    try PlotSVG.write(run: run.directory, to: run.directory + "/plot.svg")
    #expect(FileSystem.exists(run.directory + "/plot.svg"))
    #expect(!FileSystem.exists(run.directory + "/plot.svg.part"))
    #expect(throws: ExportError.cannotWrite(path: "/nonexistent/plot.svg", reason: "No such file or directory")) {
      try PlotSVG.write(run: run.directory, to: "/nonexistent/plot.svg")
    }
    #expect(throws: ExportError.notFound(directory: "/nonexistent")) { try PlotSVG.render(run: "/nonexistent") }
  }
}
