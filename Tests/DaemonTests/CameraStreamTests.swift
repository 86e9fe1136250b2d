import JSON
import Linux
import Quantities
import RunStore
import SQLite
import Testing

extension DaemonTests {
  @Suite("Cameras that stream in a product's own format")
  struct CameraStreams {
    /// Two neighbouring ports that nobody listens at.
    private func freePorts() throws -> (control: UInt16, data: UInt16) {
      for _ in 0..<50 {
        let control = try TCPListener("127.0.0.1:0")
        guard control.port < .max, (try? TCPListener("127.0.0.1:\(control.port + 1)")) != nil else { continue }
        return (control.port, control.port + 1)
      }
      throw TestFailure("no two free ports")
    }

    @Test(
      "A run with frames lost and repeated on the way is complete, and its ledger balances",
      arguments: ["merlin", "array"])
    func run(model: String) throws {
      let ports = try freePorts()
      var settings = Laboratory.Settings()
      settings.side = 128
      let control = model == "merlin" ? #", control: "tcp://127.0.0.1:\#(ports.control)", exposure: 5 ms"# : ""
      settings.camera = #"{model: \#(model), url: "tcp://127.0.0.1:\#(ports.data)", maximum_latency: 50 ms\#(control)}"#
      settings.twinCamera = ["stream: \(model)", #"address: "127.0.0.1:\#(ports.data)""#, "period: 10 ms"]
      settings.faults = ["lose_frames: 2, every: 20", "repeat_frames: 1, every: 30"]
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let id = try laboratory.start(
        client,
        """
        - Record frames at 100 fps
        - Rest for 2 s
        """)
      let shown = try laboratory.ended(client)
      #expect(shown["outcome"]?.string == "complete", "\(shown["reason"]?.text ?? "")")
      #expect(shown.at("ledger.balanced")?.bool == true)
      let written = try #require(shown.at("frames.written")?.integer)
      let lost = try #require(shown.at("frames.lost_at_source")?.integer)
      #expect(shown.at("frames.triggered")?.integer == written + lost)
      // Two in twenty of about 200.
      #expect((100...400).contains(written) && (10...40).contains(lost), "\(written) written, \(lost) lost")
      let report = try RunVerification.verify(try laboratory.directory(id))
      #expect(report.isSound && Int64(report.framesChecked) == written, "\(report.findings.map(\.description))")
    }
  }
}
