import Linux
import Quantities

/// The real disk, which carries everything out; what stands before it says when an end is told.
class DiskBehind: FileQueue {
  let limit: Int
  let disk: any FileQueue

  init(limit: Int) {
    self.limit = limit
    disk = makeFileQueue(limit: limit)
  }

  func write(_ parts: [UnsafeRawBufferPointer], to file: Int32, at offset: Int64, tag: UInt64) {
    disk.write(parts, to: file, at: offset, tag: tag)
  }

  func read(into bytes: UnsafeMutableRawBufferPointer, from file: Int32, at offset: Int64, tag: UInt64) {
    disk.read(into: bytes, from: file, at: offset, tag: tag)
  }

  func synchronizeData(of file: Int32, tag: UInt64) { disk.synchronizeData(of: file, tag: tag) }

  func next(atMost span: Seconds) -> FileCompletion? { disk.next(atMost: span) }
}
