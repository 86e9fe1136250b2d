import ControlProtocol
import JSON
import Linux
import Quantities
import RunStore
import SQLite
import Testing

extension DaemonTests {
  @Suite("Faults of instruments")
  struct Faults {
    private static func laboratory(_ faults: String...) throws -> Laboratory {
      var settings = Laboratory.Settings()
      settings.faults = faults
      return try Laboratory(settings)
    }

    private static let charge = """
      - Record frames at 100 fps
      - Charge at 2 pA for 20 s
      """

    @Test(
      "A cable pulled in the middle of a charge fails the run, opens the cell and keeps what was there",
      arguments: ["potentiostat", "holder"])
    func unplugged(_ instrument: String) throws {
      let laboratory = try Self.laboratory("unplug: \(instrument), after_output_on: 2.5 s")
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let id = try laboratory.start(client, Self.charge)
      let shown = try laboratory.ended(client)

      #expect(shown["outcome"]?.string == "failed")
      let reason = shown["reason"]?.string ?? ""
      #expect(reason.contains(instrument) || reason.contains("keithley") || reason.contains("obh"), "\(reason)")
      let pulled = try laboratory.truth.event(containing: "fault: \(instrument) unplugged")
      let opened = try laboratory.truth.event(after: pulled.time, containing: "contacts open")
      #expect(opened.time - pulled.time < Seconds(1), "\(opened.time - pulled.time)")
      if instrument == "holder" {
        // The source is at high impedance as well, although the holder had gone.
        _ = try laboratory.truth.event(after: pulled.time, containing: "output off, state HIMP")
      }
      #expect(shown.at("ledger.balanced")?.bool == true, "\(shown.at("ledger.reason")?.text ?? "")")
      #expect(shown.at("frames.written")?.integer ?? 0 > 100)
      let database = try RunDatabase.open(laboratory.directory(id), .readOnly).database
      let newest = try #require(try database.rows("SELECT max(arrival_raw_ns) AS t FROM sample").first?.integer("t"))
      #expect(newest > (pulled.time - Seconds(0.3)).nanoseconds)
      let report = try RunVerification.verify(try laboratory.directory(id))
      #expect(report.isSound, "\(report.findings.map(\.description))")
    }

    @Test("A camera that stalls and then gives all it has costs no frame")
    func stall() throws {
      let laboratory = try Self.laboratory("stall_camera: 500 ms, after: 500 ms")
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let id = try laboratory.start(client, "- Charge at 2 pA for 2 s:\n    record: 40 fps")
      let shown = try laboratory.ended(client)
      #expect(shown["outcome"]?.string == "complete", "\(shown["reason"]?.text ?? "")")
      #expect(shown.at("ledger.balanced")?.bool == true)
      let frames = try #require(shown["frames"])
      let triggered = try #require(frames["triggered"]?.integer)
      #expect(triggered >= 75)
      let lost = frames["lost_at_source"]?.integer ?? 0
      let written = frames["written"]?.integer ?? 0
      #expect(written + lost == triggered)
      // The camera's own memory holds 32 frames, the stall lasts 20.
      #expect(lost == 0)
      let report = try RunVerification.verify(try laboratory.directory(id))
      #expect(report.isSound, "\(report.findings.map(\.description))")
    }

    @Test("Frames lost in the camera are gaps with first, last and cause, and the ledger balances with them")
    func lost() throws {
      let laboratory = try Self.laboratory("lose_frames: 3, every: 40")
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let id = try laboratory.start(client, "- Charge at 2 pA for 2 s:\n    record: 100 fps")
      let shown = try laboratory.ended(client)
      #expect(shown["outcome"]?.string == "complete", "\(shown["reason"]?.text ?? "")")
      #expect(shown.at("ledger.balanced")?.bool == true)
      let triggered = try #require(shown.at("frames.triggered")?.integer)
      let expected = (0..<triggered).filter { $0 % 40 >= 37 }
      #expect(expected.count >= 12)
      #expect(shown.at("frames.lost_at_source")?.integer == Int64(expected.count))
      #expect(shown.at("frames.written")?.integer == triggered - Int64(expected.count))
      let gaps = shown["gaps"]?.array ?? []
      let numbers = gaps.flatMap { gap -> [Int64] in
        guard let first = gap["first"]?.integer, let last = gap["last"]?.integer, first <= last else { return [] }
        return Array(first...last)
      }
      #expect(numbers.sorted() == expected)
      #expect(gaps.allSatisfy { $0["cause"]?.string == "lost_at_source" }, "\(gaps.map(\.text))")
      let truth = laboratory.truth.frames.filter { !$0.value.wasSent }
      #expect(Set(truth.keys.map(\.number)).isSubset(of: Set(expected)))
      let report = try RunVerification.verify(try laboratory.directory(id))
      #expect(report.isSound, "\(report.findings.map(\.description))")
    }

    @Test("A holder whose cable is pulled and put back while nothing goes on is back without anybody asking for it")
    func replugged() throws {
      let laboratory = try Self.laboratory("unplug: holder, after: 2 s, replug_after: 1 s")
      try laboratory.startDaemon()
      let client = try laboratory.client()
      func isConnected() throws -> Bool? {
        let all = try client.call(.status)["instruments"]?.array ?? []
        return all.first { $0["kind"]?.string == "holder" }?["connected"]?.bool
      }
      _ = try eventually("the beginning") { try isConnected() == true ? true : nil }
      _ = try eventually("the loss") { try isConnected() == false ? true : nil }
      _ = try eventually("the return") { try isConnected() == true ? true : nil }
    }
  }
}
