import ControlProtocol
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
        switch line {
        case "holder:": ["holder:", holder]
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
    }
  }
}
