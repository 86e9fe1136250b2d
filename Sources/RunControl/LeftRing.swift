package import FrameRing
import Linux
import Quantities
package import RunStore

/// The ring of a daemon that died. Its memory outlives the process: until the frames are recovered or discarded, until
/// another daemon dies in its turn, or until the computer is restarted.
package struct LeftRing: Sendable {
  package let camera: RunCamera
  package let ring: FrameRing
  /// The oldest sequence that may still be whole.
  private let oldest: UInt64

  /// Puts the ring of a daemon that died aside, so that a new one can be made in its place.
  /// - Returns: nil where none was left, or none with frames; what cannot be used is removed.
  package static func setAside(runtime: String, _ camera: RunCamera) -> LeftRing? {
    let path = CameraRing.path(runtime: runtime, camera)
    let aside = path + ".left"
    if FileSystem.exists(path) {
      if let ring = try? FrameRing.open(path, writable: false), ring.published > 0, FrameRing.move(path, to: aside) {
        // An older one that nobody wanted has gone with it.
      } else {
        FrameRing.remove(path)
      }
    }
    guard let ring = try? FrameRing.open(aside, writable: false), ring.published > 0 else {
      FrameRing.remove(aside)
      return nil
    }
    return LeftRing(camera: camera, ring: ring)
  }

  private init(camera: RunCamera, ring: FrameRing) {
    self.camera = camera
    self.ring = ring
    let published = ring.published
    oldest = published - min(published, UInt64(ring.slotCount))
  }

  package var frames: UInt64 { ring.published - oldest }
  package var bytes: Int64 { FileSystem.size(of: ring.path) ?? 0 }
  var first: FrameHeader? { (oldest..<ring.published).lazy.compactMap { ring.peek($0) }.first }
  var last: FrameHeader? { (oldest..<ring.published).reversed().lazy.compactMap { ring.peek($0) }.first }

  /// Writes every frame that is whole.
  /// - Returns: how many, and how many slots were half written or damaged.
  func write(into session: RecordingSession) -> (written: UInt64, damaged: UInt64) {
    let buffer = AlignedBuffer(count: ring.slotBytes)
    var (written, damaged) = (UInt64(0), UInt64(0))
    for sequence in oldest..<ring.published {
      guard let frame = unsafe ring.copy(sequence, into: buffer.bytes) else {
        damaged += 1
        continue
      }
      guard frame.bytes > 0 else { continue }
      let pixels = unsafe UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer.bytes)[..<frame.bytes])
      if frame.pixelCRC != 0, unsafe crc32c(pixels) != frame.pixelCRC {
        damaged += 1
        continue
      }
      if unsafe session.keep(frame, pixels, wasSeen: false) == .written { written += 1 }
      while session.returned < session.lent, session.isWriting { session.reap(waitingAtMost: Seconds(1)) }
    }
    session.close()
    return (written, damaged)
  }
}
