import ControlProtocol
import Glibc
import JSON
import Linux
import Quantities
import RunStore
import SQLite
import Testing

extension DaemonTests {
  @Suite("The holder")
  struct HolderCommands {
    /// A laboratory whose probe begins at a distance.
    private func laboratory(_ holder: String = "  profile: probe", gap: String = "300 nm") throws -> Laboratory {
      let laboratory = try Laboratory()
      let bytes = try FileSystem.read(laboratory.configuration, limit: 1 << 16)
      let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
      let changed = lines.flatMap { line -> [String] in
        switch String(line) {
        case "holder:": ["holder:", holder]
        case "  contacts: {working: 1, counter: 2}" where holder.contains("contacts:"): []
        case "twin:": ["twin:", "  holder: {gap: \(gap)}"]
        default: [String(line)]
        }
      }
      try write(laboratory.configuration, changed.joined(separator: "\n"))
      return laboratory
    }

    @Test(
      "The examples of every kind of holder have no errors",
      arguments: ["probe", "liquid-cell", "heating-chip", "lamella", "afm", "passive"])
    func examples(kind: String) throws {
      let laboratory = try Laboratory()
      let here = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
      let daemon = try laboratory.launchDaemon(["--check-config", "--config", "/\(here)/config/holder-\(kind).yaml"])
      #expect(try daemon.waitForExit() == 0, "\(daemon.errors)")
    }

    @Test(
      "What is wrong with the section is said with its place and what to do",
      arguments: [
        ("  profile: prob", "did you mean “probe”"), ("  profile: liquid-cell", "has no reference electrode"),
        ("  profile: heating-chip", "“holder.heater” is missing"),
        ("  profile: lamella\n  piezo: {axis: z}", "has no meaning for the profile “lamella”"),
        ("  profile: probe\n  contacts: {working: 1, counter: 2, gate: 3}", "a gate belongs to the profile “lamella”"),
        ("  contacts: {working: 1, counter: 2, gate: 2}", "names one line twice"),
        ("  safe: ground", "cannot be “ground” while a cell is mounted"),
        ("  forbid: [\"1!1\"]", "is no pair of channels"),
        ("  piezo: {step: 2 um}", "could cross the gap unseen"),
        ("  readings: 1 ms", "is outside 100 ms"),
        ("  heater: {lines: {force_high: 1, force_low: 6, sense_high: 7, sense_low: 8}, chip: x}", "name a line twice"),
      ])
    func wrong(section: String, words: String) throws {
      let laboratory = try laboratory(section)
      let daemon = try laboratory.launchDaemon(["--check-config"])
      #expect(try daemon.waitForExit() == 78)
      #expect(daemon.errors.contains(words), "\(daemon.errors)")
      #expect(daemon.errors.contains("insitud.yaml:"), "\(daemon.errors)")
    }

    @Test("The probe is brought to contact from the command line; no run begins meanwhile, and afterwards one does")
    func approach() throws {
      let laboratory = try laboratory()
      try laboratory.startDaemon()
      let client = try laboratory.client()
      #expect(try client.call(.holder, ["action": "approach"])["accepted"]?.bool == true)
      let busy = #expect(throws: ControlError.self) { try laboratory.start(client, "- Rest for 1 s") }
      #expect(busy?.kind == .busy)
      let second = try laboratory.insituctl("holder", "leakage")
      #expect(second.exitCode == 75, "\(second.errors)")
      let motion = try eventually("the contact") { () -> JSONValue? in
        let status = try client.call(.holder, ["action": "status"])
        return status["moving"]?.bool == false ? status["motion"] : nil
      }
      #expect(motion["phase"]?.string == "contact", "\(motion.text)")
      let back = try laboratory.insituctl("holder", "retract", "--steps", "0")
      #expect(back.exitCode == 0, "\(back.errors)")
      let again = try laboratory.insituctl("holder", "approach", "--max-steps", "3")
      #expect(again.exitCode == 0, "\(again.errors)")

      let leakage = try laboratory.insituctl("holder", "leakage", "1", "V", "--json")
      #expect(try JSONValue(parsing: leakage.output)["within_limit"]?.bool == true)
      let id = try laboratory.start(client, "- Rest for 2 s")
      for words in [["route", "(@1!1)"], ["insert", "on"], ["approach"], ["leakage"], ["open"]] {
        let action = words[0]
        let parameters: [String: JSONValue] =
          action == "route" ? ["channels": .string(words[1])] : words.count > 1 ? ["value": .string(words[1])] : [:]
        let refused = #expect(throws: ControlError.self) {
          try client.call(.holder, parameters.merging(["action": .string(action)]) { a, _ in a })
        }
        #expect(refused?.kind == .busy, "\(action)")
      }
      #expect(try client.call(.holder, ["action": "blank", "value": "on"])["blanked"]?.bool == true)
      let ended = try laboratory.ended(client)
      #expect(ended["outcome"]?.string == "complete", "\(ended["reason"]?.text ?? "")")
      #expect(ended["id"]?.string == id)
      let kinds = (ended["events"]?.array ?? []).compactMap { $0["kind"]?.string }
      #expect(kinds.contains("beam_blanked"), "\(kinds)")
      let directory = try #require(try DataDirectory(existing: laboratory.data).runDirectories().first)
      let database = try RunDatabase.open(directory, .readOnly).database
      let rows = try database.rows(
        "SELECT quantity, count(*) AS n FROM reading WHERE device = 'holder' GROUP BY quantity")
      let counts = Dictionary(uniqueKeysWithValues: rows.map { ($0.text("quantity") ?? "", $0.integer("n") ?? 0) })
      #expect(counts["leakage_resistance"] == 1)
      // Two a second for a run of a few seconds.
      for quantity in ["force", "pressure", "beam_blanked", "piezo_z"] {
        #expect((2...40).contains(counts[quantity] ?? 0), "\(quantity): \(counts)")
      }
    }

    @Test("Ctrl-C stops the probe, and so does a stop from elsewhere")
    func interrupted() throws {
      let laboratory = try laboratory(gap: "50 um")
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let approach = try ChildProcess(
        Programs.control, ["holder", "approach", "--endpoint", laboratory.endpoint],
        outputs: laboratory.path + "/approach")
      func moving(_ wanted: Bool) throws -> JSONValue {
        try eventually("the probe") { () -> JSONValue? in
          let status = try client.call(.holder, ["action": "status"])
          return status["moving"]?.bool == wanted ? status : nil
        }
      }
      _ = try moving(true)
      _ = try eventually("a line of progress") { approach.errors.contains("fine") ? true : nil }
      approach.send(SIGINT)
      #expect(try approach.waitForExit() == 130, "\(approach.errors)")
      let stopped = try moving(false)
      #expect(stopped.at("motion.phase")?.string == "stopped")
      #expect(stopped["state"]?.string == "SAFE_OPEN")

      _ = try client.call(.holder, ["action": "approach"])
      #expect(try client.call(.emergencyStop)["safe"]?.bool == true)
      #expect(try moving(false).at("motion.phase")?.string == "stopped")
      #expect(try client.call(.status)["state"]?.string == "idle")
    }

    @Test("A chip is heated during a run and before it, and is cold after the safe state")
    func heating() throws {
      let chip = "{R0: 120 Ohm, T0: 20 C, alpha: 0.0012, I_max: 20 mA, T_max: 1000 C, serial: C-17}"
      let lines = "{force_high: 5, force_low: 6, sense_high: 7, sense_low: 8}"
      let laboratory = try laboratory("  heater: {lines: \(lines), chip: \(chip), ramp: 5000 K/s}", gap: "0 m")
      try laboratory.startDaemon()
      let client = try laboratory.client()
      func temperature() throws -> Double? {
        let status = try client.call(.holder, ["action": "status"])
        return status["readings"]?.array?.first { $0["quantity"]?.string == "heater_temperature" }?["value"]?.double
      }
      let heat = try laboratory.insituctl("holder", "heat", "350", "C")
      #expect(heat.exitCode == 0, "\(heat.errors)")
      _ = try eventually("350 C") { abs((try temperature() ?? 0) - 623.15) < 1 ? true : nil }
      let unit = try laboratory.insituctl("holder", "heat", "350")
      #expect(unit.exitCode == 64)
      try laboratory.start(client, "- Rest for 3 s")
      try laboratory.status(client, "running") { $0["state"]?.string == "running" }
      #expect(try client.call(.holder, ["action": "heat", "value": "400 C"])["set_K"]?.double == 673.15)
      _ = try eventually("400 C") { abs((try temperature() ?? 0) - 673.15) < 1 ? true : nil }
      #expect(try laboratory.ended(client)["outcome"]?.string == "complete")
      _ = try eventually("a cold chip") { (try temperature() ?? 1000) < 300 ? true : nil }
    }

    @Test("A lamella's gate is driven during a run and recorded; a waveform of one's own goes to the holder in between")
    func gate() throws {
      let laboratory = try laboratory("  profile: lamella\n  contacts: {working: 1, counter: 2, gate: 3}", gap: "0 m")
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let early = try laboratory.insituctl("holder", "gate", "1", "V")
      #expect(early.exitCode == 69)
      #expect(early.errors.contains("start the run first"), "\(early.errors)")
      #expect(try laboratory.insituctl("holder", "gate", "11", "V").exitCode == 64)
      let table = laboratory.path + "/table"
      try write(table, (0...255).map { "\($0)" }.joined(separator: "\n"))
      let waveform = try laboratory.insituctl("holder", "waveform", table)
      #expect(waveform.exitCode == 0, "\(waveform.errors)")
      #expect(waveform.output.contains("gave back as it was sent"), "\(waveform.output)")
      try write(table, "1 2 three")
      let wrong = try laboratory.insituctl("holder", "waveform", table)
      #expect(wrong.exitCode == 65)
      #expect(wrong.errors.contains("“three”"), "\(wrong.errors)")

      let id = try laboratory.start(client, "- Rest for 4 s")
      try laboratory.status(client, "running") { $0["state"]?.string == "running" }
      let gate = try laboratory.insituctl("holder", "gate", "-300", "mV")
      #expect(gate.exitCode == 0, "\(gate.errors)")
      #expect(gate.output.contains("-300"), "\(gate.output)")
      let shown = try laboratory.ended(client)
      #expect(shown["outcome"]?.string == "complete", "\(shown["reason"]?.text ?? "")")
      let database = try RunDatabase.open(laboratory.directory(id), .readOnly).database
      let events = try database.rows("SELECT message FROM event WHERE kind = 'gate'")
      #expect(events.count == 1)
      let values = try database.rows("SELECT value FROM reading WHERE quantity = 'bias_voltage' ORDER BY id")
      #expect(values.last?.double("value").map { abs($0 + 0.3) < 1e-6 } == true, "\(values.count) readings")
    }

    @Test("With a passive holder no zero is read, nothing claims that contacts are open, and what it cannot do is said")
    func passive() throws {
      let laboratory = try Laboratory()
      let text = String(decoding: try FileSystem.read(laboratory.configuration, limit: 1 << 16), as: UTF8.self)
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false).filter {
        !$0.hasPrefix("  usb: \"1209") && !$0.hasPrefix("  heartbeat:")
      }
      try write(
        laboratory.configuration,
        lines.map { $0 == "  model: obh-1" ? "  model: passive" : String($0) }.joined(separator: "\n"))
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let devices = try client.call(.devices)["devices"]?.array ?? []
      let holder = try #require(devices.first { $0["kind"]?.string == "holder" })
      #expect(holder["warnings"]?.array?.count == 4)
      #expect(holder["connected"]?.bool == true)
      let leakage = try laboratory.insituctl("holder", "leakage")
      #expect(leakage.exitCode == 69)
      #expect(leakage.errors.contains("cannot measure its leakage"), "\(leakage.errors)")
      // The twin's cell hangs on the other holder: whether the run trips on it says nothing here.
      try laboratory.start(client, "- Rest for 1 s")
      let events = (try laboratory.ended(client)["events"]?.array ?? []).compactMap { $0["message"]?.string }
      #expect(events.contains { $0.contains("no zero is read") }, "\(events)")
      #expect(events.contains { $0.contains("no holder switches the contacts") }, "\(events)")
      #expect(!events.contains { $0.contains("contacts open") }, "\(events)")
    }
  }
}
