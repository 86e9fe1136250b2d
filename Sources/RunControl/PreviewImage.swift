import FrameRing
import Pixels

/// A frame binned and scaled to 8 bit, for viewers.
struct PreviewImage {
  let width: Int
  let height: Int
  /// Pixels of the frame to a side of a pixel here.
  let binning: Int
  /// Counts (summed over a bin) per grey level; black is 0 counts.
  let countsPerLevel: Double
  let pixels: [UInt8]

  /// - Parameter side: most pixels to a side.
  init?(_ frame: FrameHeader, _ bytes: UnsafeRawBufferPointer, side: Int) {
    guard frame.width > 0, frame.height > 0 else { return nil }
    binning = max(1, (max(frame.width, frame.height) + side - 1) / side)
    width = frame.width / binning
    height = frame.height / binning
    guard width > 0, height > 0 else { return nil }
    let shape = (width, height, binning)

    switch frame.pixelType {
    case .u8: (pixels, countsPerLevel) = unsafe Self.grey(bytes.bindMemory(to: UInt8.self), frame.width, shape)
    case .u16: (pixels, countsPerLevel) = unsafe Self.grey(bytes.bindMemory(to: UInt16.self), frame.width, shape)
    case .u32: (pixels, countsPerLevel) = unsafe Self.grey(bytes.bindMemory(to: UInt32.self), frame.width, shape)
    }
  }

  /// - Parameter columns: of the frame.
  private static func grey<Pixel: FixedWidthInteger & UnsignedInteger>(
    _ source: UnsafeBufferPointer<Pixel>, _ columns: Int, _ shape: (width: Int, height: Int, binning: Int)
  ) -> (pixels: [UInt8], countsPerLevel: Double) {
    let (width, height, binning) = shape
    // 16384² pixels of 32 bits in one bin are below 2⁶⁰; scaled by 255 they need more.
    var sums = [UInt64](repeating: 0, count: width * height)
    for y in 0..<height * binning {
      let row = y * columns
      let target = y / binning * width
      for x in 0..<width {
        var sum: UInt64 = 0
        for k in 0..<binning { sum &+= unsafe UInt64(source[row + x * binning + k]) }
        sums[target + x] &+= sum
      }
    }
    let brightest = max(1, sums.max() ?? 1)
    let pixels = sums.map { UInt8(brightest.dividingFullWidth($0.multipliedFullWidth(by: 255)).quotient) }
    return (pixels, Double(brightest) / 255)
  }
}
