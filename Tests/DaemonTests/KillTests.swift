import ControlProtocol
import Glibc
import JSON
import Linux
import Quantities
import RunStore
import SQLite
import Testing

extension DaemonTests {
  @Suite("A daemon that is killed in the middle of a run")
  struct Killed {
    /// Where in the run the blow falls.
    enum Moment: String, CaseIterable, CustomTestStringConvertible {
      case preparation, burst, between
      var testDescription: String { rawValue }
    }

    /// Samples are committed each 100 ms; 250 ms is what may be lost. The rest is the margin for a busy machine.
    private static let mostLost = Seconds(0.25)
    private static let margin = Seconds(0.2)
    private static let steps = """
      - Rest for 300 ms
      - Charge at 2 pA for 2 s:
          record: 400 fps
      - Rest for 20 s:
          record: off
      """

    @Test("The twin lives on and opens the cell; what was written is found again", arguments: Moment.allCases)
    func recovered(_ moment: Moment) throws {
      var settings = Laboratory.Settings()
      settings.heartbeat = "700 ms"
      let laboratory = try Laboratory(settings)
      let daemon = try laboratory.startDaemon()
      let client = try laboratory.client()
      let twin = try #require(laboratory.twin)
      let id = try laboratory.start(client, Self.steps)
      try reach(moment, laboratory, client)

      let killed = MonotonicTime.now
      daemon.kill()
      #expect(daemon.exitCode == 128 + SIGKILL)
      #expect(Laboratory.isAlive(twin))
      if moment != .preparation {
        // The last beat came before the blow, a little jitter of the twin's loop after.
        let safe = try laboratory.truth.event(after: killed, containing: "SAFE_OPEN cause HEARTBEAT")
        #expect(safe.time - killed < Seconds(0.7 + 0.1), "\(safe.time - killed)")
        let opened = try laboratory.truth.event(after: killed, containing: "contacts open")
        #expect(opened.time - killed < Seconds(0.7 + 0.2), "\(opened.time - killed)")
      }
      let directory = try laboratory.directory(id)
      let records = try Self.records(directory)
      if moment != .preparation { #expect(records.count > 50) }

      try laboratory.startDaemon()
      #expect(laboratory.twin == twin)
      let again = try laboratory.client()
      let shown = try again.call(.runsShow, ["id": .string(id)])
      #expect(shown["outcome"]?.string == "interrupted", "\(shown["reason"]?.text ?? "")")
      let database = try RunDatabase.open(directory, .readOnly).database
      try check(records, against: database)
      if moment != .preparation {
        let newest = try database.rows("SELECT max(arrival_raw_ns) AS t FROM sample").first?.integer("t")
        let lost = killed - MonotonicTime(nanoseconds: try #require(newest))
        #expect(lost < Self.mostLost + Self.margin, "\(lost) of samples are lost")
      }
      let report = try RunVerification.verify(directory)
      #expect(report.isSound, "\(report.findings.map(\.description))")
      let found = try eventually("the event about the holder") { () -> String? in
        try database.rows("SELECT message FROM event WHERE kind = 'holder_found'").first?.text("message")
      }
      #expect(found.contains("contacts open"), "\(found)")
      if moment != .preparation { #expect(found.contains("SAFE_OPEN") && found.contains("HEARTBEAT"), "\(found)") }

      try laboratory.start(again, "- Charge at 2 pA for 500 ms:\n    record: 100 fps", name: "after")
      let after = try laboratory.ended(again)
      #expect(after["name"]?.string == "after")
      #expect(after["outcome"]?.string == "complete", "\(after["reason"]?.text ?? "")")
      #expect(after.at("ledger.balanced")?.bool == true)
    }

    @Test("One that is started again at once, before the heartbeat is out, opens the cell itself")
    func restartedAtOnce() throws {
      var settings = Laboratory.Settings()
      settings.heartbeat = "5 s"
      let laboratory = try Laboratory(settings)
      let daemon = try laboratory.startDaemon()
      let id = try laboratory.start(try laboratory.client(), Self.steps)
      try reach(.burst, laboratory, try laboratory.client())
      let killed = MonotonicTime.now
      daemon.kill()
      try laboratory.startDaemon()
      let opened = try laboratory.truth.event(after: killed, containing: "contacts open")
      let off = try laboratory.truth.event(after: killed, containing: "output off, state HIMP")
      #expect(off.time <= opened.time)
      let shown = try laboratory.client().call(.runsShow, ["id": .string(id)])
      #expect(shown["outcome"]?.string == "interrupted")
      try laboratory.status(try laboratory.client(), "the holder's state") {
        $0.at("holder.state")?.string == "SAFE_OPEN"
      }
    }

    /// Waits for the moment, and a little longer by a fixed seed.
    private func reach(_ moment: Moment, _ laboratory: Laboratory, _ client: ControlClient) throws {
      var seed = UInt64(moment.rawValue.utf8.reduce(7) { $0 &* 31 &+ Int($1) })
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let jitter = Seconds(Double(seed >> 40) / Double(1 << 24) * 0.3)
      switch moment {
      case .preparation: break
      case .burst:
        try laboratory.status(client, "frames of the burst") { $0.at("run.frames.written")?.integer ?? 0 > 100 }
      case .between: try laboratory.status(client, "the last step") { $0.at("run.step_index")?.integer == 2 }
      }
      sleepThread(for: jitter)
    }

    private static func records(_ directory: RunDirectory) throws -> [IndexRecord] {
      try directory.frames.segments().flatMap { try SegmentContents(directory.frames, $0).records.compactMap { $0 } }
    }

    private func check(_ records: [IndexRecord], against database: Database) throws {
      let rows = try database.rows("SELECT id, series, frame_number, pixel_crc32c FROM frame")
      var stored: [Int64: Database.Row] = [:]
      for row in rows { stored[row.integer("id") ?? -1] = row }
      let missing = records.filter { record in
        guard let row = stored[Int64(record.position)] else { return true }
        return row.integer("series") != Int64(record.series) || row.integer("frame_number") != Int64(record.frameNumber)
          || row.integer("pixel_crc32c") != Int64(record.pixelCRC)
      }
      #expect(missing.isEmpty, "\(missing.count) of \(records.count) index records are not in the database")
      #expect(rows.count == records.count)
    }
  }
}
