import CBitshuffle
import CPixels
import Linux
import Pixels
import Testing

// One after the other: the choice of instructions is the process's.
@Suite("Frame compression", .serialized)
struct FrameCompressionTests {
  @Test(
    "Pixels come out as they went in, whatever the shape, the type and the instructions",
    arguments: FrameCompression.allCases, [PixelType.u8, .u16, .u32])
  func roundTrip(method: FrameCompression, type: PixelType) throws {
    defer { useAtMost(2) }
    var compressor = FrameCompressor(method)
    var decompressor = FrameDecompressor()
    for seed in 0..<30 as Range<UInt64> {
      var numbers = Numbers(seed: seed * 3 + UInt64(type.rawValue))
      // Some of several blocks, some of one that is not full, all with pixels that fill no group.
      let pixels = Int.random(in: seed < 6 ? 200_000...300_000 : 1...3000, using: &numbers)
      let bytes = frame(pixels, type, seed, &numbers)
      useAtMost(seed % 3)
      guard let blob = compress(bytes, type, &compressor) else { continue }
      #expect(blob.count < bytes.count)
      useAtMost((seed + 1) % 3)
      let isSame = try decompress(blob, bytes.count, type, method, &decompressor) == bytes
      #expect(isSame, "seed \(seed): \(bytes.count) bytes of pixels, \(blob.count) compressed")
    }
  }

  @Test("What would not be smaller is not compressed", arguments: FrameCompression.allCases)
  func incompressible(method: FrameCompression) {
    var numbers = Numbers(seed: 5)
    var compressor = FrameCompressor(method)
    let noise = (0..<40_000).map { _ in UInt8.random(in: 0...255, using: &numbers) }
    for (bytes, type) in [(noise, PixelType.u8), ([], .u8), ([1, 0], .u16)] {
      let blob = compress(bytes, type, &compressor)
      #expect(blob == nil)
    }
    // Compressible, but there is no room.
    var small = [UInt8](repeating: 0x55, count: 30)
    let zeros = [UInt8](repeating: 0, count: 1 << 20) + (0..<200).map { UInt8($0) }
    let count = small.withUnsafeMutableBytes { room in
      zeros.withUnsafeBytes { compressor.compress($0, .u8, into: UnsafeMutableRawBufferPointer(rebasing: room[..<20])) }
    }
    #expect(count == nil)
    #expect(small[20...].allSatisfy { $0 == 0x55 })
  }

  @Test(
    "Garbage, and blobs with a wrong bit, are refused or give wrong pixels, and nothing else happens",
    arguments: FrameCompression.allCases)
  func garbage(method: FrameCompression) throws {
    var compressor = FrameCompressor(method)
    var decompressor = FrameDecompressor()
    var refused = 0
    for seed in 0..<900 as Range<UInt64> {
      var numbers = Numbers(seed: seed)
      let type = [PixelType.u8, .u16, .u32][Int(seed % 3)]
      let bytes = frame(Int.random(in: 1...1000, using: &numbers), type, 0, &numbers)
      guard var blob = compress(bytes, type, &compressor) else { continue }
      switch seed % 5 {
      case 0: blob = Array(blob.prefix(Int.random(in: 0...blob.count, using: &numbers)))
      case 1: blob.append(contentsOf: [1, 2, 3])
      case 2:
        // The header is kept, so that what is behind it is looked at.
        for index in 16..<max(16, blob.count) { blob[index] = .random(in: 0...255, using: &numbers) }
      default:
        for _ in 0..<Int.random(in: 1...3, using: &numbers) {
          blob[Int.random(in: 0..<blob.count, using: &numbers)] ^= 1 << UInt8.random(in: 0...7, using: &numbers)
        }
      }
      do { _ = try decompress(blob, bytes.count, type, method, &decompressor) } catch { refused += 1 }
    }
    // And it still decompresses.
    #expect(refused > 150)
    var numbers = Numbers(seed: 1)
    let bytes = frame(2000, .u16, 0, &numbers)
    let found = compress(bytes, .u16, &compressor)
    let blob = try #require(found)
    let isSame = try decompress(blob, bytes.count, .u16, method, &decompressor) == bytes
    #expect(isSame)
  }

  @Test("Each way in which a blob can be wrong is named")
  func refusals() throws {
    var decompressor = FrameDecompressor()
    func refusal(_ blob: [UInt8], _ method: FrameCompression = .bsgaps, pixels: Int = 64) -> String? {
      do {
        _ = try decompress(blob, pixels, .u8, method, &decompressor)
        return nil
      } catch { return "\(error)" }
    }
    func head(_ total: UInt8, _ block: UInt8) -> [UInt8] { [0, 0, 0, 0, 0, 0, 0, total, 0, 0, 0, block] }
    #expect(refusal([0, 1, 2]) == "compressed data shorter than its own header")
    #expect(refusal(head(63, 64)) == "compressed data of 63 bytes where the image has 64")
    #expect(refusal(head(64, 0)) == "a bit-shuffle block of 0 bytes for elements of 1")
    #expect(refusal(head(64, 12)) == "a bit-shuffle block of 12 bytes for elements of 1")
    #expect(refusal(head(64, 64) + [0, 0, 0]) == "compressed data ends too early")
    #expect(refusal(head(64, 64) + [0, 0, 0, 9, 0]) == "compressed data ends too early")
    #expect(refusal(head(64, 64) + [0, 0, 0, 1, 0, 7]) == "bytes left over behind the last compressed block")
    #expect(refusal(head(66, 64) + [0, 0, 0, 1, 0, 7], pixels: 66) == "compressed data ends too early")
    for method in FrameCompression.allCases {
      #expect(refusal(head(64, 64) + [0, 0, 0, 2, 0xFF, 0xFF], method)?.hasPrefix("damaged") == true)
    }
    #expect(refusal(head(64, 64) + [0, 0, 0, 2, 0x10, 0], .bslz4)?.isEmpty == false)
  }

  @Test("The gaps of a small block are those that the format's description gives")
  func gapsFormat() throws {
    // Plane 0 has the ones 0 and 5 of 64, plane 1 the first four, plane 2 has all.
    var pixels = [UInt8](repeating: 4, count: 64)
    pixels[0] |= 1
    pixels[5] |= 1
    for index in 0..<4 { pixels[index] |= 2 }
    // Plane 0, parameter 4: the gaps 0, 4 and 58: 1 0000 | 1 0010 | 0001 1010, each zeros, a one, and four bits, least first.
    let plane0: [UInt8] = [4, 0b0010_0001, 0b1010_0001, 0b0000_0010]
    // Plane 1, parameter 3: 0 0 0 0 and 60: 1 000 four times | 0000000 1 001.
    let plane1: [UInt8] = [3, 0b0001_0001, 0b0001_0001, 0b1000_0000, 0b0000_0100]
    // Plane 2, inverted, parameter 40: no zero, and the end after 64: 1, then 64 in 40 bits.
    let plane2: [UInt8] = [0x80 | 40, 0b1000_0001, 0, 0, 0, 0, 0]
    var compressor = FrameCompressor(.bsgaps)
    let found = compress(pixels, .u8, &compressor)
    // 64 bytes of pixels, blocks of 8 · 16448 bytes, 17 bytes for the one that there is; planes 0, 1 and 2 have ones.
    let head: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 64, 0, 2, 2, 0, 0, 0, 0, 17, 0b111]
    #expect(found == head + plane0 + plane1 + plane2)
    var decompressor = FrameDecompressor()
    let back = try decompress(head + plane0 + plane1 + plane2, 64, .u8, .bsgaps, &decompressor)
    #expect(back == pixels)
  }
}

private func useAtMost(_ level: UInt64) {
  cpixels_use_at_most(cpixels_instructions(rawValue: UInt32(level)))
  cbitshuffle_use_at_most(cbitshuffle_instructions(rawValue: UInt32(level)))
}

/// Frames of few electrons, of many, of one value and of noise, in turn.
private func frame(_ pixels: Int, _ type: PixelType, _ seed: UInt64, _ numbers: inout Numbers) -> [UInt8] {
  let size = type.bytesPerPixel
  var bytes = [UInt8](repeating: seed % 6 == 2 || seed % 6 == 3 ? 0xFF : 0, count: pixels * size)
  switch seed % 6 {
  case 0, 3:
    for _ in 0..<pixels / 50 { bytes[Int(numbers.next() % UInt64(pixels)) * size] ^= UInt8(1 + numbers.next() % 3) }
  case 1: for pixel in 0..<pixels { bytes[pixel * size] = UInt8(numbers.next() >> 62) }
  case 4: for index in bytes.indices { bytes[index] = UInt8(numbers.next() >> 60) }
  default: break
  }
  return bytes
}

func compress(_ pixels: [UInt8], _ type: PixelType, _ compressor: inout FrameCompressor) -> [UInt8]? {
  var blob = [UInt8](repeating: 0, count: pixels.count)
  let count = blob.withUnsafeMutableBytes { blob in
    pixels.withUnsafeBytes { compressor.compress($0, type, into: blob) }
  }
  return count.map { Array(blob.prefix($0)) }
}

/// From exactly as many bytes as the blob has, so that the address sanitizer sees what is read beyond them.
func decompress(
  _ blob: [UInt8], _ bytes: Int, _ type: PixelType, _ method: FrameCompression,
  _ decompressor: inout FrameDecompressor
) throws(FrameDecompressionError) -> [UInt8] {
  let source = UnsafeMutableRawBufferPointer.allocate(byteCount: blob.count, alignment: 1)
  let target = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 1)
  defer {
    source.deallocate()
    target.deallocate()
  }
  source.copyBytes(from: blob)
  try decompressor.decompress(UnsafeRawBufferPointer(source), method, type, into: target)
  return Array(target)
}
