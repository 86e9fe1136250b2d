import FrameRing
import Linux
import Pixels

/// Memory for one reduced frame, lent to the writer until it needs it no more.
final class FrameBuffer {
  let memory: AlignedBuffer
  let count: Int
  /// The writer has let go of it when it has released so many frames.
  var lentUntil: UInt64 = 0

  init(count: Int) {
    memory = AlignedBuffer(count: count)
    self.count = count
  }
}

/// A part of a frame, or a sum of frames, or a frame binned: what is written instead of the frame itself.
struct FrameReduction {
  /// What of each frame; nil: all of it. Clipped to the frame.
  let region: PixelRegion?
  /// Pixels to a side of one here.
  let binning: Int
  /// Frames that are added up, or bins that are: the result has 32 bit.
  let isSum: Bool

  init(region: PixelRegion?, average: Int) {
    self.region = region
    binning = 1
    isSum = average > 1
  }

  /// A preview with at most so many pixels to a side.
  init(side: Int, of frame: FrameHeader) {
    region = nil
    binning = max(1, (max(frame.width, frame.height) + side - 1) / side)
    isSum = true
  }

  /// The shape that a frame comes to; nil where nothing is left of it.
  func shape(of frame: FrameHeader) -> (type: PixelType, width: Int, height: Int)? {
    let columns = columns(frame)
    let rows = rows(frame)
    let (width, height) = (columns.count / binning, rows.count / binning)
    guard width > 0, height > 0 else { return nil }
    return (isSum ? .u32 : frame.pixelType, width, height)
  }

  private func columns(_ frame: FrameHeader) -> Range<Int> {
    guard let region else { return 0..<frame.width }
    return min(region.left, frame.width)..<min(region.left + region.width, frame.width)
  }

  private func rows(_ frame: FrameHeader) -> Range<Int> {
    guard let region else { return 0..<frame.height }
    return min(region.top, frame.height)..<min(region.top + region.height, frame.height)
  }

  /// Copies the part of a frame, or adds it to what is there.
  /// - Parameter target: of `shape` pixels; zeros where a sum begins.
  func apply(_ frame: FrameHeader, _ pixels: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer) {
    let columns = columns(frame)
    let rows = rows(frame)
    guard isSum else {
      let pixel = frame.pixelType.bytesPerPixel
      let length = columns.count * pixel
      for (line, row) in rows.enumerated() {
        let start = (row * frame.width + columns.lowerBound) * pixel
        unsafe UnsafeMutableRawBufferPointer(rebasing: target[(line * length)..<((line + 1) * length)]).copyMemory(
          from: UnsafeRawBufferPointer(rebasing: pixels[start..<start + length]))
      }
      return
    }
    let sums = unsafe target.assumingMemoryBound(to: UInt32.self)
    switch frame.pixelType {
    case .u8: unsafe add(pixels.assumingMemoryBound(to: UInt8.self), frame.width, rows, columns, sums)
    case .u16: unsafe add(pixels.assumingMemoryBound(to: UInt16.self), frame.width, rows, columns, sums)
    case .u32: unsafe add(pixels.assumingMemoryBound(to: UInt32.self), frame.width, rows, columns, sums)
    }
  }

  /// 65 536 frames of 16 bit fit in a sum; those of 32 bit stay at the largest number where they do not.
  private func add<Pixel: FixedWidthInteger & UnsignedInteger>(
    _ source: UnsafeBufferPointer<Pixel>, _ stride: Int, _ rows: Range<Int>, _ columns: Range<Int>,
    _ sums: UnsafeMutableBufferPointer<UInt32>
  ) {
    let width = columns.count / binning
    for line in 0..<(rows.count / binning * binning) {
      // The bounds were those of the frame and of the target; without checks the loops are vectorised.
      let from = unsafe source.baseAddress! + (rows.lowerBound + line) * stride + columns.lowerBound
      let to = unsafe sums.baseAddress! + line / binning * width
      if Pixel.bitWidth == 32 {
        for x in 0..<width * binning {
          let (sum, overflow) = unsafe to[x / binning].addingReportingOverflow(UInt32(truncatingIfNeeded: from[x]))
          unsafe to[x / binning] = overflow ? .max : sum
        }
      } else if binning == 1 {
        for x in 0..<width { unsafe to[x] &+= UInt32(truncatingIfNeeded: from[x]) }
      } else {
        for x in 0..<width * binning { unsafe to[x / binning] &+= UInt32(truncatingIfNeeded: from[x]) }
      }
    }
  }
}
