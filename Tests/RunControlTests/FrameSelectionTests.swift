import BiasProtocol
import FrameIngest
import FrameRing
import Pixels
import Quantities
import RunStore
import Testing

@testable import RunControl

@Suite("Which frames are written")
struct FrameSelectionTests {
  /// Frame `number` of a camera at 400 fps.
  private func frame(_ number: UInt64, change: Float? = nil) -> FrameHeader {
    var frame = FrameHeader(
      frameNumber: number, deviceNanoseconds: 7_000 + Int64(number) * 2_500_000,
      arrival: MonotonicTime(nanoseconds: Int64(number) * 2_500_000), width: 2, height: 2)
    frame.statistics = FrameStatistics(sum: 8, minimum: 1, maximum: 3, change: change)
    return frame
  }

  private func kept(_ keep: Recording.Keep, _ numbers: [UInt64]) -> [UInt64] {
    var selector = FrameSelector(keep)
    return numbers.filter { selector.wants(frame($0)) }
  }

  @Test("every 10th is the first of each ten, also where frames are missing or come again")
  func everyNth() {
    #expect(kept(.everyNth(10), Array(0..<35)) == [0, 10, 20, 30])
    #expect(kept(.everyNth(10), Array(5..<35)) == [5, 15, 25])
    #expect(kept(.everyNth(10), [0, 1, 2, 12, 13, 19, 21, 20, 40]) == [0, 12, 21, 40])
  }

  @Test("10 fps of 400 fps is one of forty, whatever was lost; two devices' jitter adds nothing")
  func rate() {
    #expect(kept(.rate(Hertz(10)), Array(0..<121)) == [0, 40, 80, 120])
    #expect(kept(.rate(Hertz(10)), Array(0..<39) + Array(55..<121)) == [0, 55, 80, 120])
    #expect(kept(.rate(Hertz(1000)), Array(0..<10)) == Array(0..<10))
  }

  @Test("a clock that runs back begins the rule anew, and nothing waits for the old one")
  func clockRunsBack() {
    var selector = FrameSelector(.rate(Hertz(10)))
    var wanted: [Bool] = []
    for number in [1_000_000, 0, 1] as [UInt64] { wanted.append(selector.wants(frame(number))) }
    #expect(wanted == [true, true, false])
  }

  @Test("all and none are what they say")
  func allAndNone() {
    #expect(kept(.all, [3, 4]) == [3, 4])
    #expect(kept(.none, [3, 4]).isEmpty)
  }

  @Test("a trigger fires where the threshold is crossed, and stays open for its time")
  func trigger() {
    let condition = FrameTrigger(.change, .above, 0.5, before: Seconds(1), after: Seconds(0.01))
    var watch = TriggerWatch(condition)
    var fired: [UInt64] = []
    var open: [UInt64] = []
    for number in 0..<UInt64(30) {
      let change: Float? = number == 0 ? nil : (10...12).contains(number) || number == 14 ? 0.9 : 0.1
      let (fires, isOpen) = watch.look(at: frame(number, change: change))
      if fires { fired.append(number) }
      if isOpen { open.append(number) }
    }
    #expect(fired == [10, 14])
    #expect(open == Array(10...18))
  }

  @Test("a frame without statistics triggers nothing")
  func noStatistics() {
    var watch = TriggerWatch(FrameTrigger(.mean, .below, 100, before: Seconds(1), after: .zero))
    let bare = watch.look(at: FrameHeader(width: 2, height: 2))
    #expect(bare == (false, false))
    let measured = watch.look(at: frame(1))
    #expect(measured == (true, true))
  }

  private func expectNote(
    _ pressure: inout DiskPressure, _ waiting: Int, taken: Int = 0, at time: MonotonicTime, _ changes: Bool,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let changed = pressure.note(waiting: waiting, taken: max(waiting, taken), of: 100, at: time)
    #expect(changed == changes, sourceLocation: sourceLocation)
  }

  private func expectRelease(
    _ slots: inout RingSlots, upTo wanted: UInt64, returned: UInt64, _ last: UInt64?,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let released = slots.release(upTo: wanted, returned: returned)
    #expect(released == last, sourceLocation: sourceLocation)
  }

  @Test("the disk is given less, step by step, and everything again after a rest")
  func pressure() {
    var pressure = DiskPressure([.everyNth(2), .previews])
    let start = MonotonicTime(nanoseconds: 0)
    expectNote(&pressure, 60, at: start, false)
    #expect(pressure.measure == nil)
    expectNote(&pressure, 80, at: start, true)
    #expect(pressure.measure == .everyNth(2))
    var admitted: [Bool] = []
    for _ in 0..<6 { admitted.append(pressure.admits()) }
    #expect(admitted == [true, false, true, false, true, false])
    // A step down must have time to show.
    expectNote(&pressure, 80, at: start + Seconds(0.1), false)
    expectNote(&pressure, 80, at: start + Seconds(0.6), true)
    #expect(pressure.measure == .previews)
    expectNote(&pressure, 99, at: start + Seconds(2), false)
    expectNote(&pressure, 1, at: start + Seconds(3), false)
    expectNote(&pressure, 1, at: start + Seconds(5.1), true)
    #expect(pressure.measure == .everyNth(2))
    // What comes in between begins the rest anew.
    expectNote(&pressure, 20, at: start + Seconds(6), false)
    expectNote(&pressure, 1, at: start + Seconds(7.2), false)
    expectNote(&pressure, 1, at: start + Seconds(9.3), true)
    #expect(pressure.measure == nil)
    // What is being written counts on the way down, and not on the way up.
    expectNote(&pressure, 1, taken: 76, at: start + Seconds(10), true)
    expectNote(&pressure, 1, taken: 75, at: start + Seconds(11), false)
    expectNote(&pressure, 1, taken: 75, at: start + Seconds(13.1), true)
    #expect(pressure.measure == nil)
  }

  @Test("a disk that is nearly full gets previews where the operator allows them, else nothing")
  func full() {
    var pressure = DiskPressure([.everyNth(2), .previews])
    let becameFull = pressure.note(isFull: true)
    #expect(becameFull)
    #expect(pressure.measure == .previews)
    let gotRoom = pressure.note(isFull: false)
    #expect(gotRoom)
    #expect(pressure.measure == nil)
    var strict = DiskPressure([.everyNth(2)])
    let isStrictlyFull = strict.note(isFull: true)
    #expect(isStrictlyFull)
    #expect(strict.measure == .stop)
  }

  @Test("slots are the camera's when the writer has returned them and all before; looking back takes none away")
  func takenSlots() {
    var slots = RingSlots(count: 8, next: 100)
    for lent in [1, 1, 1, 2, 2, 2] as [UInt64] { slots.take(isWritten: false, wasSeen: true, lentUntil: lent) }
    var found: [UInt64] = []
    for returned in [0, 1, 1, 2] as [UInt64] { found.append(slots.firstTaken(returned: returned)) }
    #expect(found == [100, 103, 103, 106])
    slots.keep(101, lentUntil: 3)
    found = [slots.firstTaken(returned: 2)]
    #expect(found == [106])
  }

  @Test("slots go back in order, when the writer has returned them and nobody is about to read them")
  func slots() {
    var slots = RingSlots(count: 8, next: 100)
    for k in 0..<6 { slots.take(isWritten: k % 2 == 0, wasSeen: true, lentUntil: UInt64(k)) }
    #expect(slots.next == 106)
    expectRelease(&slots, upTo: 103, returned: 1, 101)
    expectRelease(&slots, upTo: 103, returned: 1, nil)
    expectRelease(&slots, upTo: 110, returned: 4, 104)
    slots.keep(105, lentUntil: 9)
    #expect(slots[105].isWritten)
    expectRelease(&slots, upTo: 110, returned: 8, nil)
    slots.holdFrom = 105
    expectRelease(&slots, upTo: 110, returned: 9, nil)
    slots.holdFrom = nil
    expectRelease(&slots, upTo: 110, returned: 9, 105)
  }
}

@Suite("Parts, sums and bins of frames")
struct FrameReductionTests {
  private let frame = FrameHeader(pixelType: .u16, width: 6, height: 4)

  private func apply(_ reduction: FrameReduction, _ frames: [[UInt16]]) -> [UInt32] {
    let shape = reduction.shape(of: frame)!
    let count = shape.width * shape.height
    if reduction.isSum {
      var sums = [UInt32](repeating: 0, count: count)
      for pixels in frames {
        sums.withUnsafeMutableBytes { target in
          pixels.withUnsafeBytes { reduction.apply(frame, $0, to: target) }
        }
      }
      return sums
    }
    var part = [UInt16](repeating: 0, count: count)
    part.withUnsafeMutableBytes { target in frames[0].withUnsafeBytes { reduction.apply(frame, $0, to: target) } }
    return part.map(UInt32.init)
  }

  @Test("a region is cut out of the frame, and clipped to it")
  func region() throws {
    let pixels = (0..<24).map(UInt16.init)
    let inside = FrameReduction(region: PixelRegion(width: 2, height: 2, left: 1, top: 1), average: 1)
    #expect(apply(inside, [pixels]) == [7, 8, 13, 14])
    let beyond = FrameReduction(region: PixelRegion(width: 9, height: 9, left: 4, top: 3), average: 1)
    #expect(apply(beyond, [pixels]) == [22, 23])
    let outside = FrameReduction(region: PixelRegion(width: 2, height: 2, left: 6, top: 0), average: 1)
    #expect(outside.shape(of: frame) == nil)
  }

  @Test("a sum of frames has 32 bit and holds what 16 bit cannot")
  func sum() {
    let reduction = FrameReduction(region: nil, average: 3)
    let full = [UInt16](repeating: .max, count: 24)
    #expect(apply(reduction, [full, full, full]) == [UInt32](repeating: 196_605, count: 24))
    let shape = reduction.shape(of: frame)
    #expect(shape?.type == .u32 && shape?.width == 6)
  }

  @Test("a preview adds bins up; what does not fill a bin is left out")
  func preview() {
    let reduction = FrameReduction(side: 3, of: frame)
    #expect(reduction.binning == 2)
    let pixels = (0..<24).map(UInt16.init)
    #expect(apply(reduction, [pixels]) == [14, 22, 30, 62, 70, 78])
  }

  @Test("sums of 32-bit pixels stay at the largest number")
  func saturates() {
    let wide = FrameHeader(pixelType: .u32, width: 2, height: 1)
    let reduction = FrameReduction(region: nil, average: 2)
    var sums: [UInt32] = [0, 0]
    for pixels in [[UInt32.max - 1, 5], [7, 6]] as [[UInt32]] {
      sums.withUnsafeMutableBytes { target in pixels.withUnsafeBytes { reduction.apply(wide, $0, to: target) } }
    }
    #expect(sums == [.max, 11])
  }
}

@Suite("The account of a series")
struct SeriesAccountTests {
  private let time = MonotonicTime(nanoseconds: 0)

  private func frame(_ number: UInt64, step: UInt32 = 0, refused: UInt64 = 0) -> FrameHeader {
    var frame = FrameHeader(frameNumber: number, series: 3, width: 2, height: 2)
    frame.step = step
    frame.refusedBefore = refused
    return frame
  }

  private func work(_ frame: FrameHeader, _ frames: UInt64 = 1) -> StoredWork {
    StoredWork(
      header: frame, frames: frames, numbers: frame.frameNumber...frame.frameNumber + frames - 1, rule: "sums")
  }

  @Test("what is written, skipped, summed, given up, refused and lost balances, by series and by step")
  func balances() {
    var account = SeriesAccount(camera: 1, series: 3)
    for number in 0..<UInt64(20) where number != 4 {
      let frame = frame(number, step: number < 10 ? 0 : 1, refused: 0)
      let verdict = account.observe(frame)
      #expect(verdict == .new)
      switch number {
      case 0..<6: account.noteWritten(work(frame), rule: "all", at: time)
      case 6..<10: account.noteSkipped(frame, rule: "none", at: time)
      case 10: account.noteWritten(work(frame, 4), rule: "sums of 4", at: time)
      case 11...13: break
      case 14...16: account.noteGivenUp(frame, cause: "disk_behind", rule: "every 2nd", at: time)
      default: account.noteRefused(number...number, frames: 1, step: 1, cause: "disk")
      }
    }
    account.noteKept(frame(7), rule: "kept", at: time)
    account.noteWritten(work(frame(7)), rule: "kept", at: time)
    let (gaps, choices, ledger) = account.settle(
      EndedSeries(series: 3, triggered: 23, refusedByRing: 2, unusable: [:]))
    #expect(ledger.imbalance == nil, "\(ledger.imbalance ?? "")")
    #expect(ledger.received == 21 && ledger.lostAtSource == 2 && ledger.triggered == 23)
    #expect(ledger.written == 7 && ledger.skipped == 3 && ledger.merged == 3)
    #expect(ledger.dropped == ["disk_behind": 3, "disk": 3, "ring_full": 2])
    #expect(ledger.steps.map(\.step) == [0, 1])
    #expect(ledger.steps.filter { !$0.isBalanced }.isEmpty)
    #expect(ledger.steps.map(\.lostAtSource) == [1, 1])
    #expect(choices.reduce(0) { $0 + $1.skipped } == 3)
    #expect(choices.reduce(0) { $0 + $1.merged } == 3)
    #expect(choices.reduce(0) { $0 + $1.dropped } == 3)
    #expect(Set(gaps.map(\.camera)) == [1])
    #expect(gaps.reduce(0) { $0 + $1.frames } == 1 + 3 + 3)
  }

  @Test("a frame that comes late is taken from what was lost")
  func late() {
    var account = SeriesAccount(camera: 0, series: 3)
    for number in [0, 1, 4, 2] as [UInt64] {
      let frame = frame(number)
      _ = account.observe(frame)
      account.noteWritten(work(frame), rule: "all", at: time)
    }
    let ledger = account.settle(EndedSeries(series: 3, triggered: 5, refusedByRing: 0, unusable: [:])).ledger
    #expect(ledger.imbalance == nil, "\(ledger.imbalance ?? "")")
    #expect(ledger.lostAtSource == 1 && ledger.steps[0].lostAtSource == 1)
  }

  @Test("a series that had begun before the run is accounted from its first frame in the run on")
  func partial() throws {
    var account = SeriesAccount(camera: 0, series: 3, from: 100)
    for number in 100..<UInt64(105) {
      let frame = frame(number)
      _ = account.observe(frame)
      account.noteWritten(work(frame), rule: "all", at: time)
    }
    let end = try #require(account.endWithoutWord)
    let (gaps, choices, ledger) = account.settle(end)
    #expect(ledger.imbalance == nil, "\(ledger.imbalance ?? "")")
    #expect(ledger.received == 5 && ledger.triggered == 5 && gaps.isEmpty)
    #expect(choices.map(\.rule) == ["before the run"])
    #expect(choices.map(\.skipped) == [100])
    #expect(SeriesAccount(camera: 0, series: 3).endWithoutWord == nil)
  }

  @Test("settling again brings up what was kept afterwards, and puts no gap down twice")
  func again() {
    var account = SeriesAccount(camera: 0, series: 3)
    for number in [0, 2] as [UInt64] {
      _ = account.observe(frame(number))
      account.noteSkipped(frame(number), rule: "none", at: time)
    }
    let end = EndedSeries(series: 3, triggered: 3, refusedByRing: 0, unusable: [:])
    let first = account.settle(end)
    #expect(first.gaps.count == 1)
    account.noteKept(frame(2), rule: "kept", at: time)
    account.noteWritten(work(frame(2)), rule: "kept", at: time)
    let (gaps, choices, ledger) = account.settle(nil)
    #expect(gaps.isEmpty)
    #expect(choices.map(\.skipped) == [-1])
    #expect(ledger.imbalance == nil && ledger.triggered == 3 && ledger.skipped == 1 && ledger.written == 1)
  }
}
