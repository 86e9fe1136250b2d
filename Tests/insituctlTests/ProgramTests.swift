import FakeDaemon
import ControlProtocol
import Glibc
import JSON
import Linux
import Quantities
import Testing
import ZeroMQ

@testable import insituctl

@Suite("The program against a daemon")
struct ProgramTests {
  private func withFile<R>(_ text: String, _ body: (String) throws -> R) throws -> R {
    let path = "/tmp/insitud-test-\(MonotonicTime.now.nanoseconds).yaml"
    try FileSystem.replace(path, with: Array(text.utf8))
    defer { FileSystem.remove(path) }
    return try body(path)
  }

  @Test("without a daemon: one line on standard error, code 69, and with --json one document as well")
  func noDaemon() {
    let plain = run("status")
    #expect(plain.code == 69)
    #expect(plain.printed.isEmpty)
    #expect(plain.remarks.count == 1)
    #expect(plain.remarks[0].hasPrefix("insituctl: no daemon answers at ipc:///tmp/insitud-test-nowhere/control"))
    let json = run("status", "--json")
    #expect(json.code == 69)
    #expect(json.document?["error"]?["kind"] == "unavailable")
    #expect(json.document?["error"]?["exit_code"] == 69)
  }

  @Test("wrong words end with 64, also as JSON")
  func usage() {
    #expect(run("stauts").code == 64)
    #expect(run("stauts", "--json").document?["error"]?["kind"] == "usage")
    #expect(run("--help").code == 0)
    #expect(run("--version").printed == ["insituctl \(Software.version)"])
  }

  @Test("every refusal of the daemon ends with its exit code", arguments: ControlErrorKind.allCases)
  func refusals(kind: ControlErrorKind) throws {
    let daemon = try FakeDaemonServer("refusals-\(kind.rawValue)") { request in
      request.method == .hello
        ? .success(FakeDaemonServer.hello) : .failure(ControlError(kind, "no", remedy: "Ask again."))
    }
    let outcome = run("run", "stop", endpoint: daemon.endpoint)
    #expect(outcome.code == kind.exitCode)
    #expect(outcome.remarks == ["insituctl: no. Ask again."])
  }

  @Test("results are printed as text, or as the daemon's own document")
  func results() throws {
    let daemon = try FakeDaemonServer("results") { request in
      switch request.method {
      case .hello: .success(FakeDaemonServer.hello)
      case .status: .success(Fixtures.status())
      case .note: .success(["run": "01JRUN", "t_unix_ns": 1_700_000_000_000_000_000])
      case .runsList:
        .success([
          "runs": [
            [
              "id": "01JRUN", "name": "a", "outcome": "complete", "started": "2026-03-01T12:00:00Z", "samples": 5,
              "frames_written": 7, "size_bytes": 2_000_000,
            ]
          ]
        ])
      case .runsShow: .success(Fixtures.run())
      default: .success(["accepted": true])
      }
    }
    #expect(run("status", endpoint: daemon.endpoint).printed == StatusText.lines(Fixtures.status()))
    #expect(run("status", "--json", endpoint: daemon.endpoint).printed == [Fixtures.status().text])
    #expect(run("note", "beam", "on", endpoint: daemon.endpoint).printed[0].hasPrefix("Noted in run 01JRUN at "))
    let list = run("runs", endpoint: daemon.endpoint).printed
    #expect(list.count == 2)
    #expect(list[1].contains("2.00 MB"))
    #expect(run("runs", "show", "last", "--json", endpoint: daemon.endpoint).document?["id"] == "01JRUN")
    for words in [["stop"], ["pause"], ["resume"]] {
      #expect(run("run", words[0], endpoint: daemon.endpoint).code == 0)
    }
    #expect(run("estop", "--json", endpoint: daemon.endpoint).document == ["accepted": true])
  }

  @Test("files that cannot be protocols are told apart before the daemon is asked")
  func protocolFiles() throws {
    #expect(run("run", "start", "/tmp/insitud-test-missing.yaml").code == 66)
    #expect(run("run", "start", "/tmp").code == 66)
    let path = "/tmp/insitud-test-latin-\(MonotonicTime.now.nanoseconds).yaml"
    try FileSystem.replace(path, with: [0x6E, 0xFC])
    defer { FileSystem.remove(path) }
    #expect(run("run", "start", path).code == 65)
    #expect(truncate(path, ControlServerCodec.maximumMessageBytes + 1) == 0)
    #expect(run("run", "start", path).code == 65)
    if geteuid() != 0 {
      #expect(chmod(path, 0) == 0)
      #expect(run("run", "start", path).code == 77)
    }
  }

  @Test("errors in a protocol come one to a line, with their places")
  func protocolErrors() throws {
    let daemon = try FakeDaemonServer("errors") { request in
      guard request.method == .runStart else { return .success(FakeDaemonServer.hello) }
      let places = [
        ControlError.Place(line: 3, column: 5, message: "“2 mA” is above the limit of 100 pA", remedy: "write “2 pA”"),
        ControlError.Place(line: 9, column: 1, message: "there is no key “stpes”", remedy: ""),
      ]
      return .failure(ControlError(file: request.text("file") ?? "", places: places))
    }
    try withFile("protocol: 1\n") { path in
      let outcome = run("run", "start", path, "--json", endpoint: daemon.endpoint)
      #expect(outcome.code == 65)
      #expect(
        outcome.remarks == [
          "insituctl: \(path):3:5: “2 mA” is above the limit of 100 pA; write “2 pA”",
          "insituctl: \(path):9:1: there is no key “stpes”",
        ])
      #expect(outcome.document?["error"]?["details"]?["errors"]?.array?.count == 2)
    }
  }

  @Test(
    "following a run ends with its summary and the code of its outcome",
    arguments: [("complete", 0), ("tripped", 3), ("failed", 4), ("interrupted", 4), ("stopped", 5)])
  func follow(result: String, code: Int32) throws {
    let asked = Monitor(0)
    let daemon = try FakeDaemonServer("follow-\(result)") { request in
      switch request.method {
      case .hello: return .success(FakeDaemonServer.hello)
      case .runStart: return .success(["id": "01JRUN", "name": .string(request.text("name") ?? ""), "directory": "/d"])
      case .status:
        let count = asked.update { count in
          count += 1
          return count
        }
        return .success(Fixtures.status(run: count < 3 ? "01JRUN" : nil))
      default:
        // The daemon is idle a moment before the run is closed.
        let outcome = asked.read { $0 } < 4 ? "running" : result
        return .success(Fixtures.run(outcome: outcome))
      }
    }
    try withFile("protocol: 1\n") { path in
      let outcome = run("run", "start", path, "--follow", "--name", "x", "--json", endpoint: daemon.endpoint)
      #expect(outcome.code == code)
      #expect(outcome.printed.count == 1)
      #expect(outcome.document?["outcome"]?.string == result)
      #expect(outcome.remarks.first == "Run 01JRUN “x” in /d")
      #expect(outcome.remarks.dropFirst().first?.hasPrefix("step 3 of 14") == true)
    }
  }

  @Test("a stream is printed as lines of JSON: values of samples, sizes of frames")
  func streamLines() throws {
    var columns = SampleColumns()
    columns.append(
      unixNanoseconds: 5, monotonicNanoseconds: 6, voltage_V: 3.7, current_A: 2e-12, charge_C: 0, range_A: 1e-10,
      flags: 0, step: 1)
    let clock = StreamClock(source: "host", uncertaintyNanoseconds: nil)
    let samples = StreamHeader(
      .sample, stream: "potentiostat", run: "R", sequence: 1, unixNanoseconds: 5, monotonicNanoseconds: 6,
      clock: clock, parts: columns.parts)
    let line = StreamLine.document(try #require(StreamMessage(samples.messageHead + columns.columns)))
    #expect(line["topic"] == "sample/potentiostat")
    let current = line["parts"]?.array?.first { $0["name"] == "current_A" }
    #expect(current?["values"] == [2e-12])

    let picture = StreamPicture(dtype: "<u2", height: 64, width: 64, series: 0, frame: 0, exposureNanoseconds: 1)
    let frame = StreamHeader(
      .frame, stream: "camera", run: "R", sequence: 1, unixNanoseconds: 5, monotonicNanoseconds: 6, clock: clock,
      parts: [picture.part], picture: picture)
    let pixels = [UInt8](repeating: 0, count: 8192)
    let large = StreamLine.document(try #require(StreamMessage(frame.messageHead + [pixels])))
    #expect(large["parts"]?.array?[0]["values"] == nil)
    #expect(large["parts"]?.array?[0]["nbytes"] == 8192)
  }

  @Test("subscribing asks the daemon where its streams are, and ends after the count")
  func subscribe() throws {
    let context = ZeroMQContext()
    let publisher = try ZeroMQSocket(context, .publishObserving)
    let path = "/tmp/insitud-test-streams-\(MonotonicTime.now.nanoseconds)"
    try publisher.bind("ipc://\(path)")
    defer { FileSystem.remove(path) }
    let publishing = NamedThread("publisher") {
      guard publisher.waitReadable(milliseconds: 5000) else { return }
      _ = try? publisher.receive()
      for sequence in [0, 3] as [UInt64] {
        let header = StreamHeader(
          .event, stream: "daemon", run: nil, sequence: sequence, unixNanoseconds: 1, monotonicNanoseconds: 1,
          clock: StreamClock(source: "host", uncertaintyNanoseconds: nil), members: ["kind": "step"])
        try? publisher.send(header.messageHead)
      }
    }
    let daemon = try FakeDaemonServer("subscribe") { _ in
      .success(["protocol_version": 1, "endpoints": ["streams": .string("ipc://\(path)")]])
    }
    let outcome = run("subscribe", "event", "--count", "2", endpoint: daemon.endpoint)
    publishing.join()
    #expect(outcome.code == 0)
    #expect(outcome.printed.count == 2)
    #expect(outcome.document?["kind"] == "step")
    #expect(outcome.remarks == ["insituctl: event/daemon: 2 messages missed"])
  }
}
