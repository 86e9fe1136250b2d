import Linux
import Quantities

/// A disk that takes everything at once and keeps nothing: what the road to the disk can do by itself.
final class BoundlessDisk: FileQueue {
  let limit: Int
  private var done: [FileCompletion] = []

  init(limit: Int) { self.limit = limit }

  func write(_ parts: [UnsafeRawBufferPointer], to file: Int32, at offset: Int64, tag: UInt64) {
    done.append(FileCompletion(tag: tag, result: unsafe parts.byteCount))
  }

  func read(into bytes: UnsafeMutableRawBufferPointer, from file: Int32, at offset: Int64, tag: UInt64) {
    done.append(FileCompletion(tag: tag, result: 0))
  }

  func synchronizeData(of file: Int32, tag: UInt64) { done.append(FileCompletion(tag: tag, result: 0)) }

  func next(atMost span: Seconds) -> FileCompletion? { done.isEmpty ? nil : done.removeFirst() }
}
