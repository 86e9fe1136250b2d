import ControlProtocol
import Glibc
import JSON
import Linux
import Quantities
import RunStore
import Testing

extension DaemonTests {
  @Suite("The daemon's end")
  struct End {
    @Test("SIGTERM in the middle of a run: output, contacts, frames, record, twin, and exit code 0 within 10 s")
    func terminate() throws {
      let laboratory = try Laboratory()
      let daemon = try laboratory.startDaemon()
      let client = try laboratory.client()
      let twin = try #require(laboratory.twin)
      let id = try laboratory.start(client, "- Charge at 2 pA for 20 s:\n    record: 200 fps")
      try laboratory.status(client, "frames") { $0.at("run.frames.written")?.integer ?? 0 > 100 }
      let asked = MonotonicTime.now
      daemon.send(SIGTERM)
      #expect(try daemon.waitForExit(within: Seconds(10)) == 0)
      let off = try laboratory.truth.event(after: asked, containing: "output off, state HIMP")
      let opened = try laboratory.truth.event(after: asked, containing: "contacts open")
      let drained = try laboratory.truth.event(after: asked, containing: "series 1 over")
      #expect(off.time <= opened.time)
      #expect(opened.time <= drained.time)
      #expect(opened.time - asked < Seconds(1))
      #expect(!Laboratory.isAlive(twin))
      #expect(
        !FileSystem.exists(
          "/dev/shm/insitud-" + laboratory.runtime.dropFirst().split(separator: "/").joined(separator: "-") + "-ring"))

      let directory = try laboratory.directory(id)
      let summary = try RunSummary(reading: directory)
      #expect(summary.outcome == .stopped)
      #expect(summary.reason == "the daemon is shutting down")
      #expect(summary.ledger.isBalanced, "\(summary.ledger.reason ?? "")")
      let report = try RunVerification.verify(directory)
      #expect(report.isSound, "\(report.findings.map(\.description))")
      // Closed: the one file is all there is.
      #expect(!FileSystem.exists(directory.databasePath + "-wal"))
      let listed = try laboratory.insituctl("runs", "show", "last", "--json", "--data", laboratory.data)
      #expect(listed.exitCode == 0, "\(listed.errors)")
      #expect(try JSONValue(parsing: listed.output)["outcome"]?.string == "stopped")
    }

    @Test("SIGTERM and SIGINT without a run end it with 0, and the twin with it", arguments: [SIGTERM, SIGINT])
    func idle(_ signal: Int32) throws {
      let laboratory = try Laboratory()
      let daemon = try laboratory.startDaemon()
      let twin = try #require(laboratory.twin)
      daemon.send(signal)
      #expect(try daemon.waitForExit(within: Seconds(5)) == 0)
      #expect(!Laboratory.isAlive(twin))
    }
  }
}
