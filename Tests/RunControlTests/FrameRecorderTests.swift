import FrameIngest
import FrameRing
import Linux
import Pixels
import Quantities
import RunStore
import SQLite
import Testing

@testable import RunControl

@Suite("A preview of a frame")
struct PreviewImageTests {
  @Test("Bins sum their pixels and the brightest bin is white")
  func bins() throws {
    var pixels = [UInt16](repeating: 0, count: 8 * 8)
    for y in 0..<4 { for x in 0..<4 { pixels[y * 8 + x] = 10 } }
    pixels[63] = 40
    let frame = FrameHeader(pixelType: .u16, width: 8, height: 8)
    let preview = try #require(pixels.withUnsafeBytes { PreviewImage(frame, $0, side: 2) })
    #expect(preview.binning == 4)
    #expect(preview.width == 2 && preview.height == 2)
    #expect(preview.pixels == [255, 0, 0, 63])
    #expect(preview.countsPerLevel == 160.0 / 255)
  }

  @Test("Frames of 8 and of 32 bits have a preview as well")
  func otherDepths() throws {
    let narrow: [UInt8] = [255, 0, 51, 0]
    let wide: [UInt32] = [.max, 0, .max / 5, 0]
    let small = narrow.withUnsafeBytes { PreviewImage(FrameHeader(pixelType: .u8, width: 2, height: 2), $0, side: 2) }
    let large = wide.withUnsafeBytes { PreviewImage(FrameHeader(pixelType: .u32, width: 2, height: 2), $0, side: 2) }
    #expect(small?.pixels == [255, 0, 51, 0])
    #expect(large?.pixels == [255, 0, 51, 0])
    let binned = wide.withUnsafeBytes { PreviewImage(FrameHeader(pixelType: .u32, width: 2, height: 2), $0, side: 1) }
    #expect(binned?.countsPerLevel == Double(UInt64(UInt32.max) + UInt64(UInt32.max / 5)) / 255)
  }

  @Test("A frame that does not divide is cut, not padded; a frame of nothing gives nothing")
  func odd() {
    let pixels = [UInt16](repeating: 1, count: 7 * 5)
    let preview = pixels.withUnsafeBytes { PreviewImage(FrameHeader(width: 7, height: 5), $0, side: 3) }
    #expect(preview?.width == 2 && preview?.height == 1)
    #expect(pixels.withUnsafeBytes { PreviewImage(FrameHeader(width: 0, height: 0), $0, side: 3) } == nil)
  }
}
