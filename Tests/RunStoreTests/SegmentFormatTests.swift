import RunStore
import Testing

@Suite("Bytes of a segment")
struct SegmentFormatTests {
  private func word(_ bytes: [UInt8], _ offset: Int) -> Int32 {
    (0..<4).reduce(0) { $0 | Int32(bytes[offset + $1]) << (8 * Int32($1)) }
  }
  private func real(_ bytes: [UInt8], _ offset: Int) -> Float {
    Float(bitPattern: UInt32(bitPattern: word(bytes, offset)))
  }

  @Test("the header of 16-bit frames is MRC2014, byte for byte")
  func header() {
    let bytes = MRCHeader(shape: FrameShape(width: 515, height: 512, bytesPerPixel: 2), frames: 7, note: "run X").bytes
    #expect(bytes.count == 4096)
    #expect([0, 4, 8, 12].map { word(bytes, $0) } == [515, 512, 7, 6])
    #expect([28, 32, 36].map { word(bytes, $0) } == [515, 512, 1])
    #expect([40, 44, 48].map { real(bytes, $0) } == [0, 0, 0])
    #expect([52, 56, 60].map { real(bytes, $0) } == [90, 90, 90])
    #expect([64, 68, 72].map { word(bytes, $0) } == [1, 2, 3])
    let (low, high, mean, rms) = (real(bytes, 76), real(bytes, 80), real(bytes, 84), real(bytes, 216))
    #expect(high < low && mean < high && rms < 0)
    #expect(word(bytes, 88) == 0)
    #expect(word(bytes, 92) == 3072)
    #expect(Array(bytes[104..<108]) == Array("SERI".utf8))
    #expect(word(bytes, 108) == 20140)
    #expect(Array(bytes[208..<216]) == Array("MAP ".utf8) + [0x44, 0x44, 0, 0])
    #expect(word(bytes, 220) == 2)
    #expect(String(decoding: bytes[224..<304].prefix { $0 != 0 }, as: UTF8.self).hasPrefix("insitud <u2 515x512"))
    #expect(bytes[1024...].allSatisfy { $0 == 0 })
  }

  @Test("every pixel width comes back from its header", arguments: [1, 2, 4])
  func shapes(_ width: Int) throws {
    let header = MRCHeader(shape: FrameShape(width: 33, height: 20, bytesPerPixel: width), frames: 3, note: "é sample")
    let read = try MRCHeader(header.bytes)
    #expect(read.shape == header.shape)
    #expect(read.frames == 3)
    #expect(read.note == "?? sample")
    // What any reader computes from the header is the size that is on the file.
    let bytes = header.bytes
    #expect(Int(word(bytes, 0) * word(bytes, 4)) * (word(bytes, 12) == 0 ? 1 : 2) == header.shape.bytes)
  }

  @Test("bytes that are no header are refused with the reason")
  func notHeader() {
    #expect(throws: RunStoreError.self) { try MRCHeader([UInt8](repeating: 0, count: 4096)) }
    #expect(throws: RunStoreError.self) { try MRCHeader([UInt8](repeating: 0, count: 10)) }
  }

  @Test("an index record is 64 bytes, little-endian, and any changed bit is found")
  func record() {
    let record = IndexRecord(
      frameNumber: 0x0102_0304_0506_0708, deviceNanoseconds: -2, arrivalNanoseconds: 3, exposureNanoseconds: 4,
      series: 5, flags: 6, position: 7, step: .max, pixelCRC: 8, ordinal: 9)
    var bytes = [UInt8](repeating: 0, count: 64)
    bytes.withUnsafeMutableBytes { record.write(to: $0) }
    #expect(Array(bytes[0..<8]) == [8, 7, 6, 5, 4, 3, 2, 1])
    #expect(Array(bytes[8..<16]) == [0xFE] + [UInt8](repeating: 0xFF, count: 7))
    #expect([32, 36, 40, 48, 52, 56].map { bytes[$0] } == [5, 6, 7, 0xFF, 8, 9])
    let back = bytes.withUnsafeBytes { IndexRecord($0) }
    #expect(back == record)
    for bit in 0..<512 {
      var changed = bytes
      changed[bit / 8] ^= 1 << UInt8(bit % 8)
      let read = changed.withUnsafeBytes { IndexRecord($0) }
      #expect(read == nil)
    }
    let zeros = [UInt8](repeating: 0, count: 64).withUnsafeBytes { IndexRecord($0) }
    #expect(zeros == nil)
  }
}
