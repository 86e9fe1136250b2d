import CLinux
import Glibc

/// An open file descriptor; closed when it goes out of scope.
package struct FileDescriptor: ~Copyable, @unchecked Sendable {
  package let number: Int32

  /// Takes over a descriptor that is open.
  package init(owning number: Int32) { self.number = number }

  deinit { if number >= 0 { Glibc.close(number) } }

  /// open(2) with `O_CLOEXEC`.
  /// - Parameter direct: adds `O_DIRECT`.
  package static func open(_ path: String, _ flags: Int32, mode: UInt32 = 0o640, direct: Bool = false)
    throws(LinuxError) -> FileDescriptor
  {
    let all = flags | O_CLOEXEC | (direct ? clinux_o_direct() : 0)
    let number = unsafe Glibc.open(path, all, mode)
    guard number >= 0 else { throw LinuxError("open", path) }
    return FileDescriptor(owning: number)
  }

  /// Closes and reports what close(2) said.
  package consuming func close() throws(LinuxError) {
    let number = self.number
    discard self
    if Glibc.close(number) != 0 { throw LinuxError("close") }
  }

  /// Reads at most `buffer.count` bytes at `offset`; fewer only at the end of the file.
  package borrowing func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(LinuxError) -> Int {
    var done = 0
    while done < buffer.count {
      let n = unsafe pread(number, buffer.baseAddress! + done, buffer.count - done, Int(offset) + done)
      if n < 0 {
        if errno == EINTR { continue }
        throw LinuxError("pread")
      }
      if n == 0 { break }
      done += n
    }
    return done
  }

  /// Writes all of `bytes` at `offset`.
  package borrowing func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(LinuxError) {
    var done = 0
    while done < bytes.count {
      let n = unsafe pwrite(number, bytes.baseAddress! + done, bytes.count - done, Int(offset) + done)
      if n < 0 {
        if errno == EINTR { continue }
        throw LinuxError("pwrite")
      }
      done += n
    }
  }

  package borrowing func synchronizeData() throws(LinuxError) {
    if fdatasync(number) != 0 { throw LinuxError("fdatasync") }
  }

  package borrowing func truncate(to size: Int64) throws(LinuxError) {
    if ftruncate(number, Int(size)) != 0 { throw LinuxError("ftruncate") }
  }

  package borrowing func size() throws(LinuxError) -> Int64 {
    var status = stat()
    if unsafe fstat(number, &status) != 0 { throw LinuxError("fstat") }
    return Int64(status.st_size)
  }

  /// The unit of its file system for reading and writing; of a hugetlbfs, a huge page.
  package borrowing func blockBytes() throws(LinuxError) -> Int {
    var status = stat()
    if unsafe fstat(number, &status) != 0 { throw LinuxError("fstat") }
    return max(1, Int(status.st_blksize))
  }

  /// Sets blocks aside for a file that will grow to `length`; silently not done where the file system cannot.
  package borrowing func reserve(_ length: Int64) { _ = clinux_reserve(number, 0, length) }
}
