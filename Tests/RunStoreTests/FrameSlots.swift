import Glibc
import Linux
import Quantities
import RunStore

/// Memory for frames as a ring has it: a slot is written again as soon as the writer has released its frame, so that a writer
/// that still needs it is found out.
final class FrameSlots {
  private final class Slot {
    let memory: AlignedBuffer
    init(_ bytes: Int) { memory = AlignedBuffer(count: bytes) }
  }

  private let writer: SegmentWriter
  private let shape: FrameShape
  private let slots: [Slot]
  private var given: UInt64 = 0
  private var taken: UInt64 = 0
  /// Frames the writer did not take in, or took in and lost.
  private(set) var lost: UInt64 = 0
  private(set) var errors: [SegmentError] = []

  init(_ writer: SegmentWriter, _ shape: FrameShape, slots: Int = 6) {
    self.writer = writer
    self.shape = shape
    self.slots = (0..<slots).map { _ in Slot(shape.bytes) }
  }

  /// Frames in slots that are not released.
  var held: Int { Int(given - taken) }

  /// Hands frame `k` over, after waiting for a slot.
  func write(_ k: Int) {
    reuse()
    while given - taken == UInt64(slots.count) {
      attempt { () throws(SegmentError) in try writer.reap(waitingAtMost: Seconds(1)) }
      reuse()
    }
    let bytes = UnsafeMutableRawBufferPointer(
      rebasing: slots[Int(given % UInt64(slots.count))].memory.bytes[..<shape.bytes])
    bytes.copyBytes(from: pixels(shape, k))
    let time = MonotonicTime(nanoseconds: 1_000_000_000 + Int64(k) * 2_500_000)
    let frame = RecordedFrame(
      frameNumber: UInt64(k), deviceNanoseconds: Int64(k) * 2_500_000, exposureNanoseconds: 2_400_000, arrival: time,
      series: 0, step: 1, shape: shape)
    given += 1
    attempt(refused: 1) { () throws(SegmentError) in
      try writer.append(frame, UnsafeRawBufferPointer(bytes), at: time)
    }
    reuse()
  }

  func flush() {
    attempt { () throws(SegmentError) in try writer.flush() }
    reuse()
  }

  func close() {
    attempt { () throws(SegmentError) in try writer.close() }
    reuse()
  }

  private func attempt(refused: UInt64 = 0, _ body: () throws(SegmentError) -> Void) {
    do throws(SegmentError) { try body() } catch {
      errors.append(error)
      lost += error.lostFrames + refused
    }
  }

  /// What was released is spoilt at once.
  private func reuse() {
    while taken < min(given, writer.framesReleased) {
      let slot = slots[Int(taken % UInt64(slots.count))]
      memset(slot.memory.bytes.baseAddress!, 0xEE, shape.bytes)
      taken += 1
    }
  }
}
