import ControlProtocol
import JSON
import Linux
import Quantities
import RunStore
import SQLite
import Testing

extension DaemonTests {
  @Suite("An instrument that is unplugged and comes back")
  struct Holes {
    @Test(
      "The run goes on when the protocol says so, with the cell open meanwhile and the hole marked",
      arguments: ["potentiostat", "holder"])
    func goesOn(_ instrument: String) throws {
      var settings = Laboratory.Settings()
      settings.faults = ["unplug: \(instrument), after_output_on: 3 s, replug_after: 2 s"]
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let id = try laboratory.start(
        client, "- Record frames at 20 fps\n- Charge at 2 pA for 5 s", more: "wait_for_instruments: 20 s")
      let waiting = try laboratory.status(client, "waiting") { $0["state"]?.string == "waiting" }
      #expect(waiting.at("run.waiting.limit_s")?.double == 20)
      #expect(waiting.at("run.waiting.reason")?.string?.contains("\(instrument): ") == true, "\(waiting.text)")
      let words = try laboratory.insituctl("status").output
      #expect(words.contains("of at most 20.0 s, the cell is open: \(instrument): "), "\(words)")
      let shown = try laboratory.ended(client, within: Seconds(30))
      #expect(shown["outcome"]?.string == "complete", "\(shown["reason"]?.text ?? "")")

      let pulled = try laboratory.truth.event(containing: "fault: \(instrument) unplugged")
      let plugged = try laboratory.truth.event(containing: "fault: \(instrument) plugged in again")
      let opened = try laboratory.truth.event(after: pulled.time, containing: "contacts open")
      #expect(opened.time - pulled.time < Seconds(1), "\(opened.time - pulled.time)")
      let closed = try laboratory.truth.event(after: opened.time, containing: "contacts closed")
      #expect(closed.time > plugged.time, "the contacts stay open until the instrument is back")

      let database = try RunDatabase.open(laboratory.directory(id), .readOnly).database
      let marked = try database.rows("SELECT arrival_raw_ns AS t FROM sample WHERE flags & 16 <> 0")
      #expect(marked.count == 1)
      #expect(try #require(marked.first?.integer("t")) > closed.time.nanoseconds)
      let events = try database.rows("SELECT kind FROM event WHERE kind IN ('hole_began', 'hole') ORDER BY id")
      #expect(events.map { $0.text("kind") } == ["hole_began", "hole"])
      // Until the output was opened too the potentiostat went on reading, at contacts that the holder had opened.
      let told = try database.rows("SELECT details_json FROM event WHERE kind = 'hole'").first?.text("details_json")
      let outputOff = try #require(JSONValue(parsing: told ?? "")["opened_raw_ns"]?.integer)
      let begin = max(opened.time.nanoseconds, outputOff) + Seconds(0.1).nanoseconds
      // The charge that nobody measured is counted from the last sample that there is.
      let hole = try JSONValue(parsing: told ?? "")
      let last = try #require(hole["last_known_raw_ns"]?.integer)
      let arrived = try database.rows(
        "SELECT max(arrival_raw_ns) AS t FROM sample WHERE arrival_raw_ns < \(try #require(marked.first?.integer("t")))"
      )
      #expect(try #require(arrived.first?.integer("t")) >= last)
      #expect(try #require(arrived.first?.integer("t")) - last < Seconds(0.15).nanoseconds)
      let unknown = try #require(hole["charge_unknown_C"]?.double)
      let unmeasured = Double(max(0, outputOff - last)) / 1e9
      if instrument == "potentiostat" {
        #expect(try #require(hole["began_raw_ns"]?.integer) > last)
        #expect(abs(unknown / (2e-12 * unmeasured) - 1) < 0.5, "\(unknown) C in \(unmeasured) s")
      }
      // Frames that were exposed while the instrument was away have no values; those of the samples beside do.
      let inHole = try database.rows(
        """
        SELECT count(*) AS n, count(voltage_mean_V) AS v, count(charge_C) AS q FROM frame_value
        WHERE start_raw_ns > \(begin)
        AND stop_raw_ns < \((closed.time - Seconds(0.1)).nanoseconds)
        """)
      #expect(try #require(inHole.first?.integer("n")) > 10)
      #expect(inHole.first?.integer("v") == 0)
      #expect(inHole.first?.integer("q") == 0)
      let report = try RunVerification.verify(try laboratory.directory(id))
      #expect(report.isSound, "\(report.findings.map(\.description))")
    }

    @Test("A run that is paused when it loses an instrument is paused afterwards, at 0 A until it is resumed")
    func paused() throws {
      var settings = Laboratory.Settings()
      settings.faults = ["unplug: potentiostat, after_output_on: 4 s, replug_after: 1 s"]
      settings.cell = ["capacity: 60 nC", "stray_capacitance: 0.1 pF", "exchange_current: 200 pA"]
      let laboratory = try Laboratory(settings)
      let recordings = laboratory.path + "/conversations"
      try laboratory.startDaemon(["--record-usb", recordings])
      let client = try laboratory.client()
      let id = try laboratory.start(client, "- Charge at 50 pA for 4 s", more: "wait_for_instruments: 20 s")
      try laboratory.status(client, "charging") { ($0["current_A"]?.double ?? 0) > 40e-12 }
      _ = try client.call(.runPause)
      try laboratory.status(client, "paused") { $0["state"]?.string == "paused" }
      try laboratory.status(client, "waiting") { $0["state"]?.string == "waiting" }
      try laboratory.status(client, within: Seconds(20), "paused again") { $0["state"]?.string == "paused" }
      let busy = #expect(throws: ControlError.self) { try client.call(.runPause) }
      #expect(busy?.kind == .busy)
      let plugged = try laboratory.truth.event(containing: "fault: potentiostat plugged in again")
      let closed = try laboratory.truth.event(after: plugged.time, containing: "contacts closed")
      let resumed = MonotonicTime.now + Seconds(0.3)
      sleepThread(for: Seconds(0.3))
      _ = try client.call(.runResume)
      let shown = try laboratory.ended(client, within: Seconds(20))
      #expect(shown["outcome"]?.string == "complete", "\(shown["reason"]?.text ?? "")")
      // Not for a moment: what flows when the contacts close passes through the step's current within a point or two.
      let between = laboratory.truth.cell.filter { $0.time > closed.time.nanoseconds && $0.time < resumed.nanoseconds }
      #expect(between.count > 100)
      let biased = between.count { abs($0.current - 50e-12) < 2e-12 }
      #expect(biased <= 2, "\(biased) ms at the step's current while the run was paused")
      // After the replug the step's current is told to the instrument once: when the run is resumed.
      let conversations = try FileSystem.list(recordings).filter { $0.hasPrefix("keithley") }.sorted()
      #expect(conversations.count == 2, "\(conversations)")
      let orders = try conversations.map { name in
        let text = String(decoding: try FileSystem.read(recordings + "/" + name, limit: 64 << 20), as: UTF8.self)
          .lowercased()
        return text.ranges(of: hexadecimal(":SOUR:CURR ")).count - text.ranges(of: hexadecimal(":SOUR:CURR 0")).count
      }
      #expect(orders == [1, 1])
      // Neither the pause nor the hole takes anything of the step's four seconds.
      let database = try RunDatabase.open(laboratory.directory(id), .readOnly).database
      let charged = try database.rows("SELECT count(*) AS n FROM sample WHERE current_A > 4e-11 AND flags & 2 = 0")
      #expect(try #require(charged.first?.integer("n")) > 300, "\(charged)")
    }

    @Test("A stop is heard while an instrument is waited for")
    func stopped() throws {
      var settings = Laboratory.Settings()
      settings.faults = ["unplug: potentiostat, after_output_on: 2 s"]
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      try laboratory.start(client, "- Charge at 2 pA for 20 s", more: "wait_for_instruments: 1 h")
      try laboratory.status(client, "waiting") { $0["state"]?.string == "waiting" }
      _ = try client.call(.runStop)
      let shown = try laboratory.ended(client, within: Seconds(5))
      #expect(shown["outcome"]?.string == "stopped", "\(shown["reason"]?.text ?? "")")
    }

    @Test("The dose is limited while an instrument is waited for: the beam goes on")
    func dose() throws {
      var settings = Laboratory.Settings()
      settings.faults = ["unplug: potentiostat, after_output_on: 1 s"]
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      // At the 2.5 e/A^2/s of the configuration after 8 s.
      try laboratory.start(
        client, "- Charge at 2 pA for 60 s", voltage: "[-0.5 V, 4.5 V], dose: 20 e/A^2",
        more: "wait_for_instruments: 1 h")
      try laboratory.status(client, "waiting") { $0["state"]?.string == "waiting" }
      let shown = try laboratory.ended(client, within: Seconds(15))
      #expect(shown["outcome"]?.string == "tripped", "\(shown["reason"]?.text ?? "")")
      #expect(shown["reason"]?.string?.contains("dose") == true)
    }

    @Test("An instrument that does not come back in time ends the run")
    func givesUp() throws {
      var settings = Laboratory.Settings()
      settings.faults = ["unplug: potentiostat, after_output_on: 3 s"]
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      try laboratory.start(client, "- Charge at 2 pA for 20 s", more: "wait_for_instruments: 1.5 s")
      let shown = try laboratory.ended(client)
      #expect(shown["outcome"]?.string == "failed")
      #expect(shown["reason"]?.string?.contains("it was not back within") == true, "\(shown["reason"]?.text ?? "")")
    }
  }
}

private func hexadecimal(_ text: String) -> String {
  text.utf8.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
