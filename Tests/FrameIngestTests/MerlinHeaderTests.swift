import Pixels
import Quantities
import Testing
import TwinBench

@testable import FrameIngest

private func parse(_ bytes: [UInt8]) throws -> MerlinFrameHeader {
  try bytes.withUnsafeBytes { try MerlinFrameHeader($0) }
}

@Suite("Headers of a Merlin")
struct MerlinHeaderTests {
  @Test("The header of one chip: its own UTC stamp counts, not the local time beside it")
  func oneChip() throws {
    let header = try parse(merlinHeader(width: 256, height: 256, type: "U08"))
    #expect(header.sequence == 1 && header.sequenceDigits == 6)
    #expect(header.chips == 1 && header.width == 256 && header.height == 256)
    #expect(header.pixelType == .u8 && header.typeName == "U08")
    // 2020-05-18T14:51:49Z, from date(1).
    #expect(header.startNanoseconds == 1_589_813_509_971_626_178)
    #expect(header.exposureNanoseconds == 555_000 && header.counterDepth == 6)
    // The number before the message counts a comma more than header and pixels (camera-streams.md §3).
    let message = merlinMessage(
      merlinHeader(width: 256, height: 256, type: "U08") + [UInt8](repeating: 0, count: 65536))
    #expect(message.starts(with: "MPX,0000065921,MQ1,000001,00384,".utf8))
    #expect(message.withUnsafeBytes { MerlinPrefix.payloadBytes($0) } == 384 + 65536)
  }

  @Test("The header of four chips with their gap: 514 pixels a side, 768 bytes")
  func fourChips() throws {
    let bytes = merlinHeader(
      width: 514, height: 514, layout: "  2x2G", chips: 4, offset: 768, shutter: "0.001000",
      extended: "MQ1A,2024-06-14T09:31:30.060732344Z,1000000ns,12,")
    #expect(bytes.count == 768)
    #expect(bytes.withUnsafeBytes { MerlinFrameHeader.length($0) } == 768)
    let header = try parse(bytes)
    #expect(header.chips == 4 && header.width == 514 && header.height == 514 && header.pixelType == .u16)
    #expect(header.startNanoseconds == 1_718_357_490_060_732_344)
    #expect(header.exposureNanoseconds == 1_000_000 && header.counterDepth == 12)
    let message = merlinMessage(bytes + [UInt8](repeating: 0, count: 2 * 514 * 514))
    #expect(message.starts(with: "MPX,0000529161,".utf8))
  }

  @Test("Software that writes no MQ1A gives no time, and the exposure in seconds")
  func withoutExtension() throws {
    let header = try parse(merlinHeader(extended: ""))
    #expect(header.startNanoseconds == nil && header.counterDepth == nil)
    #expect(header.exposureNanoseconds == 555_000)
    #expect(try parse(merlinHeader(shutter: "12", extended: "")).exposureNanoseconds == 12_000_000_000)
    #expect(try parse(merlinHeader(shutter: "soon", extended: "")).exposureNanoseconds == 0)
  }

  @Test(
    "Times that are none",
    arguments: [
      "", "2020-05-18", "2020-05-18 14:51:49.9Z", "2020-05-18T14:51:49.971626178", "2020-13-18T14:51:49Z",
      "2020-05-18T24:51:49Z", "1969-05-18T14:51:49Z", "2020-05-18T14:51:49.Z", "2020-05-18T14:51:49.1234567890Z",
      "2020-05-18T14:51:49,5Z", "20x0-05-18T14:51:49Z",
    ])
  func impossibleTimes(text: String) throws {
    #expect(try parse(merlinHeader(extended: "MQ1A,\(text),5ns,6,")).startNanoseconds == nil)
  }

  @Test("Calendar: leap days and ends of years")
  func calendar() throws {
    for (text, seconds) in [
      ("1970-01-01T00:00:00Z", 0), ("2000-02-29T23:59:59Z", 951_868_799), ("2024-02-29T00:00:00Z", 1_709_164_800),
      ("2026-12-31T23:59:59Z", 1_798_761_599), ("2100-03-01T00:00:00Z", 4_107_542_400),
    ] as [(String, Int64)] {
      #expect(try parse(merlinHeader(extended: "MQ1A,\(text),5ns,6,")).startNanoseconds == seconds * 1_000_000_000)
    }
  }

  @Test("What is no header is refused with its cause")
  func refused() {
    let cases: [([UInt8], String)] = [
      (merlinHeader("x"), "a frame without a sequence number"),
      (merlinHeader("1234567890123456789"), "a frame without a sequence number"),
      (merlinHeader(width: 0), "a frame without a usable width and height"),
      (merlinHeader(height: 99999), "a frame without a usable width and height"),
      (merlinHeader(type: "U16xxxxxx"), "a frame without a type"),
      (Array("MQ2,000001,00384,01".utf8), "a frame without MQ1"),
      (Array("MQ1,000001,00384".utf8), "a frame header without its number of chips"),
    ]
    for (bytes, cause) in cases {
      #expect(throws: DecodeError(cause)) { _ = try parse(bytes) }
    }
  }

  @Test("An acquisition header gives its numbers, whatever else stands in it")
  func acquisition() {
    let bytes = Array(merlinAcquisition(frames: 16384).dropFirst(15))
    let header = bytes.withUnsafeBytes { MerlinAcquisitionHeader($0) }
    #expect(header.frames == 16384 && header.framesPerTrigger == 128 && header.counterDepth == 12)
    #expect(header.chipIDs == "W529_F5,-,-,-" && header.softwareVersion == "0.67.0.9")
    #expect([UInt8]().withUnsafeBytes { MerlinAcquisitionHeader($0) }.frames == nil)
  }

  @Test("Sequence numbers of six digits begin anew behind 999 999, or grow")
  func turns() throws {
    var series = MerlinSeries(number: 1, exposure: .init(0.001))
    func number(_ sequence: String) throws -> UInt64? { try series.frameNumber(parse(merlinHeader(sequence))) }
    #expect(try number("999998") == 999_997)
    #expect(try number("999999") == 999_998)
    #expect(try number("000000") == 999_999)
    #expect(try number("000001") == 1_000_000)
    #expect(try number("999999") == 999_998)
    #expect(try number("000002") == 1_000_001)
    var other = MerlinSeries(number: 1, exposure: .init(0.001))
    #expect(try other.frameNumber(parse(merlinHeader("1000000"))) == 999_999)
    #expect(try other.frameNumber(parse(merlinHeader("1000001"))) == 1_000_000)
    var none = MerlinSeries(number: 1, exposure: .init(0.001))
    #expect(try none.frameNumber(parse(merlinHeader("000000"))) == nil)
  }

  @Test("Headers under mutation: refused, or within bounds")
  func mutations() {
    let corpus = [
      merlinHeader(), merlinHeader(extended: ""),
      merlinHeader(width: 514, height: 514, layout: "  2x2G", chips: 4, offset: 768),
      Array(merlinAcquisition().dropFirst(15)), merlinFrame(7),
    ]
    Mutations("merlin headers", 3000, of: corpus).forEach { bytes, _ in
      bytes.withUnsafeBytes { raw in
        if let payload = MerlinPrefix.payloadBytes(raw) { #expect(payload >= 0 && payload < 10_000_000_000) }
        if let length = MerlinFrameHeader.length(raw) { #expect(length >= 24 && length <= MerlinFrameHeader.mostBytes) }
        _ = MerlinAcquisitionHeader(raw)
        guard let header = try? MerlinFrameHeader(raw) else { return }
        #expect((1...65535).contains(header.width) && (1...65535).contains(header.height))
        #expect(header.exposureNanoseconds >= 0 && header.startNanoseconds.map { $0 >= 0 } ?? true)
      }
    }
  }
}
