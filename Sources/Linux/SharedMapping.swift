import Glibc

/// A file mapped `MAP_SHARED`; unmapped when the last reference goes.
///
/// The memory is shared between processes: what crosses it needs atomics, see `FrameRing`.
@safe
package final class SharedMapping: @unchecked Sendable {
  package let path: String
  package let bytes: UnsafeMutableRawBufferPointer

  private init(path: String, bytes: UnsafeMutableRawBufferPointer) {
    self.path = path
    unsafe self.bytes = unsafe bytes
  }

  deinit { unsafe munmap(bytes.baseAddress!, bytes.count) }

  /// Makes the file anew with `size` bytes of zeros, and maps it for reading and writing.
  package static func create(_ path: String, size: Int, mode: UInt32 = 0o640) throws(LinuxError) -> SharedMapping {
    unsafe _ = unlink(path)
    let file = try FileDescriptor.open(path, O_RDWR | O_CREAT | O_EXCL, mode: mode)
    let failure = posix_fallocate(file.number, 0, off_t(size))
    guard failure == 0 else {
      unsafe _ = unlink(path)
      throw LinuxError("posix_fallocate", path, number: failure)
    }
    return try map(file, path, size, PROT_READ | PROT_WRITE)
  }

  /// Maps an existing file whole.
  package static func open(_ path: String, writable: Bool) throws(LinuxError) -> SharedMapping {
    let file = try FileDescriptor.open(path, writable ? O_RDWR : O_RDONLY)
    let size = Int(try file.size())
    guard size > 0 else { throw LinuxError("mmap", path, number: EINVAL) }
    return try map(file, path, size, writable ? PROT_READ | PROT_WRITE : PROT_READ)
  }

  private static func map(_ file: borrowing FileDescriptor, _ path: String, _ size: Int, _ protection: Int32)
    throws(LinuxError) -> SharedMapping
  {
    let address = unsafe mmap(nil, size, protection, MAP_SHARED, file.number, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else { throw LinuxError("mmap", path) }
    return unsafe SharedMapping(path: path, bytes: UnsafeMutableRawBufferPointer(start: address, count: size))
  }
}
