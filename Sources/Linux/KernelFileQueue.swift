import CLinux
import Glibc
package import Quantities

/// Transfers carried out by the kernel beside the caller: io_uring(7).
@safe
package final class KernelFileQueue: FileQueue {
  package let limit: Int
  private let ring: OpaquePointer
  /// What the kernel would not begin was done at once, and waits here to be taken.
  private let refused: BlockingFileQueue
  private var underWay = 0

  /// nil where the kernel has no io_uring with all that is needed (before Linux 5.11), or does not allow it
  /// (`kernel.io_uring_disabled`, a seccomp filter).
  package init?(limit: Int) {
    guard let ring = unsafe clinux_io_ring_open(UInt32(limit)) else { return nil }
    unsafe self.ring = ring
    self.limit = limit
    refused = BlockingFileQueue(limit: limit)
  }

  deinit {
    // The kernel would write from memory that is not there any more.
    while underWay > 0 { _ = next(atMost: Seconds(1)) }
    unsafe clinux_io_ring_close(ring)
  }

  package func write(_ parts: [UnsafeRawBufferPointer], to file: Int32, at offset: Int64, tag: UInt64) {
    begin()
    let failure = unsafe withVector(parts) { unsafe clinux_io_ring_write(ring, file, $0, $1, offset, tag) }
    if failure != 0 { unsafe refused.write(parts, to: file, at: offset, tag: tag) }
  }

  package func read(into bytes: UnsafeMutableRawBufferPointer, from file: Int32, at offset: Int64, tag: UInt64) {
    begin()
    guard let base = bytes.baseAddress,
      unsafe clinux_io_ring_read(ring, file, base, bytes.count, offset, tag) == 0
    else { return unsafe refused.read(into: bytes, from: file, at: offset, tag: tag) }
  }

  package func synchronizeData(of file: Int32, tag: UInt64) {
    begin()
    if unsafe clinux_io_ring_synchronize(ring, file, tag) != 0 { refused.synchronizeData(of: file, tag: tag) }
  }

  package func next(atMost span: Seconds) -> FileCompletion? {
    if let completion = refused.next(atMost: Seconds(0)) {
      underWay -= 1
      return completion
    }
    guard underWay > 0 else { return nil }
    var tag: UInt64 = 0
    var result: Int32 = 0
    guard unsafe clinux_io_ring_next(ring, span.nanoseconds, &tag, &result) == 1 else { return nil }
    underWay -= 1
    return FileCompletion(tag: tag, result: Int(result))
  }

  private func begin() {
    precondition(underWay < limit, "more transfers than the queue takes")
    underWay += 1
  }
}
