internal import CFrameRing
import Pixels

/// The statistics of a frame in its slot.
extension frame_ring_slot {
  mutating func put(_ statistics: FrameStatistics) {
    sum = statistics.sum
    saturated = statistics.saturated
    minimum = statistics.minimum
    maximum = statistics.maximum
    change = statistics.change ?? .nan
    region_count = UInt32(statistics.regionCount)
    unsafe withUnsafeMutableBytes(of: &region_means) { means in
      for index in 0..<statistics.regionCount {
        unsafe means.storeBytes(
          of: statistics[region: index], toByteOffset: index * MemoryLayout<Float>.stride, as: Float.self)
      }
    }
    flags |= FRAME_RING_FLAG_STATISTICS
  }

  /// Nil when there are none, or when they say something impossible: another process may have written them.
  var statistics: FrameStatistics? {
    guard flags & FRAME_RING_FLAG_STATISTICS != 0, region_count <= FrameStatistics.mostRegions else { return nil }
    var found = FrameStatistics(
      sum: sum, minimum: minimum, maximum: maximum, saturated: saturated, change: change.isNaN ? nil : change,
      regionCount: Int(region_count))
    unsafe withUnsafeBytes(of: region_means) { means in
      for index in 0..<found.regionCount {
        found[region: index] = unsafe means.load(
          fromByteOffset: index * MemoryLayout<Float>.stride, as: Float.self)
      }
    }
    return found
  }
}
