package import Quantities

/// What goes wrong between a camera and its receiver, by plan; what the camera itself does wrong is in `CameraFaults`.
package struct StreamFaults: Sendable {
  /// Frames that are sent after the one that follows them.
  package var reorder: CameraFaults.Pattern?
  /// Frames that are sent damaged, each behind a message of noise.
  package var damage: CameraFaults.Pattern?
  /// Once: before this frame of the first series the sender is gone for a while; what is exposed meanwhile is lost.
  package var breakOff: (frame: UInt64, span: Seconds)?
  /// The first series is joined in the middle: its first message and so many frames are not sent.
  package var joinAt: UInt64?

  package init() {}
}
