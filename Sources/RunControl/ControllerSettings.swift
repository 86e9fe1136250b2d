package import Alignment
import BiasProtocol
package import HolderDriver
package import Pixels
package import Potentiostat
package import RunStore

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
  /// In the order of the configuration: the first is the one that old clients know.
  package var cameras: [CameraSetup]
  /// A segment ends before it grows beyond this, bytes.
  package var segmentBytes: Int64
  /// A run is refused, or ended, when less than this would stay free, bytes.
  package var keepFree: Int64
  /// What is given up, in this order, when the disk does not keep up or fills.
  package var degradations: [Degradation] = [.everyNth(2), .everyNth(4), .everyNth(8), .previews]
  /// How frames are compressed where a run says nothing of it; nil: not at all.
  package var compression: FrameCompression?
  /// At the specimen, as it is configured; nil when nobody told. A calibration goes before it (`Beam`).
  package var doseRate: DoseRate?
  package var software: String

  /// The cameras as runs know them.
  package var runCameras: [RunCamera] {
    cameras.enumerated().map { RunCamera(id: $0.offset, name: $0.element.name) }
  }

  /// The cameras as protocols are held against them.
  var plannedCameras: [PlannedCamera] {
    cameras.map {
      PlannedCamera(
        name: $0.name, width: $0.width, height: $0.height, bytesPerPixel: $0.frameBytes / ($0.width * $0.height),
        watch: $0.watch)
    }
  }

  /// A run ends when less than this is free, bytes.
  var leastFree: Int64 { degradations.contains(.previews) ? keepFree / 2 : keepFree }

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
    potentiostat: PotentiostatSettings, holder: HolderSettings?, cameras: [CameraSetup], segmentBytes: Int64,
    keepFree: Int64, doseRate: DoseRate?, software: String
  ) {
    self.data = data
    self.runtime = runtime
    self.controlEndpoint = controlEndpoint
    self.streamsEndpoint = streamsEndpoint
    self.potentiostat = potentiostat
    self.holder = holder
    self.cameras = cameras
    self.segmentBytes = segmentBytes
    self.keepFree = keepFree
    self.doseRate = doseRate
    self.software = software
  }
}
