import ControlProtocol
import JSON
import Linux
import Quantities
import RunStore
import Testing

extension DaemonTests {
  @Suite("Files as other programs see them", .enabled(if: Programs.python != nil, "\(Programs.hasNoPython)"))
  struct Readers {
    @Test("mrcfile opens a segment while it grows, and gives what a memmap gives")
    func growing() throws {
      let laboratory = try Laboratory()
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let id = try laboratory.start(client, "- Charge at 2 pA for 3 s:\n    record: 100 fps")
      let directory = try laboratory.directory(id)
      try laboratory.status(client, "frames") { $0.at("run.frames.written")?.integer ?? 0 > 20 }
      let reader = try laboratory.python(Programs.script("read_growing_segment.py"), directory.frames.pixelsPath(0))
      let shown = try laboratory.ended(client)
      #expect(try reader.waitForExit(within: Seconds(15)) == 0, "\(reader.errors)")
      let counts = try JSONValue(parsing: reader.output)["counts"]?.array?.compactMap(\.integer) ?? []
      #expect(counts == counts.sorted())
      #expect(Set(counts).count > 3, "\(counts)")
      #expect(counts.last == shown.at("frames.written")?.integer)
    }

    @Test("A series of the public SIMPLON simulator is recorded pixel by pixel, and its ledger balances")
    func simplon() throws {
      let frames = 40
      let sender = try Laboratory()
      let series = try sender.python(Programs.script("simplon_series.py"), sender.path, "\(frames)")
      defer { try? write(sender.path + "/done", "") }
      let url = try eventually("the simulator's address") { () -> String? in
        if let code = series.exitCode { throw TestFailure("the simulator ended with \(code): \(series.errors)") }
        return series.output.hasSuffix("\n") ? series.output.filter { !$0.isWhitespace } : nil
      }
      var settings = Laboratory.Settings()
      settings.side = 512
      settings.camera = "{model: simplon, url: \"\(url)\", exposure: 500 us, maximum_latency: 200 ms}"
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let id = try laboratory.start(client, "- Charge at 2 pA for 3 s:\n    record: all")
      try laboratory.status(client, "the step") { $0["state"]?.string == "running" }
      try write(sender.path + "/go", "")
      let shown = try laboratory.ended(client)
      #expect(shown["outcome"]?.string == "complete", "\(shown["reason"]?.text ?? "")")
      #expect(shown.at("ledger.balanced")?.bool == true, "\(shown.at("ledger.reason")?.text ?? "")")
      #expect(shown.at("frames.triggered")?.integer == Int64(frames))
      #expect(shown.at("frames.written")?.integer == Int64(frames))

      let directory = try laboratory.directory(id)
      let segment = try SegmentContents(directory.frames, 0)
      #expect(segment.frames.count == frames)
      let file = try FileSystem.read(directory.frames.pixelsPath(0), limit: 64 << 20)
      for frame in segment.frames {
        let truth = try FileSystem.read("\(sender.path)/\(frame.record.frameNumber).u16")
        let pixels = Array(file[Int(frame.offsetBytes)..<Int(frame.offsetBytes) + truth.count])
        #expect(truth.count == 512 * 512 * 2)
        #expect(pixels == truth, "frame \(frame.record.frameNumber)")
      }
      #expect(Set(segment.frames.map(\.record.frameNumber)) == Set(0..<UInt64(frames)))
      #expect(Set(segment.frames.map(\.record.pixelCRC)).count > 3)
      let report = try RunVerification.verify(directory)
      #expect(report.isSound, "\(report.findings.map(\.description))")
    }
  }
}
