internal import FrameRing
internal import Linux
internal import Quantities

/// The acquisition of the emulated DE-Server: it lets the twin's camera expose, and takes the frames out of its ring,
/// which is where they wait until they are fetched. One thread.
final class DEAcquisition {
  /// Share of the frame period that is exposed.
  private static let duty = 0.96
  private static let mostFrames = 1e12

  private let camera: TwinCamera
  private var ring: FrameRing { camera.ring }
  /// The ring's sequence that is taken next.
  private var cursor: UInt64 = 0
  private var series: UInt64 = 0
  private var total: UInt64 = 0
  private(set) var wantsMovie = false
  private(set) var isRunning = false
  private(set) var rate = 1.0
  private(set) var frames: UInt64 = 0
  /// The newest frame, 16 bit.
  private(set) var picture: [UInt16] = []
  private var pictureTaken = MonotonicTime(nanoseconds: 0)

  init(_ camera: TwinCamera) { self.camera = camera }

  func start(rate: Double, seconds: Double, acquisitions: Int, movie: Bool) throws(TwinCameraError) {
    settle()
    guard !isRunning else { throw TwinCameraError("an acquisition is running") }
    // What nobody fetched is nobody's.
    discard()
    let period = Int64((1e9 / rate).rounded())
    series += 1
    try camera.start(
      TwinCamera.Request(series: series, period_ns: period, exposure_ns: Int64(Double(period) * Self.duty)))
    self.rate = rate
    total = UInt64(max(1, min((seconds * rate).rounded() * Double(max(acquisitions, 1)), Self.mostFrames)))
    (wantsMovie, isRunning, frames) = (movie, true, 0)
    picture = []
  }

  private func discard() {
    let published = ring.published
    if published > cursor { ring.release(through: published - 1) }
    cursor = max(cursor, published)
  }

  func stop() { _ = try? camera.stop() }

  /// Whoever wanted the movie is gone.
  func abandonMovie() { wantsMovie = false }

  /// Takes note of what has happened since; without movie buffers frames are only looked at.
  func settle() {
    if !wantsMovie { while isRunning, cursor < ring.published { skipNext() } }
    noteEnd()
  }

  /// The marker that ends a series is missing when there was no room for it.
  private func noteEnd() {
    let isOver = camera.state.read { $0.request == nil }
    if isOver, cursor == ring.published { isRunning = false }
  }

  enum Look { case frames(Int), finished, nothing }

  /// Waits for `wanted` frames, or for fewer at the end of the acquisition or of `span`.
  func wait(for wanted: Int, atMost span: Seconds) -> Look {
    guard isRunning else { return .finished }
    let end = MonotonicTime.now + span
    var count = 0
    while true {
      while count < wanted, cursor + UInt64(count) < ring.published {
        let header = unsafe ring.read(cursor + UInt64(count)) { header, _ in header }
        guard let header else { break }
        if header.flags.contains(.seriesEnd) || header.frameNumber >= total {
          if count > 0 { return .frames(count) }
          skipNext()
          if !isRunning { return .finished }
          continue
        }
        count += 1
      }
      if count == wanted { return .frames(count) }
      let left = end - .now
      guard left.value > 0, ring.waitForPublished(beyond: cursor + UInt64(count), atMost: left) else {
        noteEnd()
        return count > 0 ? .frames(count) : isRunning ? .nothing : .finished
      }
    }
  }

  /// The number of the k-th frame that waits.
  func number(_ k: Int) -> UInt64? { unsafe ring.read(cursor + UInt64(k)) { header, _ in header.frameNumber } }

  /// The k-th frame that waits, in place.
  func look(_ k: Int, _ body: (FrameHeader, UnsafeRawBufferPointer) -> Void) {
    unsafe _ = ring.read(cursor + UInt64(k), body)
  }

  /// Gives the first `count` slots back.
  func release(_ count: Int) { for _ in 0..<count { skipNext() } }

  private func skipNext() {
    unsafe _ = ring.read(cursor) { header, pixels in
      if header.flags.contains(.seriesEnd) {
        isRunning = isRunning && header.series != series
      } else if header.frameNumber < total {
        frames += 1
        if picture.isEmpty || MonotonicTime.now - pictureTaken > Seconds(0.05) {
          pictureTaken = .now
          picture = unsafe Array(pixels.bindMemory(to: UInt16.self))
        }
        if header.frameNumber + 1 >= total { stop() }
      } else {
        stop()
      }
    }
    ring.release(through: cursor)
    cursor += 1
  }
}
