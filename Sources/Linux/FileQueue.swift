import CLinux
import Glibc
package import Quantities

/// What became of one transfer: the bytes transferred, or minus the error number.
package struct FileCompletion: Equatable, Sendable {
  package var tag: UInt64
  package var result: Int

  package init(tag: UInt64, result: Int) {
    self.tag = tag
    self.result = result
  }
}

/// Transfers to and from files that are begun now and end later, in any order. Used by one thread at a time.
///
/// Memory and descriptor must stay until the completion of the transfer has been taken by `next`. Whoever drops a queue
/// takes everything first.
package protocol FileQueue: AnyObject {
  /// Transfers that may be under way at a time; beginning more is a mistake.
  var limit: Int { get }
  /// - Parameter parts: one behind the other in the file; at most `FileDescriptor.mostParts`.
  func write(_ parts: [UnsafeRawBufferPointer], to file: Int32, at offset: Int64, tag: UInt64)
  func read(into bytes: UnsafeMutableRawBufferPointer, from file: Int32, at offset: Int64, tag: UInt64)
  /// fdatasync(2).
  func synchronizeData(of file: Int32, tag: UInt64)
  /// The next completion, or nil when none came within `span`.
  func next(atMost span: Seconds) -> FileCompletion?
}

/// The best queue this kernel has.
package func makeFileQueue(limit: Int) -> any FileQueue {
  KernelFileQueue(limit: limit) ?? BlockingFileQueue(limit: limit)
}

/// Does each transfer at once, where the kernel has no better (docs/decisions/0011).
package final class BlockingFileQueue: FileQueue {
  package let limit: Int
  private var done: [FileCompletion] = []

  package init(limit: Int) {
    self.limit = limit
    done.reserveCapacity(limit)
  }

  package func write(_ parts: [UnsafeRawBufferPointer], to file: Int32, at offset: Int64, tag: UInt64) {
    finish(tag) { unsafe withVector(parts) { unsafe clinux_write_parts(file, $0, $1, offset) } }
  }

  package func read(into bytes: UnsafeMutableRawBufferPointer, from file: Int32, at offset: Int64, tag: UInt64) {
    finish(tag) { unsafe pread(file, bytes.baseAddress, bytes.count, Int(offset)) }
  }

  package func synchronizeData(of file: Int32, tag: UInt64) { finish(tag) { Int(fdatasync(file)) } }

  package func next(atMost span: Seconds) -> FileCompletion? { done.isEmpty ? nil : done.removeFirst() }

  private func finish(_ tag: UInt64, _ call: () -> Int) {
    precondition(done.count < limit, "more transfers than the queue takes")
    var result: Int
    repeat { result = call() } while result < 0 && errno == EINTR
    done.append(FileCompletion(tag: tag, result: result < 0 ? -Int(errno) : result))
  }
}
