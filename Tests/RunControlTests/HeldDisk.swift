import Linux
import Quantities
import Synchronization

/// A disk that carries out what it is given, and tells of no end as long as it is held.
final class HeldDisk: FileQueue {
  let limit: Int
  private let isHeld: Hold
  private let disk: any FileQueue

  final class Hold: Sendable {
    private let state = Atomic(false)
    var isOn: Bool {
      get { state.load(ordering: .relaxed) }
      set { state.store(newValue, ordering: .relaxed) }
    }
  }

  init(limit: Int, _ isHeld: Hold) {
    self.limit = limit
    self.isHeld = isHeld
    disk = makeFileQueue(limit: limit)
  }

  func write(_ parts: [UnsafeRawBufferPointer], to file: Int32, at offset: Int64, tag: UInt64) {
    disk.write(parts, to: file, at: offset, tag: tag)
  }

  func read(into bytes: UnsafeMutableRawBufferPointer, from file: Int32, at offset: Int64, tag: UInt64) {
    disk.read(into: bytes, from: file, at: offset, tag: tag)
  }

  func synchronizeData(of file: Int32, tag: UInt64) { disk.synchronizeData(of: file, tag: tag) }

  func next(atMost span: Seconds) -> FileCompletion? {
    let end = MonotonicTime.now + span
    while isHeld.isOn {
      guard MonotonicTime.now < end else { return nil }
      sleepThread(for: Seconds(0.001))
    }
    return disk.next(atMost: max(Seconds(0), end - .now))
  }
}
