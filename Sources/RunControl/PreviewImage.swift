import FrameRing

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
    guard frame.pixelType == .u16, frame.width > 0, frame.height > 0 else { return nil }
    binning = max(1, (max(frame.width, frame.height) + side - 1) / side)
    width = frame.width / binning
    height = frame.height / binning
    guard width > 0, height > 0 else { return nil }

    var sums = [UInt32](repeating: 0, count: width * height)
    let source = unsafe bytes.bindMemory(to: UInt16.self)
    for y in 0..<height * binning {
      let row = y * frame.width
      let target = y / binning * width
      for x in 0..<width {
        var sum: UInt32 = 0
        for k in 0..<binning { sum &+= unsafe UInt32(source[row + x * binning + k]) }
        sums[target + x] &+= sum
      }
    }
    let brightest = max(1, sums.max() ?? 1)
    countsPerLevel = Double(brightest) / 255
    pixels = sums.map { UInt8(UInt64($0) * 255 / UInt64(brightest)) }
  }
}
