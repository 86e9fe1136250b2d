import JSON
import Linux
import Quantities
import RunStore
import Testing

extension DaemonTests {
  @Suite("A DECTRIS detector")
  struct Simplon {
    /// A port that was free a moment ago.
    private func freePort() throws -> UInt16 { try TCPListener("127.0.0.1:0").port }

    @Test("The daemon arms a detector over HTTP, and with faults on the way the ledger balances")
    func commanded() throws {
      let port = try freePort()
      var settings = Laboratory.Settings()
      settings.camera =
        "{model: simplon2, url: \"ipc://{runtime}/simplon\", control: \"http://127.0.0.1:\(port)\", exposure: 4 ms, "
        + "maximum_latency: 200 ms}"
      settings.twinCamera = [
        "stream: simplon2", "address: \"ipc://{runtime}/simplon\"", "control: \"127.0.0.1:\(port)\"",
      ]
      settings.faults = [
        "lose_frames: 2, every: 25", "reorder_frames: 1, every: 20", "damage_frames: 1, every: 30",
      ]
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let id = try laboratory.start(client, "- Charge at 2 pA for 3 s:\n    record: 100 fps")
      let shown = try laboratory.ended(client)
      #expect(shown["outcome"]?.string == "complete", "\(shown["reason"]?.text ?? "")")
      #expect(shown.at("ledger.balanced")?.bool == true, "\(shown.at("ledger.reason")?.text ?? "")")
      let triggered = shown.at("frames.triggered")?.integer ?? 0
      let written = shown.at("frames.written")?.integer ?? 0
      #expect(triggered > 200, "\(shown.text)")
      #expect(written < triggered && written > triggered * 3 / 4, "\(shown.text)")
      let directory = try laboratory.directory(id)
      let report = try RunVerification.verify(directory)
      #expect(report.isSound, "\(report.findings.map(\.description))")
      let numbers = try SegmentContents(directory.frames, 0).frames.map(\.record.frameNumber)
      // Reordered frames are kept in the order in which they came.
      #expect(numbers != numbers.sorted())
      #expect(Set(numbers).count == Int(written))
    }
  }
}
