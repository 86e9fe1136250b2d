import Linux
import RunExport
import RunStore
import SQLite
import Testing

@Suite("Export of a run")
struct ExportTests {
  private func table(_ path: String) throws -> (header: [String], rows: [[String]]) {
    let text = String(decoding: try FileSystem.read(path, limit: 64 << 20), as: UTF8.self)
    let lines = text.split(separator: "\n").map {
      $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }
    return (lines.first ?? [], Array(lines.dropFirst()))
  }

  @Test("CSV is two tables: every sample, and every frame with its values and uncertainties")
  func csv() throws {
    var options = RunFixture.Options()
    options.lost = [5]
    let run = try RunFixture(options)
    defer { run.remove() }
    let database = try run.open()
    _ = try RunAlignment.align(database: database)
    let paths = try ExportFormat.csv.write(run: run.directory, to: run.directory + "/table.csv")
    #expect(paths == [run.directory + "/table.csv", run.directory + "/table.frames.csv"])
    let samples = try table(paths[0])
    #expect(samples.rows.count == 6500)
    #expect(samples.rows.allSatisfy { $0.count == samples.header.count })
    let row = samples.rows[2000]
    func column(_ name: String) throws -> Int { try #require(samples.header.firstIndex(of: name)) }
    // Sample 2001 was taken at 20.005 s of the run, as its two clocks say.
    #expect(abs(try #require(Double(row[try column("time_s")])) - 20.005) < 200e-6)
    #expect(abs(try #require(Double(row[try column("current_A")])) - 2e-12) < 0.3e-12)
    #expect(row[try column("label")] == "charge")
    #expect(row[try column("current_sign")] == "positive_charges")
    #expect(samples.rows[0][try column("flags")] == "output-off")

    let frames = try table(paths[1])
    #expect(frames.rows.count == 3164)
    #expect(frames.rows.allSatisfy { $0.count == frames.header.count })
    // Empty only for the few frames that were exposed while the bias changed.
    for name in ["voltage_mean_V", "current_uncertainty_A", "charge_C", "charge_uncertainty_C"] {
      let index = try #require(frames.header.firstIndex(of: name))
      #expect(frames.rows.allSatisfy { Double($0[index]) != nil || $0[index].isEmpty }, "\(name)")
      #expect(frames.rows.count { $0[index].isEmpty } <= 8, "\(name)")
    }
    let time = try #require(frames.header.firstIndex(of: "time_uncertainty_s"))
    #expect(frames.rows.allSatisfy { Double($0[time]) != nil })
    let dose = try #require(frames.header.firstIndex(of: "dose_e_per_A2"))
    #expect(frames.rows.allSatisfy { $0[dose].isEmpty })
  }

  @Test("BDF has its columns by their machine names, and time that never runs back")
  func bdf() throws {
    let run = try RunFixture()
    defer { run.remove() }
    let database = try run.open()
    try database.execute(
      "UPDATE sample SET current_A = 2e-12 WHERE id = 1; UPDATE sample SET current_A = NULL WHERE id = 2")
    let paths = try ExportFormat.bdf.write(run: run.directory, to: run.directory)
    #expect(paths == [run.directory + "/2-pA-formation.bdf.csv"])
    let made = try table(paths[0])
    #expect(
      made.header == [
        "test_time_second", "voltage_volt", "current_ampere", "unix_time_second", "cycle_count", "step_count",
      ])
    // A sample without a current is no row of the format.
    #expect(made.rows.count == 6499)
    #expect(made.rows[0][0] == "0.000000000")
    #expect(made.rows[0][2] == "2.000000e-12")
    let times = made.rows.compactMap { Double($0[0]) }
    #expect(times.count == made.rows.count && zip(times, times.dropFirst()).allSatisfy { $0 <= $1 })
    #expect(abs(try #require(Double(made.rows[100][3])) - 1_795_300_001.1) < 0.2)
    #expect(made.rows.allSatisfy { $0.allSatisfy { Double($0) != nil } })
  }

  @Test(
    "the name given decides the names made",
    arguments: [
      (ExportFormat.csv, "a.csv", ["a.csv", "a.frames.csv"]),
      (.csv, "b", ["b.samples.csv", "b.frames.csv"]),
      (.csv, "c.samples.csv", ["c.samples.csv", "c.frames.csv"]),
      (.csv, "", ["2-pA-formation.samples.csv", "2-pA-formation.frames.csv"]),
      (.bdf, "d.bdf.csv", ["d.bdf.csv"]), (.bdf, "e.csv", ["e.csv"]), (.bdf, "f", ["f.bdf.csv"]),
      (.bdf, "g.bdf", ["g.bdf.csv"]),
    ])
  func names(_ format: ExportFormat, _ name: String, _ expected: [String]) throws {
    var options = RunFixture.Options()
    options.series = []
    options.sampleInterval = 1
    let run = try RunFixture(options)
    defer { run.remove() }
    let paths = try format.write(run: run.directory, to: run.directory + "/" + name)
    #expect(paths == expected.map { run.directory + "/" + $0 })
    #expect(paths.allSatisfy { FileSystem.exists($0) && !FileSystem.exists($0 + ".part") })
  }

  @Test("what cannot be read or written is named, and nothing half-made is left")
  func errors() throws {
    let run = try RunFixture()
    defer { run.remove() }
    #expect(throws: ExportError.notFound(directory: run.directory + "/none")) {
      try ExportFormat.csv.write(run: run.directory + "/none", to: "x.csv")
    }
    #expect(throws: ExportError.cannotWrite(path: "/nonexistent/x.csv", reason: "No such file or directory")) {
      try ExportFormat.csv.write(run: run.directory, to: "/nonexistent/x.csv")
    }
    #expect(throws: ExportError.cannotWrite(path: "/dev/null/x.bdf.csv", reason: "Not a directory")) {
      try ExportFormat.bdf.write(run: run.directory, to: "/dev/null/x")
    }
    let database = try run.open()
    try database.execute("DROP VIEW bdf")
    do {
      _ = try ExportFormat.bdf.write(run: run.directory, to: run.directory + "/x")
      Issue.record("a run without the view was exported")
    } catch {
      guard case .damaged = error else { throw error }
    }
    #expect(!FileSystem.exists(run.directory + "/x.bdf.csv.part"))
    try FileSystem.replace(run.directory + "/run.sqlite", with: Array("not a database, but as long as its header".utf8))
    for name in ["run.sqlite-wal", "run.sqlite-shm"] { FileSystem.remove(run.directory + "/" + name) }
    do {
      _ = try PlotSVG.render(run: run.directory)
      Issue.record("a damaged run was plotted")
    } catch {
      guard case .damaged(let path, let reason) = error else { throw error }
      #expect(path == run.directory + "/run.sqlite")
      #expect(reason.contains("not a database"))
    }
  }
}
