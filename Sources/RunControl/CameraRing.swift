package import FrameRing
import Linux
package import RunStore

/// The ring that one camera's frames come through.
package struct CameraRing: Sendable {
  package let camera: RunCamera
  package let ring: FrameRing

  package init(_ camera: RunCamera, _ ring: FrameRing) {
    self.camera = camera
    self.ring = ring
  }

  /// Where the ring of a camera is: in memory, not on a disk; found by its path when its daemon is gone.
  package static func path(runtime: String, _ camera: RunCamera) -> String {
    let place = "/dev/shm/insitud-" + runtime.split(separator: "/").joined(separator: "-") + "-ring"
    return camera.id == 0 ? place : "\(place)-\(camera.name)"
  }
}
