import ControlProtocol
import Glibc
import JSON
import Linux
import Quantities
import Testing

extension DaemonTests {
  @Suite("Streams as other programs see them", .enabled(if: Programs.python != nil, "\(Programs.hasNoPython)"))
  struct Streams {
    @Test("pyzmq gets every topic with the documented members, dtypes and shapes, and sees no gap when it keeps up")
    func topics() throws {
      let laboratory = try Laboratory()
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let watcher = try laboratory.python(Programs.script("watch_streams.py"), laboratory.streams, "30")
      _ = try eventually("the subscriber") { watcher.errors.contains("ready") ? true : nil }
      try laboratory.start(client, "- Charge at 2 pA for 2 s:\n    record: 50 fps")
      #expect(try laboratory.ended(client)["outcome"]?.string == "complete")
      #expect(try watcher.waitForExit() == 0, "\(watcher.errors)")
      let told = try JSONValue(parsing: watcher.output)
      #expect(told["wrong"]?.array?.isEmpty == true, "\(told["wrong"]?.text ?? "")")
      let least: [(String, Int64)] = [
        ("frame/camera", 90), ("ref/camera", 90), ("preview/camera", 15), ("sample/potentiostat", 20),
        ("event/daemon", 4), ("status/daemon", 3),
      ]
      for (topic, count) in least {
        let seen = told["seen"]?[topic]?.integer ?? 0
        #expect(seen >= count, "\(topic): \(seen)")
        #expect(told["missed"]?[topic]?.integer == 0, "\(topic)")
      }
      #expect(told["seen"]?["preview/camera"]?.integer ?? 0 <= 60)
    }

    @Test("examples/subscribe.py prints frames and samples")
    func example() throws {
      let laboratory = try Laboratory()
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let example = try laboratory.python(Programs.script("../examples/subscribe.py"), laboratory.streams)
      try laboratory.start(client, "- Charge at 2 pA for 2 s:\n    record: 50 fps")
      _ = try eventually("frames and samples in its output") { () -> Bool? in
        let lines = example.output.split(separator: "\n")
        let hasFrame = lines.contains { $0.contains("frame/camera") && $0.contains("pixels uint16(256, 256) mean") }
        let hasSample = lines.contains { $0.contains("sample/potentiostat") && $0.contains("voltage_V float64(") }
        return hasFrame && hasSample ? true : nil
      }
      #expect(example.exitCode == nil, "\(example.errors)")
    }

    @Test("A subscriber that is stopped disturbs nobody, and sees by seq what it missed")
    func stopped() throws {
      let laboratory = try Laboratory()
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let watcher = try laboratory.python(Programs.script("watch_streams.py"), laboratory.streams, "30")
      _ = try eventually("the subscriber") { watcher.errors.contains("ready") ? true : nil }
      try laboratory.start(client, "- Charge at 2 pA for 4 s:\n    record: 400 fps")
      try laboratory.status(client, "frames") { $0.at("run.frames.written")?.integer ?? 0 > 100 }
      watcher.send(SIGSTOP)
      // 256 messages may wait in the daemon, and about as many in the socket's buffers.
      try laboratory.status(client, "more frames") { $0.at("run.frames.written")?.integer ?? 0 > 1200 }
      watcher.send(SIGCONT)
      let shown = try laboratory.ended(client)
      #expect(shown["outcome"]?.string == "complete", "\(shown["reason"]?.text ?? "")")
      #expect(shown.at("ledger.balanced")?.bool == true)
      #expect(shown.at("frames.written")?.integer == shown.at("frames.triggered")?.integer)
      #expect(try watcher.waitForExit() == 0, "\(watcher.errors)")
      let told = try JSONValue(parsing: watcher.output)
      #expect(told["wrong"]?.array?.isEmpty == true, "\(told["wrong"]?.text ?? "")")
      let missed = told["missed"]?["frame/camera"]?.integer ?? 0
      #expect(missed > 0)
      let seen = told["seen"]?["frame/camera"]?.integer ?? 0
      #expect(seen + missed <= shown.at("frames.written")?.integer ?? 0)
    }
  }
}
