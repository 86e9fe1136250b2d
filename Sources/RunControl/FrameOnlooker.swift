import FrameRing
import Linux
import Pixels
import Quantities

/// Looks at the frames of a ring from now on, and holds nobody up. Frames that it is too slow for are left out.
final class FrameOnlooker {
  private let ring: FrameRing
  private let settings: StatisticsSettings
  private var next: UInt64
  /// For frames of writers that compute no statistics; made when the first one comes.
  private lazy var copy = FrameCopy(ring.slotBytes, settings)

  init(_ ring: FrameRing, _ settings: StatisticsSettings) {
    self.ring = ring
    self.settings = settings
    next = ring.published
  }

  /// The next frame, with its statistics; nil when none came in time.
  func frame(atMost span: Seconds) -> FrameHeader? {
    let end = MonotonicTime.now + span
    while ring.waitForPublished(beyond: next, atMost: max(.zero, end - .now)) {
      let published = ring.published
      // Half a ring behind, the next frame may be overwritten under the eyes.
      if published - next > UInt64(ring.slotCount / 2) { next = published - 1 }
      defer { next += 1 }
      guard let frame = ring.peek(next), frame.flags.isDisjoint(with: [.seriesEnd, .repeated]), frame.bytes > 0
      else { continue }
      if frame.statistics != nil { return frame }
      if let measured = copy.measured(next, of: ring) { return measured }
    }
    return nil
  }
}

/// Room for the pixels of one frame, and what measures them.
private final class FrameCopy {
  private let pixels: AlignedBuffer
  private let meter: PixelMeter

  init(_ bytes: Int, _ settings: StatisticsSettings) {
    pixels = AlignedBuffer(count: bytes)
    meter = PixelMeter(largestFrameBytes: bytes, settings)
  }

  func measured(_ sequence: UInt64, of ring: FrameRing) -> FrameHeader? {
    guard var frame = unsafe ring.copy(sequence, into: pixels.bytes), frame.bytes > 0 else { return nil }
    unsafe meter.begin(frame.pixelType, width: frame.width, height: frame.height, in: pixels.bytes)
    meter.take(frame.bytes)
    frame.statistics = meter.finish().statistics
    return frame
  }
}
