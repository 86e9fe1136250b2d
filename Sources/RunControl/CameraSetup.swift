package import Alignment
package import FrameIngest
import FrameRing
package import Pixels
package import Quantities
import RunStore

/// What the daemon is told of one camera.
package struct CameraSetup: Sendable {
  /// "camera" where there is only one.
  package var name: String
  package var source: CameraSettings
  /// Exposure of a frame; shortened where the frame period does not hold it.
  package var exposure: Seconds
  /// Largest frame, pixels; its pixels have 16 bit.
  package var width: Int
  package var height: Int
  /// Slots of the camera's ring.
  package var ringFrames: Int
  /// The rate at which the camera goes on while nothing is recorded, so that there is something to look back on; nil: it
  /// rests.
  package var watch: Hertz?
  package var statistics = StatisticsSettings.plain
  /// Counts that an incident electron leaves, in the mean; nil when nobody told.
  package var countsPerElectron: UncertainValue?
  /// Side of a pixel, Å at the specimen; nil when nobody told.
  package var pixelSize: UncertainValue?

  package init(
    name: String = "camera", source: CameraSettings, exposure: Seconds = Seconds(0.0024), width: Int, height: Int,
    ringFrames: Int, watch: Hertz? = nil
  ) {
    self.name = name
    self.source = source
    self.exposure = exposure
    self.width = width
    self.height = height
    self.ringFrames = ringFrames
    self.watch = watch
  }

  /// What turns its counts into electrons at the specimen; nil when something of it is not known.
  package var dosimetry: FrameDosimetry? {
    guard let countsPerElectron, let pixelSize else { return nil }
    return FrameDosimetry(countsPerElectron: countsPerElectron, pixelSize: pixelSize)
  }

  /// Electrons that a frame counted, of all camera frames that were added up in it; nil where that is not known.
  func counted(_ frame: FrameHeader) -> StoredStatistics.Uncertain? {
    guard let dosimetry, let statistics = frame.statistics, frame.width > 0, frame.height > 0 else { return nil }
    let found = dosimetry.electrons(counts: Double(statistics.sum), pixels: frame.width * frame.height)
    return StoredStatistics.Uncertain(found.value, found.uncertainty)
  }

  package var frameBytes: Int { width * height * 2 }
}
