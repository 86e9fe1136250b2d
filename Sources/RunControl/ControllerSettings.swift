import BiasProtocol
package import FrameIngest
package import HolderDriver
package import Potentiostat
package import Quantities
import RunStore

/// What the run controller is told of this laboratory: instruments, places and limits.
package struct ControllerSettings: Sendable {
  /// Where runs are kept.
  package var data: String
  /// Where sockets and the frame ring are.
  package var runtime: String
  package var controlEndpoint: String
  package var streamsEndpoint: String
  package var potentiostat: PotentiostatSettings
  package var holder: HolderSettings?
  package var camera: CameraSettings?
  /// Exposure of a frame; shortened where the frame period does not hold it.
  package var exposure: Seconds
  /// Slots of the frame ring.
  package var ringFrames: Int
  /// Largest frame, bytes.
  package var frameBytes: Int
  package var frameWidth: Int
  package var frameHeight: Int
  /// A segment ends before it grows beyond this, bytes.
  package var segmentBytes: Int64
  /// A run is refused, or ended, when less than this would stay free, bytes.
  package var keepFree: Int64
  /// e⁻/Å²/s at the sample; nil when nobody measured it.
  package var doseRate: Double?
  package var software: String

  /// The cameras as protocols are held against them.
  var plannedCameras: [PlannedCamera] {
    guard camera != nil else { return [] }
    return [
      PlannedCamera(
        name: RunCamera.first.name, width: frameWidth, height: frameHeight,
        bytesPerPixel: frameBytes / (frameWidth * frameHeight))
    ]
  }

  /// What no holder that switches contacts means for the cell, in a sentence; nil where there is one.
  package var holderLimitation: String? {
    guard let holder else {
      return
        "no holder is configured: nothing opens the cell when this computer fails, and no zero of the current is read"
    }
    guard !holder.opensContacts else { return nil }
    return
      "the \(holder.model) holder switches nothing: nothing opens the cell when this computer fails, and no zero of the"
      + " current is read"
  }

  package init(
    data: String, runtime: String, controlEndpoint: String, streamsEndpoint: String,
    potentiostat: PotentiostatSettings, holder: HolderSettings?, camera: CameraSettings?, exposure: Seconds,
    ringFrames: Int, frameWidth: Int, frameHeight: Int, segmentBytes: Int64, keepFree: Int64, doseRate: Double?,
    software: String
  ) {
    self.data = data
    self.runtime = runtime
    self.controlEndpoint = controlEndpoint
    self.streamsEndpoint = streamsEndpoint
    self.potentiostat = potentiostat
    self.holder = holder
    self.camera = camera
    self.exposure = exposure
    self.ringFrames = ringFrames
    self.frameWidth = frameWidth
    self.frameHeight = frameHeight
    frameBytes = frameWidth * frameHeight * 2
    self.segmentBytes = segmentBytes
    self.keepFree = keepFree
    self.doseRate = doseRate
    self.software = software
  }
}
