package import FrameIngest
package import Quantities

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

  package var frameBytes: Int { width * height * 2 }
}
