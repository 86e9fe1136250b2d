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
  }
}
