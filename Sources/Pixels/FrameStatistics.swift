/// What was computed of a frame's pixels in the pass that copied them. All in counts; nothing on the heap.
package struct FrameStatistics: Equatable, Sendable {
  package static let mostRegions = 16

  package var sum: UInt64
  package var minimum: UInt32
  package var maximum: UInt32
  /// Pixels at or above the saturation level; 0 without a level.
  package var saturated: UInt64
  /// How far the frame is from a running reference, in counts per pixel; nil where there is none yet.
  ///
  /// The root of the mean, over all bins, of the square of (mean of the bin − its reference). A bin is 8 × 8 pixels from the
  /// frame's upper left corner, fewer at its right and lower edges, and all bins weigh the same. After that the reference of
  /// each bin moves by the reference weight of the difference. The first frame of a series, or of another shape or type,
  /// becomes the reference as it is. Noise of independent pixels is an eighth of what it is in single pixels.
  package var change: Float?
  /// How many of the regions' means are valid.
  package var regionCount: Int
  private var means: InlineArray<16, Float>

  package init(
    sum: UInt64, minimum: UInt32, maximum: UInt32, saturated: UInt64 = 0, change: Float? = nil, regionCount: Int = 0
  ) {
    self.sum = sum
    self.minimum = minimum
    self.maximum = maximum
    self.saturated = saturated
    self.change = change
    precondition((0...Self.mostRegions).contains(regionCount), "more regions than a frame has")
    self.regionCount = regionCount
    means = InlineArray(repeating: .nan)
  }

  /// The mean of a region in the order of the settings; not a number where it has no pixel of the frame.
  package subscript(region index: Int) -> Float {
    get {
      precondition((0..<regionCount).contains(index), "no such region")
      return means[index]
    }
    set {
      precondition((0..<regionCount).contains(index), "no such region")
      means[index] = newValue
    }
  }

  /// Counts per pixel of a frame of so many.
  package func mean(of pixels: Int) -> Double { Double(sum) / Double(pixels) }

  /// Regions without a pixel are equal to each other, although their means are no numbers.
  package static func == (a: FrameStatistics, b: FrameStatistics) -> Bool {
    guard
      (a.sum, a.minimum, a.maximum, a.saturated) == (b.sum, b.minimum, b.maximum, b.saturated), a.change == b.change,
      a.regionCount == b.regionCount
    else { return false }
    return (0..<a.regionCount).allSatisfy { a.means[$0] == b.means[$0] || a.means[$0].isNaN && b.means[$0].isNaN }
  }
}
