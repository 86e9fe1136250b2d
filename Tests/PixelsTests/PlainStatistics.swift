import Pixels

/// The statistics of frames by their definition, pixel by pixel.
struct PlainStatistics {
  private let settings: StatisticsSettings
  private var reference: [Double]?

  init(_ settings: StatisticsSettings) { self.settings = settings }

  mutating func of(_ pixels: [UInt32], _ width: Int) -> FrameStatistics {
    let height = pixels.count / width
    var statistics = FrameStatistics(
      sum: pixels.reduce(0) { $0 + UInt64($1) }, minimum: pixels.min()!, maximum: pixels.max()!,
      regionCount: settings.regions.count)
    if let level = settings.saturationLevel { statistics.saturated = UInt64(pixels.count { $0 >= level }) }
    func mean(_ columns: Range<Int>, _ rows: Range<Int>) -> Double {
      let values = rows.flatMap { row in columns.map { Double(pixels[row * width + $0]) } }
      return values.reduce(0, +) / Double(values.count)
    }
    for (index, region) in settings.regions.enumerated() {
      let columns = (region.left..<region.left + region.width).clamped(to: 0..<width)
      let rows = (region.top..<region.top + region.height).clamped(to: 0..<height)
      statistics[region: index] = Float(mean(columns, rows))
    }
    let bins = stride(from: 0, to: height, by: 8).flatMap { top in
      stride(from: 0, to: width, by: 8).map { mean($0..<min($0 + 8, width), top..<min(top + 8, height)) }
    }
    if let before = reference {
      let squares = zip(bins, before).map { ($0 - $1) * ($0 - $1) }
      statistics.change = Float((squares.reduce(0, +) / Double(bins.count)).squareRoot())
      reference = zip(bins, before).map { $1 + Double(settings.referenceWeight) * ($0 - $1) }
    } else {
      reference = bins
    }
    return statistics
  }
}

extension FrameStatistics {
  /// Equal but for what single precision makes of means up to `scale`.
  func isClose(to other: FrameStatistics, scale: Float) -> Bool {
    func close(_ a: Float, _ b: Float) -> Bool { a.isNaN && b.isNaN || abs(a - b) <= scale * 1e-6 }
    guard (sum, minimum, maximum, saturated) == (other.sum, other.minimum, other.maximum, other.saturated),
      (change == nil) == (other.change == nil), close(change ?? 0, other.change ?? 0), regionCount == other.regionCount
    else { return false }
    return (0..<regionCount).allSatisfy { close(self[region: $0], other[region: $0]) }
  }
}

/// The bytes of pixels in a byte order.
func wire(_ pixels: [UInt32], _ type: PixelType, isBigEndian: Bool) -> [UInt8] {
  pixels.flatMap { pixel in
    let bytes = (0..<type.bytesPerPixel).map { UInt8(truncatingIfNeeded: pixel >> (8 * $0)) }
    return isBigEndian ? bytes.reversed() : bytes
  }
}

/// Numbers that are the same for the same seed (SplitMix64; Steele, Lea, Flood 2014).
struct Numbers: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
