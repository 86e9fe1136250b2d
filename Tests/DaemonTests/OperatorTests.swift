import ControlProtocol
import JSON
import Linux
import Quantities
import RunStore
import Testing

extension DaemonTests {
  @Suite("What operators command")
  struct Operators {
    @Test("A second run is refused as busy; pause, resume, a note and stop do what they say")
    func commands() throws {
      let laboratory = try Laboratory()
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let id = try laboratory.start(client, "- Charge at 2 pA for 20 s:\n    record: 20 fps")
      let busy = #expect(throws: ControlError.self) { try laboratory.start(client, "- Rest for 1 s") }
      #expect(busy?.kind == .busy)
      let file = laboratory.path + "/second.yaml"
      try write(file, Laboratory.protocolText("- Rest for 1 s"))
      let second = try laboratory.insituctl("run", "start", file)
      #expect(second.exitCode == 75)
      #expect(second.errors.split(separator: "\n").count == 1, "\(second.errors)")

      try laboratory.status(client, "frames") { $0.at("run.frames.written")?.integer ?? 0 > 5 }
      #expect(try client.call(.runPause)["accepted"]?.bool == true)
      try laboratory.status(client, "pause") { $0["state"]?.string == "paused" }
      // At 0 A the twin's source still gives its 120 fA of offset.
      try laboratory.status(client, "0 A") { abs($0["current_A"]?.double ?? 1) < 0.8e-12 }
      #expect(try client.call(.note, ["text": "beam blanked: ä"])["run"]?.string == id)
      #expect(try client.call(.runResume)["accepted"]?.bool == true)
      try laboratory.status(client, "going on") { $0["state"]?.string == "running" }
      try laboratory.status(client, "2 pA") { $0["current_A"]?.double ?? 0 > 1.3e-12 }
      let stopped = try laboratory.insituctl("run", "stop")
      #expect(stopped.exitCode == 0)
      let shown = try laboratory.ended(client)
      #expect(shown["outcome"]?.string == "stopped")
      #expect(shown.at("ledger.balanced")?.bool == true)
      #expect(shown["notes"]?.array?.first?["text"]?.string == "beam blanked: ä")
      let kinds = Set((shown["events"]?.array ?? []).compactMap { $0["kind"]?.string })
      #expect(kinds.isSuperset(of: ["run_started", "zero", "step", "paused", "resumed", "safe_state"]), "\(kinds)")
      let none = #expect(throws: ControlError.self) { try client.call(.runStop) }
      #expect(none?.kind == .unavailable)
    }

    @Test("An emergency stop opens the cell within a second, in a run and without one")
    func emergency() throws {
      let laboratory = try Laboratory()
      try laboratory.startDaemon()
      let client = try laboratory.client()
      #expect(try client.call(.emergencyStop)["safe"]?.bool == true)

      try laboratory.start(client, "- Charge at 2 pA for 20 s:\n    record: 400 fps")
      try laboratory.status(client, "frames") { $0.at("run.frames.written")?.integer ?? 0 > 100 }
      let asked = MonotonicTime.now
      let control = try laboratory.insituctl("estop")
      #expect(control.exitCode == 0)
      let off = try laboratory.truth.event(after: asked, containing: "output off, state HIMP")
      let opened = try laboratory.truth.event(after: asked, containing: "contacts open")
      #expect(off.time <= opened.time)
      #expect(opened.time - asked < Seconds(1), "\(opened.time - asked)")
      let shown = try laboratory.ended(client)
      #expect(shown["outcome"]?.string == "stopped")
      #expect(shown["reason"]?.string == "emergency stop")
      #expect(shown.at("ledger.balanced")?.bool == true)

      #expect(try client.call(.emergencyStop)["safe"]?.bool == true)
      try laboratory.start(client, "- Rest for 200 ms", name: "after")
      #expect(try laboratory.ended(client)["outcome"]?.string == "complete")
    }

    @Test("An emergency stop while a run is being prepared leaves the cell open and ends that run")
    func emergencyInPreparation() throws {
      let laboratory = try Laboratory()
      try laboratory.startDaemon()
      let client = try laboratory.client()
      try laboratory.start(client, "- Charge at 2 pA for 20 s")
      // The zero is being read: the output is on, the contacts are open.
      _ = try laboratory.truth.event(containing: "output on, VOLT")
      let asked = MonotonicTime.now
      _ = try client.call(.emergencyStop)
      let shown = try laboratory.ended(client)
      #expect(shown["outcome"]?.string == "stopped" || shown["outcome"]?.string == "failed")
      _ = try laboratory.truth.event(after: asked, containing: "output off, state HIMP")
      let events = laboratory.truth.events
      let closed = events.last { $0.text == "contacts closed" }?.time.nanoseconds ?? 0
      let opened = events.last { $0.text == "contacts open" }?.time.nanoseconds ?? 1
      #expect(closed < opened)
      #expect(closed < asked.nanoseconds + 50_000_000)
    }
  }
}
