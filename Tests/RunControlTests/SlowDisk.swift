import Linux
import Quantities

/// A disk that takes so many bytes a second and no more, whatever the real one does: the real one carries each write out, and
/// its end is told when this one would be done with it and all before it.
final class SlowDisk: DiskBehind {
  private let bytesPerSecond: Double
  private var isBusyUntil = MonotonicTime(nanoseconds: 0)
  private var due: [UInt64: MonotonicTime] = [:]
  private var done: [FileCompletion] = []

  init(limit: Int, bytesPerSecond: Double) {
    self.bytesPerSecond = bytesPerSecond
    super.init(limit: limit)
  }

  override func write(_ parts: [UnsafeRawBufferPointer], to file: Int32, at offset: Int64, tag: UInt64) {
    isBusyUntil = max(isBusyUntil, .now) + Seconds(Double(parts.byteCount) / bytesPerSecond)
    due[tag] = isBusyUntil
    super.write(parts, to: file, at: offset, tag: tag)
  }

  override func next(atMost span: Seconds) -> FileCompletion? {
    let end = MonotonicTime.now + span
    while true {
      while let completion = disk.next(atMost: Seconds(0)) { done.append(completion) }
      let now = MonotonicTime.now
      if let place = done.firstIndex(where: { (due[$0.tag] ?? now) <= now }) {
        due[done[place].tag] = nil
        return done.remove(at: place)
      }
      guard now < end else { return nil }
      if let first = done.compactMap({ due[$0.tag] }).min() {
        sleepThread(for: min(first, end) - now)
      } else if let completion = disk.next(atMost: end - now) {
        done.append(completion)
      } else {
        return nil
      }
    }
  }
}
