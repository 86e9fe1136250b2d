import Testing

@testable import FrameIngest

@Suite("Compressed pixels")
struct BlockDecoderTests {
  private func decode(_ blob: [UInt8], _ method: BlockDecoder.Method, _ count: Int) throws(DecodeError) -> [UInt8] {
    var decoder = BlockDecoder()
    var output = [UInt8](repeating: 0xEE, count: count)
    var failure: DecodeError?
    output.withUnsafeMutableBytes { output in
      blob.withUnsafeBytes { blob in
        do throws(DecodeError) { try decoder.decodeFramed(blob, method, into: output) } catch { failure = error }
      }
    }
    if let failure { throw failure }
    return output
  }

  @Test("LZ4 framing, vector 2 of camera-streams.md")
  func vector2() throws {
    let blob = bytes(hex: "0000000000000020 00000020 0000000e 4f01020304040004500401020304")
    #expect(try decode(blob, .lz4, 32) == (0..<32).map { UInt8($0 % 4 + 1) })
  }

  @Test("LZ4 framing with stored blocks, vector 3")
  func vector3() throws {
    let blob = bytes(
      hex: "0000000000000014 00000010 00000010 000102030405060708090a0b0c0d0e0f 00000004 10111213")
    #expect(try decode(blob, .lz4, 20) == Array(0..<20))
  }

  @Test("Bit-shuffled LZ4 with leftover elements, vector 4")
  func vector4() throws {
    let blob = bytes(
      hex: "0000000000000028000000100000000d43aaccf000010050000000000000000012f001aaccf0ff"
        + "0000000000000000000000001000110012001300")
    #expect(try decode(blob, .bitShuffledLZ4(elementBytes: 2), 40) == littleEndian((0..<20).map { UInt16($0) }))
  }

  @Test("Bit-shuffled LZ4 with a whole 8192-byte block, vector 5")
  func vector5() throws {
    let blob = bytes(
      hex: "000000000000200a000020000000002c2f01000100ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
        + "ffff06500000000000ffff0000000000000700")
    var pixels = [UInt16](repeating: 0, count: 4101)
    pixels[0] = 1
    pixels[4096] = 0xFFFF
    pixels[4100] = 7
    #expect(try decode(blob, .bitShuffledLZ4(elementBytes: 2), 8202) == littleEndian(pixels))
  }

  @Test("A zeroed header is read as the expected size in blocks of 8192 bytes")
  func zeroedHeader() throws {
    var blob = bytes(
      hex: "000000000000200a000020000000002c2f01000100ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
        + "ffff06500000000000ffff0000000000000700")
    blob.replaceSubrange(..<12, with: [UInt8](repeating: 0, count: 12))
    let output = try decode(blob, .bitShuffledLZ4(elementBytes: 2), 8202)
    #expect(output[0] == 1)
    #expect(output[8200] == 7)
  }

  @Test(
    "Any bytes come back, for each element size and with odd ends", arguments: [1, 2, 4], [512, 5000, 8192, 20001])
  func roundTrip(elementBytes: Int, elements: Int) throws {
    var state = UInt32(elements)
    let original = (0..<elements * elementBytes).map { _ in
      state = state &* 1_664_525 &+ 1_013_904_223
      return UInt8(truncatingIfNeeded: state >> 24)
    }
    let blob = framedBitShuffleLZ4(original, elementBytes: elementBytes)
    #expect(try decode(blob, .bitShuffledLZ4(elementBytes: elementBytes), original.count) == original)
  }

  @Test("Damage is refused, and never written beyond the image")
  func damage() {
    let good = framedBitShuffleLZ4(littleEndian((0..<64).map { UInt16($0) }), elementBytes: 2, blockBytes: 64)
    let method = BlockDecoder.Method.bitShuffledLZ4(elementBytes: 2)
    #expect(throws: Never.self) { try decode(good, method, 128) }
    for count in 0..<good.count { #expect(throws: DecodeError.self) { try decode(Array(good[..<count]), method, 128) } }
    #expect(throws: DecodeError.self) { try decode(good + [0], method, 128) }
    #expect(throws: DecodeError.self) { try decode(good, method, 126) }
    #expect(throws: DecodeError("a bit-shuffle block of 65 bytes for elements of 2")) {
      var odd = good
      odd[11] = 65
      return try decode(odd, method, 128)
    }
    // A block that decompresses to more than its place.
    let bomb = bigEndian(UInt64(32)) + bigEndian(UInt32(32)) + bigEndian(UInt32(5)) + [0x1F, 0, 1, 0, 200]
    #expect(throws: DecodeError("damaged LZ4 block")) { try decode(bomb, .lz4, 32) }
    // Every single damaged byte gives an error or other pixels, not a crash.
    for index in good.indices {
      var damaged = good
      damaged[index] ^= 0x5A
      _ = try? decode(damaged, method, 128)
    }
  }
}
