import FrameIngest
import FrameRing
import Testing

@Suite("Gap detector")
struct GapDetectorTests {
  private func frame(_ number: UInt64, refusedBefore: UInt64 = 0, unusableBefore: UInt64 = 0) -> FrameHeader {
    FrameHeader(frameNumber: number, series: 7, refusedBefore: refusedBefore, unusableBefore: unusableBefore)
  }

  private func gap(_ first: UInt64, _ last: UInt64, _ frames: UInt64, _ cause: FrameLossCause) -> FrameGap {
    FrameGap(series: 7, first: first, last: last, frames: frames, cause: cause)
  }

  /// The ledger of design §5 holds, whatever came.
  private func isBalanced(_ detector: GapDetector, triggered: UInt64) -> Bool {
    detector.frames + FrameLossCause.allCases.reduce(0) { $0 + detector.missing($1) } == triggered
  }

  @Test("A series without loss has no gaps")
  func whole() {
    var detector = GapDetector(series: 7)
    for number in 0..<10 as Range<UInt64> { #expect(detector.observe(frame(number)) == .new) }
    #expect(detector.finish(triggered: 10) == [])
    #expect(detector.frames == 10)
    #expect(detector.beyondTriggered == 0)
    #expect(isBalanced(detector, triggered: 10))
  }

  @Test("Numbers that never came were lost at the source, at the beginning too")
  func lostAtSource() {
    var detector = GapDetector(series: 7)
    for number in [2, 3, 6] as [UInt64] { #expect(detector.observe(frame(number)) == .new) }
    #expect(detector.finish(triggered: 7) == [gap(0, 1, 2, .lostAtSource), gap(4, 5, 2, .lostAtSource)])
    #expect(isBalanced(detector, triggered: 7))
  }

  @Test("Loss at the end shows by what the camera says it triggered")
  func tail() {
    var detector = GapDetector(series: 7)
    _ = detector.observe(frame(0))
    #expect(detector.finish(triggered: 5) == [gap(1, 4, 4, .lostAtSource)])
    var unknown = GapDetector(series: 7)
    _ = unknown.observe(frame(0))
    #expect(unknown.finish(triggered: nil) == [])
    var nothing = GapDetector(series: 7)
    #expect(nothing.finish(triggered: 3) == [gap(0, 2, 3, .lostAtSource)])
    var silent = GapDetector(series: 7)
    #expect(silent.finish(triggered: nil) == [])
  }

  @Test("Frames the ring refused are told from frames that never came")
  func ringFull() {
    var detector = GapDetector(series: 7)
    _ = detector.observe(frame(0))
    #expect(detector.observe(frame(3, refusedBefore: 2)) == .new)
    #expect(detector.observe(frame(9, refusedBefore: 1, unusableBefore: 2)) == .new)
    #expect(
      detector.gaps == [
        gap(1, 2, 2, .ringFull), gap(4, 8, 2, .lostAtSource), gap(4, 8, 1, .ringFull), gap(4, 8, 2, .unusable),
      ])
    #expect(detector.missing(.ringFull) == 3)
    #expect(isBalanced(detector, triggered: 10))
  }

  @Test("Frames refused after the last one in the ring are explained by the totals of the series")
  func refusedTail() {
    var detector = GapDetector(series: 7)
    _ = detector.observe(frame(0))
    _ = detector.observe(frame(2, refusedBefore: 1))
    let gaps = detector.finish(triggered: 7, refusedByRing: 3, unusable: 1)
    #expect(
      gaps == [gap(1, 1, 1, .ringFull), gap(3, 6, 1, .lostAtSource), gap(3, 6, 2, .ringFull), gap(3, 6, 1, .unusable)])
    #expect(isBalanced(detector, triggered: 7))

    var unsaid = GapDetector(series: 7)
    _ = unsaid.observe(frame(0))
    #expect(unsaid.finish(triggered: nil, refusedByRing: 2) == [gap(1, 2, 2, .ringFull)])
  }

  @Test("A repeated frame is counted apart and moves nothing")
  func repeated() {
    var detector = GapDetector(series: 7)
    for number in [0, 1, 2] as [UInt64] { _ = detector.observe(frame(number)) }
    #expect(detector.observe(frame(2)) == .repeated)
    #expect(detector.observe(frame(0)) == .repeated)
    #expect(detector.observe(frame(3)) == .new)
    #expect(detector.observe(frame(.max)) == .repeated)
    #expect(detector.repeatedFrames == 3)
    #expect(detector.finish(triggered: 4) == [])
    #expect(isBalanced(detector, triggered: 4))
  }

  @Test("A late frame closes its gap, or splits it")
  func late() {
    var detector = GapDetector(series: 7)
    _ = detector.observe(frame(0))
    _ = detector.observe(frame(6))
    #expect(detector.observe(frame(3)) == .late)
    #expect(detector.gaps == [gap(1, 2, 2, .lostAtSource), gap(4, 5, 2, .lostAtSource)])
    #expect(detector.observe(frame(4)) == .late)
    #expect(detector.observe(frame(4)) == .repeated)
    #expect(detector.observe(frame(5)) == .late)
    #expect(detector.observe(frame(1)) == .late)
    #expect(detector.gaps == [gap(2, 2, 1, .lostAtSource)])
    #expect(detector.observe(frame(2)) == .late)
    #expect(detector.gaps == [])
    #expect(detector.lateFrames == 5)
    #expect(isBalanced(detector, triggered: 7))
  }

  @Test("A late frame in a gap of several causes is one that was not lost")
  func lateInMixedGap() {
    var detector = GapDetector(series: 7)
    _ = detector.observe(frame(4, refusedBefore: 2))
    #expect(detector.observe(frame(1)) == .late)
    #expect(detector.gaps == [gap(0, 3, 1, .lostAtSource), gap(0, 3, 2, .ringFull)])
    for number in [0, 2, 3] as [UInt64] { #expect(detector.observe(frame(number)) == .late) }
    #expect(detector.gaps == [])
    #expect(isBalanced(detector, triggered: 5))
  }

  @Test("Refusals noted on a late frame still explain the gap that follows")
  func carriedRefusal() {
    var detector = GapDetector(series: 7)
    _ = detector.observe(frame(0))
    _ = detector.observe(frame(2))
    #expect(detector.observe(frame(1, refusedBefore: 1)) == .late)
    _ = detector.observe(frame(4))
    #expect(detector.gaps == [gap(3, 3, 1, .ringFull)])
  }

  @Test("A camera that sends more than it says it triggered contradicts itself")
  func beyond() {
    var detector = GapDetector(series: 7)
    for number in 0..<5 as Range<UInt64> { _ = detector.observe(frame(number)) }
    #expect(detector.finish(triggered: 3) == [])
    #expect(detector.beyondTriggered == 2)
  }

  @Test("Gaps without end are joined, and no frame is forgotten")
  func limit() {
    var detector = GapDetector(series: 7)
    let frames = UInt64(GapDetector.mostRanges) + 100
    for number in 0..<frames { _ = detector.observe(frame(2 * number + 1)) }
    let gaps = detector.finish(triggered: 2 * frames)
    #expect(gaps.count == GapDetector.mostRanges)
    #expect(gaps.last?.frames == 101)
    #expect(isBalanced(detector, triggered: 2 * frames))
  }

  @Test("Late frames that split gaps made more of them than the limit")
  func splitAtLimit() {
    var detector = GapDetector(series: 7)
    let ranges = UInt64(GapDetector.mostRanges)
    for number in 1...ranges { _ = detector.observe(frame(4 * number - 1)) }
    #expect(detector.observe(frame(1)) == .late)
    #expect(detector.observe(frame(4)) == .late)
    let gaps = detector.finish(triggered: 4 * ranges)
    #expect(gaps.count == GapDetector.mostRanges)
    #expect(gaps.prefix(2) == [gap(0, 2, 2, .lostAtSource), gap(5, 6, 2, .lostAtSource)])
    #expect(isBalanced(detector, triggered: 4 * ranges))
  }

  @Test("frames that came in reverse behind unusable ones left a gap over numbers that are there")
  func reverseBehindUnusable() {
    var detector = GapDetector(series: 1)
    for (number, unusable) in [(0, 0), (8, 4), (7, 0), (6, 0), (5, 0)] as [(UInt64, UInt64)] {
      var frame = FrameHeader(frameNumber: number, series: 1, width: 1, height: 1)
      frame.unusableBefore = unusable
      _ = detector.observe(frame)
    }
    let gaps = detector.finish(triggered: 9, unusable: 4)
    #expect(gaps == [FrameGap(series: 1, first: 1, last: 4, frames: 4, cause: .unusable)])
  }

  @Test("in a range of several causes the ends are missing, whatever came of the middle first")
  func middleFirst() {
    var detector = GapDetector(series: 1)
    for (number, unusable) in [(0, 0), (9, 2), (7, 0), (8, 0)] as [(UInt64, UInt64)] {
      var frame = FrameHeader(frameNumber: number, series: 1, width: 1, height: 1)
      frame.unusableBefore = unusable
      _ = detector.observe(frame)
    }
    let gaps = detector.finish(triggered: 10, unusable: 2)
    #expect(gaps.allSatisfy { $0.first == 1 && $0.last == 6 })
    #expect(gaps.reduce(0) { $0 + $1.frames } == 6)
  }
}
