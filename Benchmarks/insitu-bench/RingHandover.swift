import FrameRing
import Glibc
import Linux
import Pixels
import Quantities

/// Frames from one thread to another: through the ring, through a locked queue, and the bare copy of their bytes.
struct RingHandover {
  static let rounds = 7

  let path: String
  /// Bytes that the writer copies into each frame.
  let bytes: Int
  let slots: Int
  let frames: Int

  func measure() throws(BenchmarkError) -> (ring: Spread, queue: Spread, copy: Spread) {
    var ring: [Double] = []
    var queue: [Double] = []
    var copy: [Double] = []
    // In turns, so that whatever else the machine does meets all three.
    for _ in 0..<Self.rounds {
      ring.append(try throughRing())
      queue.append(throughQueue())
      copy.append(copied())
    }
    return (Spread(ring), Spread(queue), Spread(copy))
  }

  private var header: FrameHeader {
    FrameHeader(pixelType: .u16, width: bytes / 2, height: 1)
  }

  private func throughRing() throws(BenchmarkError) -> Double {
    let ring: FrameRing
    do throws(FrameRingError) {
      ring = try FrameRing.create(path, slots: slots, slotBytes: bytes, isHeralded: false)
    } catch { throw BenchmarkError("\(error)") }
    defer { FileSystem.remove(path) }
    let last = UInt64(frames)
    let reader = NamedThread("bench-reader") {
      var next: UInt64 = 0
      while next < last {
        // Looks without pause, as the writer does: what is measured is the ring, not who wakes whom.
        let published = ring.published
        guard published > next else {
          sched_yield()
          continue
        }
        while next < published {
          unsafe _ = ring.read(next) { header, pixels in unsafe consume(header, pixels) }
          ring.release(through: next)
          next += 1
        }
      }
    }
    let source = AlignedBuffer(count: bytes)
    let began = MonotonicTime.now
    var header = header
    for number in 0..<last {
      while ring.filled == slots { sched_yield() }
      guard let room = unsafe ring.reserve() else { continue }
      unsafe memcpy(room.baseAddress!, source.bytes.baseAddress!, bytes)
      header.frameNumber = number
      ring.publish(header)
    }
    reader.join()
    return (MonotonicTime.now - began).value / Double(frames)
  }

  private func throughQueue() -> Double {
    let queue = LockedQueue(slots: slots, slotBytes: bytes)
    let count = frames
    let reader = NamedThread("bench-reader") {
      for _ in 0..<count { unsafe queue.take { unsafe consume($0, $1) } }
    }
    let source = AlignedBuffer(count: bytes)
    let began = MonotonicTime.now
    var header = header
    for number in 0..<frames {
      let room = unsafe queue.reserve()
      unsafe memcpy(room.baseAddress!, source.bytes.baseAddress!, bytes)
      header.frameNumber = UInt64(number)
      queue.publish(header)
    }
    reader.join()
    return (MonotonicTime.now - began).value / Double(frames)
  }

  private func copied() -> Double {
    let target = AlignedBuffer(count: slots * bytes)
    let source = AlignedBuffer(count: bytes)
    let began = MonotonicTime.now
    for number in 0..<frames {
      unsafe memcpy(target.bytes.baseAddress! + number % slots * bytes, source.bytes.baseAddress!, bytes)
    }
    return (MonotonicTime.now - began).value / Double(frames)
  }
}

/// What every reader does with a frame: looks at its header and at its first pixels.
@inline(never)
private func consume(_ header: FrameHeader, _ pixels: UnsafeRawBufferPointer) {
  precondition(unsafe header.bytes <= pixels.count && pixels.load(as: UInt8.self) <= 1)
}
