import FrameRing
import Glibc
import Linux

/// A path of its own in shared memory, removed with the object.
final class RingFile: Sendable {
  let path: String

  init() {
    let number = UInt64.random(in: 0 ... .max)
    path = "/dev/shm/insitud-ring-test-\(getpid())-\(String(number, radix: 16))"
  }

  deinit { FileSystem.remove(path) }

  /// Overwrites bytes of the file, as a faulty writer would.
  func patch(_ bytes: [UInt8], at offset: Int64) throws {
    let file = try FileDescriptor.open(path, O_RDWR)
    try bytes.withUnsafeBytes { try file.write($0, at: offset) }
  }
}

extension FrameRing {
  /// Publishes a frame of one row in which every pixel is `value`.
  @discardableResult
  func put(_ number: UInt64, filledWith value: UInt16, pixels: Int = 8) -> UInt64? {
    write { header, room in
      header.frameNumber = number
      header.width = pixels
      header.height = 1
      for index in 0..<pixels { room.storeBytes(of: value, toByteOffset: 2 * index, as: UInt16.self) }
      return true
    }
  }
}
