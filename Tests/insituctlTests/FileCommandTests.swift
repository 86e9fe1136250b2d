import FakeDaemon
import ControlProtocol
import Glibc
import JSON
import Linux
import Quantities
import RunStore
import SQLite
import Testing

@testable import insituctl

@Suite("Commands that read files")
struct FileCommandTests {
  /// A data directory with one complete run of two samples, gone when the test is over.
  private final class StoredRun {
    let data: DataDirectory
    let directory: RunDirectory

    init() throws {
      data = try DataDirectory(creating: "/tmp/insitud-test-data-\(MonotonicTime.now.nanoseconds)")
      let id = ULID(unixNanoseconds: 1_700_000_000_000_000_000)
      directory = try RunDirectory.create(in: data, id: id, name: "two samples")
      let begin = HostClockReading(
        raw: MonotonicTime(nanoseconds: 1_000_000_000), monotonicNanoseconds: 1_000_000_000,
        unixNanoseconds: 1_700_000_000_000_000_000)
      let run = try RunDatabase.create(
        in: directory,
        RunRecord(
          id: id, name: "two samples", sampleID: nil, protocolText: "steps: []", protocolJSON: "{}", started: begin,
          software: "test", host: "test"))
      try run.append(
        samples: (0..<2).map { index in
          let sample = Sample(
            deviceNanoseconds: Int64(index) * 10_000_000,
            arrival: MonotonicTime(nanoseconds: 1_000_000_000 + Int64(index) * 10_000_000), voltage: Volts(3.7),
            current: Amperes(2e-12), range: Amperes(1e-8), aperture: Seconds(0.01), flags: [])
          return StoredSample(sample, step: 0, charge: Coulombs(2e-14 * Double(index)))
        })
      try run.database.run(
        "UPDATE run SET outcome = 'complete', ended_raw_ns = 2000000000, ended_unix_ns = 1700000001000000000")
      _ = try run.close()
      try Catalog(data).set(try CatalogEntry(reading: directory))
    }

    deinit {
      for (path, _) in (try? directory.files()) ?? [] { FileSystem.remove(path) }
      rmdir(directory.path)
      for name in (try? FileSystem.list(data.path)) ?? [] { FileSystem.remove("\(data.path)/\(name)") }
      rmdir(data.runsPath)
      rmdir(data.path)
    }
  }

  @Test("runs are listed, shown and checked without a daemon")
  func withoutDaemon() throws {
    let stored = try StoredRun()
    let list = run("runs", "--data", stored.data.path, "--json")
    #expect(list.document?["runs"]?.array?.count == 1)
    #expect(list.document?["runs"]?.array?[0]["samples"] == 2)
    let shown = run("runs", "show", "last", "--data", stored.data.path, "--json")
    #expect(shown.code == 0)
    #expect(shown.document?["outcome"] == "complete")
    #expect(shown.document?["directory"]?.string == stored.directory.path)
    let text = run("runs", "show", "two samples", "--data", stored.data.path).printed
    #expect(text.contains { $0.hasPrefix("outcome") && $0.hasSuffix("complete") })
    #expect(text.contains { $0.contains("run.sqlite") })
    let verified = run("runs", "verify", "last", "--data", stored.data.path)
    #expect(verified.code == 0)
    #expect(verified.printed[0].contains("is sound"))
    #expect(run("runs", "show", "nobody", "--data", stored.data.path).code == 66)
    #expect(run("runs", "--data", "/tmp/insitud-test-no-data").code == 66)
  }

  @Test("a damaged run is told, with code 65")
  func damaged() throws {
    let stored = try StoredRun()
    let database = try Database(stored.directory.databasePath, .readWrite)
    try database.run("INSERT INTO ledger (series, triggered, received, lost_at_source, written) VALUES (0, 9, 5, 1, 5)")
    let verified = run("runs", "verify", "last", "--data", stored.data.path, "--json")
    #expect(verified.code == 65)
    #expect(verified.document?["sound"] == false)
    #expect(run("runs", "verify", "last", "--data", stored.data.path).printed[0].contains("is damaged"))
  }

  @Test("the daemon says where a run is, and the files are read from there")
  func throughDaemon() throws {
    let stored = try StoredRun()
    let path = stored.directory.path
    let daemon = try FakeDaemonServer("directory") { request in
      request.method == .hello ? .success(FakeDaemonServer.hello) : .success(["directory": .string(path)])
    }
    #expect(run("runs", "verify", "last", endpoint: daemon.endpoint).code == 0)
    let elsewhere = try FakeDaemonServer("elsewhere") { request in
      request.method == .hello
        ? .success(FakeDaemonServer.hello) : .success(["directory": "/nowhere/01ARZ3NDEKTSV4RRFFQ69G5FAV"])
    }
    #expect(run("runs", "verify", "last", endpoint: elsewhere.endpoint).code == 66)
  }

  @Test("a run is exported and drawn, and the files made are named")
  func exports() throws {
    let stored = try StoredRun()
    let base = stored.data.path + "/out"
    let csv = run("export", "last", "--format", "csv", "-o", base + ".csv", "--data", stored.data.path, "--json")
    #expect(csv.code == 0)
    let files = csv.document?["files"]?.array?.compactMap(\.string) ?? []
    #expect(files == [base + ".csv", base + ".frames.csv"])
    let lines = String(decoding: try FileSystem.read(base + ".csv"), as: UTF8.self).split(separator: "\n")
    #expect(lines.count == 3)
    let bdf = run("export", "last", "--format", "bdf", "-o", base, "--data", stored.data.path)
    #expect(bdf.printed == [base + ".bdf.csv"])
    let plot = run("plot", "last", "-o", base + ".svg", "--data", stored.data.path)
    #expect(plot.printed == [base + ".svg"])
    #expect(run("plot", "last", "-o", "-", "--data", stored.data.path).printed[0].contains("<svg"))
    #expect(run("plot", "last", "-o", "/nowhere/a.svg", "--data", stored.data.path).code == 73)
    #expect(run("export", "last", "--format", "csv", "-o", "-", "--data", stored.data.path).code == 64)
  }

  private let text = """
    protocol: 1
    name: short
    limits: {voltage: [-0.5 V, 4.5 V], current: [-100 pA, 100 pA]}
    steps:
      - Charge at 2 pA for 10 s:
          record: 10 fps

    """

  private func check(_ text: String, _ words: String..., endpoint: String? = nil) throws -> ProgramOutcome {
    let path = "/tmp/insitud-test-check-\(MonotonicTime.now.nanoseconds).yaml"
    try FileSystem.replace(path, with: Array(text.utf8))
    defer { FileSystem.remove(path) }
    let flag = words.first ?? "--quiet"
    if let endpoint { return run("protocol", "check", path, flag, endpoint: endpoint) }
    return run("protocol", "check", path, flag)
  }

  @Test("a protocol is checked without a daemon: steps, time, charge, frames, bytes, and what was assumed")
  func protocolCheck() throws {
    let plain = try check(text)
    #expect(plain.code == 0)
    #expect(plain.remarks.isEmpty)
    let table = plain.printed.joined(separator: "\n")
    #expect(table.contains("Charge at 2 pA for 10 s"))
    #expect(table.contains("20.0 pC"))
    let json = try check(text, "--json")
    #expect(json.document?["method"]?.array?.count == 1)
    #expect(json.document?["x_plan"]?["frames"] == 100)
    #expect(json.document?["x_plan"]?["bytes"]?.integer == Int64(100 * (1024 * 1024 * 2 + IndexRecord.byteCount)))
    #expect(json.remarks.count == 1)
  }

  @Test("with a daemon the size of its frames counts")
  func frameSize() throws {
    let daemon = try FakeDaemonServer("frames") { request in
      if request.method == .hello { return .success(FakeDaemonServer.hello) }
      return .success([
        "devices": [
          ["kind": "image", "name": "image", "frame_bytes": 32768, "frame_width": 128, "frame_height": 128],
          ["kind": "potentiostat", "resolution_A": 1e-15],
        ]
      ])
    }
    let json = try check(text, "--json", endpoint: daemon.endpoint)
    #expect(json.document?["x_plan"]?["bytes"]?.integer == Int64(100 * (32768 + IndexRecord.byteCount)))
    #expect(json.remarks.isEmpty)
    let foreign = try check(
      text.replacing("record: 10 fps", with: "record: {cameras: {imgae: 400 fps}}"), "--json", endpoint: daemon.endpoint
    )
    #expect(foreign.code == 65)
    let remark = foreign.remarks.first ?? ""
    #expect(remark.contains("there is no camera “imgae”; did you mean “image”?"), "\(foreign.remarks)")
  }

  @Test("2 mA written for 2 pA is stopped with line, limit and remedy, code 65")
  func wrongUnit() throws {
    let wrong = try check(text.replacing("2 pA", with: "2 mA"), "--json")
    #expect(wrong.code == 65)
    #expect(wrong.remarks.count == 1)
    #expect(wrong.remarks[0].contains(".yaml:5:"))
    #expect(wrong.remarks[0].contains("100 pA"))
    #expect(wrong.remarks[0].contains("2 pA"))
    #expect(wrong.document?["error"]?["details"]?["errors"]?.array?.first?["line"] == 5)
  }
}
