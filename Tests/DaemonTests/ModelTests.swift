import ControlProtocol
import Glibc
import JSON
import Linux
import Quantities
import RunStore
import SQLite
import Testing

extension DaemonTests {
  @Suite("Every family of potentiostats")
  struct Models {
    @Test("A run is complete, and what it recorded is what the cell really had", arguments: BenchedModel.all)
    func run(_ model: BenchedModel) throws {
      let laboratory = try Laboratory(model.settings())
      try laboratory.startDaemon()
      let file = laboratory.path + "/model.yaml"
      try write(file, model.text(rest: 0.8, current: 1, hold: 1.2))

      let devices = try laboratory.insituctl("devices")
      #expect(devices.exitCode == 0, "\(devices.errors)")
      let lines = devices.output.split(separator: "\n").map(String.init)
      #expect(lines.contains { $0.hasPrefix("potentiostat") && $0.hasSuffix(model.name) }, "\(devices.output)")
      #expect(lines.contains { $0.contains("lowest range") && $0.hasSuffix(model.lowestRange) }, "\(devices.output)")
      for warning in model.warnings { #expect(devices.output.contains(warning), "\(devices.output)") }

      let check = try laboratory.insituctl("protocol", "check", file)
      #expect(check.exitCode == 0, "\(check.errors)")
      let started = try laboratory.insituctl("run", "start", file, "--follow", within: Seconds(60))
      #expect(started.exitCode == 0, "\(started.errors)\n\(started.output)")
      for doubt in model.doubts {
        #expect(check.output.contains(doubt), "\(check.output)")
        #expect(started.errors.contains("warning: line 8: \(doubt)"), "\(started.errors)")
      }
      #expect(model.doubts.isEmpty == !started.errors.contains("warning:"), "\(started.errors)")

      let client = try laboratory.client()
      let shown = try client.call(.runsShow, ["id": "last"])
      #expect(shown.at("ledger.balanced")?.bool == true)
      let directory = try laboratory.directory(try #require(shown["id"]?.string))
      let report = try RunVerification.verify(directory)
      #expect(report.isSound, "\(report.findings.map(\.description))")
      // The range in use is known now.
      let inUse = try laboratory.insituctl("devices")
      #expect(inUse.output.contains("  range "), "\(inUse.output)")

      try end(laboratory)
      let events = laboratory.truth.events.map(\.text)
      let opened = try #require(events.lastIndex { $0.contains("contacts open") })
      #expect(opened > (events.lastIndex { $0.contains("contacts closed") } ?? -1))
      let database = try RunDatabase.open(directory, .readOnly).database
      try compare(database, laboratory.truth, model, currentTolerance: model.currentTolerance)
      try compareCharge(shown, laboratory.truth, model)
      try compareFrames(database, laboratory.truth, model)
    }

    @Test(
      "Without a holder that switches, the cell is as it is found, no zero is read, and the output is open at the end",
      arguments: BenchedModel.all, [nil, "passive"])
    func wired(_ model: BenchedModel, _ holder: String?) throws {
      let laboratory = try Laboratory(model.settings(holder: holder))
      try laboratory.startDaemon()
      let file = laboratory.path + "/model.yaml"
      try write(file, model.text(rest: 0.4, current: 0.5, hold: 0.7))
      let started = try laboratory.insituctl("run", "start", file, "--follow", within: Seconds(60))
      #expect(started.exitCode == 0, "\(started.errors)\n\(started.output)")
      let client = try laboratory.client()
      let shown = try client.call(.runsShow, ["id": "last"])
      let messages = (shown["events"]?.array ?? []).compactMap { $0["message"]?.string }
      #expect(messages.contains { $0.contains("no zero is read") })
      #expect(messages.contains { $0.contains("no holder switches the contacts") })
      let words = holder == nil ? "no holder is configured: nothing opens the cell" : "the passive holder switches nothing"
      #expect(try laboratory.insituctl("status").output.contains(words))
      let devices = try laboratory.insituctl("devices").output
      #expect(devices.contains(holder == nil ? words : "nothing opens the cell when this computer fails"), "\(devices)")
      let directory = try laboratory.directory(try #require(shown["id"]?.string))
      let report = try RunVerification.verify(directory)
      #expect(report.isSound, "\(report.findings.map(\.description))")

      sleepThread(for: Seconds(0.3))
      try end(laboratory)
      let database = try RunDatabase.open(directory, .readOnly).database
      try compare(
        database, laboratory.truth, model, currentTolerance: model.currentTolerance + model.offset)
      // The twin's contacts are closed until its end: that no current flows is the open output.
      let last = laboratory.truth.cell.suffix(20).map(\.current)
      #expect(last.count == 20)
      #expect(last.allSatisfy { abs($0) < 0.1 * (model.current ?? 1e-12) }, "\(last)")
    }

    @Test(
      "A held current is refused by an instrument that has no current source, with its line, and nothing is made",
      arguments: BenchedModel.all.filter { $0.current == nil })
    func refused(_ model: BenchedModel) throws {
      let laboratory = try Laboratory(model.settings())
      try laboratory.startDaemon()
      var charging = model
      charging.current = 1e-9
      let file = laboratory.path + "/charge.yaml"
      try write(file, charging.text(rest: 1, current: 1, hold: 1))
      for words in [["run", "start"], ["protocol", "check"]] {
        let refused = try laboratory.insituctl(words[0], words[1], file)
        #expect(refused.exitCode == 65)
        let line = "\(file):8:1: “Charge at 1 nA for 1 s” needs a current source, and the \(model.name) has none"
        #expect(refused.errors.contains("needs a current source, and the \(model.name) has none"), "\(refused.errors)")
        #expect(refused.errors.contains(":8:1:"), "\(line) / \(refused.errors)")
        #expect(refused.errors.split(separator: "\n").count == 1, "\(refused.errors)")
      }
      let made = try DataDirectory(existing: laboratory.data).runDirectories()
      #expect(made.isEmpty)
      #expect(try laboratory.client().call(.status)["state"]?.string == "idle")
      #expect(!laboratory.truth.events.contains { $0.text.contains("contacts closed") })
    }

    @Test("A voltage that the instrument cannot apply is refused before anything is made")
    func beyond() throws {
      var model = try #require(BenchedModel.all.first { $0.name == "emstat4-lr" })
      model.voltages = "[0.5 V, 3.6 V]"
      model.held = 3.4
      let laboratory = try Laboratory(model.settings())
      try laboratory.startDaemon()
      let file = laboratory.path + "/beyond.yaml"
      try write(file, model.text(rest: 1, current: 1, hold: 1))
      let refused = try laboratory.insituctl("run", "start", file)
      #expect(refused.exitCode == 65)
      #expect(refused.errors.contains(":9:1:"), "\(refused.errors)")
      #expect(refused.errors.contains("is beyond what the emstat4-lr can apply, -3 V … 3 V"), "\(refused.errors)")
      #expect(try DataDirectory(existing: laboratory.data).runDirectories().isEmpty)
    }

    // MARK: record and truth

    /// The twin writes the rest of its truth when it ends.
    private func end(_ laboratory: Laboratory) throws {
      laboratory.daemon?.send(SIGTERM)
      _ = try laboratory.daemon?.waitForExit()
    }

    private struct Reading {
      var arrival: Int64
      var voltage: Double?
      var current: Double?
    }

    /// Of each step the second half, when the bias has settled: mean voltage and current against those of the truth over the
    /// same time.
    private func compare(
      _ database: Database, _ truth: Truth, _ model: BenchedModel, currentTolerance: Double
    ) throws {
      let cell = truth.cell
      let holds = model.current == nil ? 1 : 2
      for step in 0...holds {
        let rows = try database.rows(
          "SELECT arrival_raw_ns AS t, voltage_V AS v, current_A AS i FROM sample WHERE step = \(step) AND flags & 14 = 0"
        ).map { Reading(arrival: $0.integer("t") ?? 0, voltage: $0.double("v"), current: $0.double("i")) }
        let settled = Array(rows.suffix(rows.count / 2))
        try #require(settled.count >= 3, "\(model.name), step \(step): \(rows.count) readings")
        let span = settled[0].arrival...settled[settled.count - 1].arrival
        let true_ = cell.filter { span.contains($0.time) }
        try #require(true_.count > 50, "\(model.name), step \(step)")
        let voltage = try #require(mean(settled.compactMap(\.voltage)), "\(model.name), step \(step)")
        let trueVoltage = try #require(mean(true_.map(\.voltage)))
        #expect(
          abs(voltage - trueVoltage) < model.voltageTolerance,
          "\(model.name), step \(step): \(voltage) V, truth \(trueVoltage) V")
        let trueCurrent = try #require(mean(true_.map(\.current)))
        guard let current = mean(settled.compactMap(\.current)) else {
          // A rest of an instrument that then measures no current: there is none.
          #expect(step == 0, "\(model.name), step \(step) has no current")
          #expect(abs(trueCurrent) < currentTolerance)
          continue
        }
        #expect(
          abs(current - trueCurrent) < currentTolerance + 0.005 * abs(trueCurrent),
          "\(model.name), step \(step): \(current) A, truth \(trueCurrent) A")
        if step == 1, let wanted = model.current {
          #expect(abs(current - wanted) < currentTolerance + model.offset + 0.02 * wanted, "\(model.name): \(current) A")
        }
      }
    }

    private func compareCharge(_ shown: JSONValue, _ truth: Truth, _ model: BenchedModel) throws {
      let told = try #require(shown["charge_C"]?.double)
      let cell = truth.cell
      var (integral, moved, span) = (0.0, 0.0, 0.0)
      for (before, after) in zip(cell, cell.dropFirst()) where after.time - before.time < 100_000_000 {
        let seconds = Double(after.time - before.time) / 1e9
        integral += after.current * seconds
        moved += abs(after.current) * seconds
        span += seconds
      }
      #expect(moved > 0)
      #expect(
        abs(told - integral) < 0.06 * moved + model.currentTolerance * span,
        "\(model.name): \(told) C, truth \(integral) C")
    }

    /// Frames of which something is known tell the voltage that there was.
    private func compareFrames(_ database: Database, _ truth: Truth, _ model: BenchedModel) throws {
      let frames = truth.frames
      let rows = try database.rows(
        "SELECT f.series, f.frame_number, v.* FROM frame f JOIN frame_value v ON v.frame = f.id")
      #expect(rows.count > 40, "\(model.name): \(rows.count) frames")
      var (known, near) = (0, 0)
      for row in rows {
        let key = Truth.FrameKey(series: row.integer("series") ?? -1, number: row.integer("frame_number") ?? -1)
        guard let voltage = row.double("voltage_mean_V"), let true_ = frames[key] else { continue }
        known += 1
        let uncertainty = max(model.voltageTolerance, 2 * (row.double("voltage_uncertainty_V") ?? 0))
        if abs(voltage - true_.voltage) < uncertainty { near += 1 }
      }
      #expect(known * 10 >= rows.count * 7, "\(model.name): \(known) of \(rows.count) frames have a voltage")
      #expect(near * 10 >= known * 9, "\(model.name): \(near) of \(known) voltages are near the truth")
    }

    private func mean(_ values: [Double]) -> Double? {
      values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
    }
  }
}
