import Glibc

/// A file mapped `MAP_SHARED`; unmapped when the last reference goes.
///
/// The memory is shared between processes: what crosses it needs atomics, see `FrameRing`.
@safe
package final class SharedMapping: @unchecked Sendable {
  package let path: String
  package let bytes: UnsafeMutableRawBufferPointer
  /// Of the file system: on a hugetlbfs, of its pages.
  package let blockBytes: Int

  private init(path: String, bytes: UnsafeMutableRawBufferPointer, blockBytes: Int) {
    self.path = path
    unsafe self.bytes = unsafe bytes
    self.blockBytes = blockBytes
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

  /// Makes the file anew with no memory behind it yet (see `populate`), and maps it for reading and writing.
  /// - Parameters:
  ///   - alignment: of its first byte in memory.
  ///   - roundedToBlocks: the size grows to whole blocks of the file system, as a hugetlbfs wants it.
  package static func create(
    _ path: String, size: Int, alignment: Int = 4096, roundedToBlocks: Bool = false, mode: UInt32 = 0o640
  ) throws(LinuxError) -> SharedMapping {
    let file = try FileDescriptor.open(path, O_RDWR | O_CREAT | O_EXCL, mode: mode)
    do throws(LinuxError) {
      let block = roundedToBlocks ? try file.blockBytes() : 1
      let size = (size + block - 1) / block * block
      try file.truncate(to: Int64(size))
      return try map(file, path, size, PROT_READ | PROT_WRITE, alignment: alignment)
    } catch {
      unsafe _ = unlink(path)
      throw error
    }
  }

  /// Maps an existing file whole.
  package static func open(_ path: String, writable: Bool) throws(LinuxError) -> SharedMapping {
    let file = try FileDescriptor.open(path, writable ? O_RDWR : O_RDONLY)
    let size = Int(try file.size())
    guard size > 0 else { throw LinuxError("mmap", path, number: EINVAL) }
    return try map(file, path, size, writable ? PROT_READ | PROT_WRITE : PROT_READ)
  }

  private static func map(
    _ file: borrowing FileDescriptor, _ path: String, _ size: Int, _ protection: Int32, alignment: Int = 1
  ) throws(LinuxError) -> SharedMapping {
    let block = try file.blockBytes()
    var place: UnsafeMutableRawPointer?
    var flags = MAP_SHARED
    if alignment > block {
      // Room for the file and for what lies before the first aligned address; what is too much is given back.
      let room = size + alignment
      guard let free = unsafe mmap(nil, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
        unsafe free != MAP_FAILED
      else { throw LinuxError("mmap", path) }
      let first = unsafe free.alignedUp(toMultipleOf: alignment)
      let before = unsafe first - free
      let end = (size + block - 1) / block * block
      if before > 0 { unsafe munmap(free, before) }
      if before + end < room { unsafe munmap(first + end, room - before - end) }
      unsafe place = unsafe first
      flags |= MAP_FIXED
    }
    let address = unsafe mmap(place, size, protection, flags, file.number, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else { throw LinuxError("mmap", path) }
    return unsafe SharedMapping(
      path: path, bytes: UnsafeMutableRawBufferPointer(start: address, count: size), blockBytes: block)
  }

  // MARK: The memory behind it

  /// Asks for transparent huge pages; without effect where there are none.
  package func adviseHugePages() { unsafe _ = madvise(bytes.baseAddress!, bytes.count, MADV_HUGEPAGE) }

  /// Gets memory for every page now. Fails instead of ending the process where there is too little; EINVAL from a
  /// kernel before 5.14.
  package func populate() throws(LinuxError) {
    while unsafe madvise(bytes.baseAddress!, bytes.count, MADV_POPULATE_WRITE) != 0 {
      if errno != EINTR && errno != EAGAIN { throw LinuxError("madvise", path) }
    }
  }

  /// Keeps it from being swapped out.
  package func lock() throws(LinuxError) {
    if unsafe mlock(bytes.baseAddress!, bytes.count) != 0 { throw LinuxError("mlock", path) }
  }
}
