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
  /// - Parameter tell: what was found and cannot be used, in words.
  /// - Returns: nil where none was left, or none with frames.
  package static func setAside(runtime: String, _ camera: RunCamera, tell: (String) -> Void) -> LeftRing? {
    let path = CameraRing.path(runtime: runtime, camera)
    let aside = path + Self.ending
    if FileSystem.exists(path), let frames = usable(path, tell)?.published {
      if frames == 0 {
        FrameRing.remove(path)
      } else if !FrameRing.move(path, to: aside) {
        tell("the ring of an earlier daemon, \(path), cannot be put aside; its frames are lost")
        FrameRing.remove(path)
      }
    }
    guard FileSystem.exists(aside), let ring = usable(aside, tell) else { return nil }
    guard ring.published > 0 else {
      FrameRing.remove(aside)
      return nil
    }
    return LeftRing(camera: camera, ring: ring)
  }

  private static let ending = ".left"

  /// One that cannot be read, such as another version's, is told of and removed: its memory is needed.
  private static func usable(_ path: String, _ tell: (String) -> Void) -> FrameRing? {
    do throws(FrameRingError) { return try FrameRing.open(path, writable: false) } catch {
      tell("frames that an earlier daemon left cannot be read, and are given up: \(error)")
      FrameRing.remove(path)
      return nil
    }
  }

  /// Rings of this runtime directory that belong to no camera of the configuration.
  package static func strangers(runtime: String, _ cameras: [RunCamera]) -> [String] {
    let first = CameraRing.path(runtime: runtime, .first)
    let known = Set(cameras.map { CameraRing.path(runtime: runtime, $0) }.flatMap { [$0, $0 + ending] })
    let directory = "/dev/shm/"
    let names = (try? FileSystem.list(directory)) ?? []
    return names.map { directory + $0 }.filter { $0.hasPrefix(first) && !known.contains($0) }.sorted()
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
      // The next frame comes into the same memory.
      while session.returned < session.lent { session.reap(waitingAtMost: Seconds(1)) }
    }
    session.close()
    return (written, damaged)
  }
}
