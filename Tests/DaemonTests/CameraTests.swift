import ControlProtocol
import JSON
import Linux
import Quantities
import RunStore
import SQLite
import Testing

extension DaemonTests {
  @Suite("Cameras over the network")
  struct Cameras {
    @Test("A run with a Direct Electron camera is complete, with the readings of its dose")
    func directElectron() throws {
      // Free now, and taken by the twin in a moment.
      let address = try TCPListener("127.0.0.1:0").address
      var settings = Laboratory.Settings()
      settings.camera = "{model: de, url: \"tcp://\(address)\", maximum_latency: 100 ms}"
      settings.twinCamera = ["stream: de", "address: \"\(address)\""]
      settings.faults = ["lose_frames: 2, every: 50"]
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let id = try laboratory.start(
        client,
        """
        - Record frames at 100 fps
        - Charge at 2 pA for 2 s
        - Rest for 1 s
        """)
      let shown = try laboratory.ended(client)
      #expect(shown["outcome"]?.string == "complete", "\(shown["reason"]?.text ?? "")")
      #expect(shown.at("ledger.balanced")?.bool == true)
      let written = try #require(shown.at("frames.written")?.integer)
      let lost = try #require(shown.at("frames.lost_at_source")?.integer)
      #expect(written > 200)
      #expect(lost >= 4 && shown.at("frames.triggered")?.integer == written + lost)

      let database = try RunDatabase.open(laboratory.directory(id), .readOnly).database
      let readings = try database.rows(
        "SELECT quantity, value, unit FROM reading WHERE device = 'camera' AND quantity = 'electrons per pixel and frame'"
      )
      #expect(readings.first?.double("value") ?? 0 > 1)
      let clock = try database.rows("SELECT details_json AS d FROM device WHERE kind = 'camera'").first?.text("d")
      #expect(clock?.contains("100.0 frames per second") == true, "\(clock ?? "")")
      let timed = try database.rows("SELECT count(*) AS n FROM frame_value").first?.integer("n")
      #expect(timed == written)
      let report = try RunVerification.verify(try laboratory.directory(id))
      #expect(report.isSound, "\(report.findings.map(\.description))")
    }

    @Test("What a configuration has go wrong with a DE-Server does, and every frame stays accounted for")
    func directElectronFaults() throws {
      let address = try TCPListener("127.0.0.1:0").address
      var settings = Laboratory.Settings()
      settings.camera = "{model: de, url: \"tcp://\(address)\", maximum_latency: 100 ms}"
      settings.twinCamera = ["stream: de", "address: \"\(address)\""]
      settings.faults = ["reorder_frames: 1, every: 7", "damage_frames: 1, every: 10"]
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let id = try laboratory.start(client, "- Rest for 2 s:\n    record: 100 fps")
      let shown = try laboratory.ended(client)
      #expect(shown["outcome"]?.string == "complete", "\(shown["reason"]?.text ?? "")")
      #expect(shown.at("ledger.balanced")?.bool == true)
      // Of each ten movie buffers of four frames one has wrong indices.
      #expect(try #require(shown.at("frames.dropped.unusable")?.integer) >= 4, "\(shown.at("frames")?.text ?? "")")
      let directory = try laboratory.directory(id)
      let report = try RunVerification.verify(directory)
      #expect(report.isSound, "\(report.findings.map(\.description))")
    }

    @Test("A recorded run is recorded again from its files, frame by frame, with its stamps")
    func replay() throws {
      let recorded = try RecordedRun.shared.get()
      var settings = Laboratory.Settings()
      settings.camera = "{model: replay, url: \"file://\(recorded.directory.path)\", rate: recorded}"
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let written = try #require(recorded.shown.at("frames.written")?.integer)
      let id = try laboratory.start(client, "- Record frames at 50 fps\n- Rest for 30 s")
      // The run outlasts its frames.
      try laboratory.status(client, within: Seconds(25), "all frames again") {
        $0.at("run.frames.written")?.integer ?? 0 >= written
      }
      _ = try client.call(.runStop)
      let shown = try laboratory.ended(client)
      #expect(shown.at("ledger.balanced")?.bool == true, "\(shown.at("ledger.reason")?.text ?? "")")
      #expect(shown.at("frames.written")?.integer == written)
      func frames(_ directory: RunDirectory) throws -> [[UInt64]] {
        try SegmentContents(directory.frames, 0).frames.map(\.record).map {
          [$0.frameNumber, UInt64(bitPattern: $0.deviceNanoseconds), UInt64($0.pixelCRC)]
        }
      }
      let again = try frames(laboratory.directory(id))
      #expect(again.count == Int(written))
      let same = try again == frames(recorded.directory)
      #expect(same)
    }
  }
}
