import HolderDriver
import Testing
import TwinBench

@Suite("Records of the holder under mutation")
struct RecordMutationTests {
  @Test("A record is made of its own number of bytes, and of no other")
  func records() {
    let corpus: [[UInt8]] = [
      (0..<UInt8(MeterRecord.byteCount)).map { $0 }, [UInt8](repeating: 0xFF, count: MeterRecord.byteCount),
      (0..<UInt8(HolderEdge.byteCount)).map { $0 }, [],
    ]
    var taken = 0
    Mutations("OBH-1 records", 50_000, of: corpus).forEach { bytes, _ in
      let record = MeterRecord(bytes[...])
      let edge = HolderEdge(bytes[...])
      #expect((record != nil) == (bytes.count == MeterRecord.byteCount))
      #expect((edge != nil) == (bytes.count == HolderEdge.byteCount))
      if record != nil { taken += 1 }
    }
    #expect(taken > 0)
  }

  @Test("A channel that is read is one that exists, and reads back as itself")
  func channels() {
    var taken = 0
    Mutations("OBH-1 channels", 50_000, of: ["1!2", " 8!9", "4!0,1!1"].map { Array($0.utf8) }).forEach { bytes, _ in
      guard let channel = HolderChannel(String(decoding: bytes, as: UTF8.self)) else { return }
      taken += 1
      #expect(HolderChannel.lines.contains(channel.line) && HolderChannel.taps.contains(channel.tap))
      #expect(HolderChannel(channel.description) == channel)
    }
    #expect(taken > 0)
  }
}
