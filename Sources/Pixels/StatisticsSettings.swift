/// Which statistics of frames are wanted.
package struct StatisticsSettings: Equatable, Sendable {
  /// Pixels at or above it are counted as saturated; nil: none are.
  package let saturationLevel: UInt32?
  package let regions: [PixelRegion]
  /// How much of a frame goes into the running reference, above 0 and at most 1.
  package let referenceWeight: Float

  /// - Parameter regions: at most 16. A frame that is smaller than a region has the mean of what they share.
  package init(
    saturationLevel: UInt32? = nil, regions: [PixelRegion] = [], referenceWeight: Float = 1.0 / 16
  ) throws(StatisticsSettingsError) {
    guard regions.count <= FrameStatistics.mostRegions else { throw .tooManyRegions(regions.count) }
    guard referenceWeight > 0 && referenceWeight <= 1 else { throw .impossibleWeight(referenceWeight) }
    self.saturationLevel = saturationLevel
    self.regions = regions
    self.referenceWeight = referenceWeight
  }

  /// No saturation level, no regions, a reference over some 16 frames.
  package static let plain = StatisticsSettings()

  private init() {
    saturationLevel = nil
    regions = []
    referenceWeight = 1.0 / 16
  }
}

/// Why statistics cannot be had as they were asked for.
package enum StatisticsSettingsError: Error, Equatable, CustomStringConvertible {
  case tooManyRegions(Int)
  case impossibleWeight(Float)

  package var description: String {
    switch self {
    case .tooManyRegions(let count):
      "\(count) regions; a frame has the means of at most \(FrameStatistics.mostRegions)"
    case .impossibleWeight(let weight):
      "a reference weight of \(weight) is not possible; it is above 0 and at most 1"
    }
  }
}
