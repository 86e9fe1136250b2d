import BiasProtocol
import FrameRing
import Glibc
import Linux
import Quantities
import RunStore
import SQLite
import Testing

@testable import RunControl

@Suite("The recorder", .serialized)
struct RecorderTests {
  private func numbers(_ database: RunDatabase) throws -> [Int64] {
    try database.database.rows("SELECT frame_number AS n FROM frame ORDER BY id").compactMap { $0.integer("n") }
  }

  @Test("what a step does not want is skipped and accounted for")
  func thinned() throws {
    let bench = try RecorderBench(Recording(keep: .everyNth(10)))
    bench.recorder.seriesStarted(1)
    try bench.put(0..<95)
    bench.ended(triggered: 95)
    let (database, report, ledgers) = try bench.finish()
    #expect(report.isSound, "\(report.findings)")
    #expect(try numbers(database) == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90])
    #expect(ledgers.map(\.skipped) == [85])
    #expect(ledgers[0].isBalanced)
  }

  @Test("sums end where a frame is missing, and say how many frames are in them")
  func sums() throws {
    let bench = try RecorderBench(Recording(average: 4))
    bench.recorder.seriesStarted(1)
    try bench.put([0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12])
    bench.ended(triggered: 13)
    let (database, report, ledgers) = try bench.finish()
    #expect(report.isSound, "\(report.findings)")
    #expect(try numbers(database) == [0, 4, 8, 12])
    let frames = try database.database.rows("SELECT flags >> 16 AS more, exposure_ns AS e FROM frame ORDER BY id")
    #expect(frames.compactMap { $0.integer("more") } == [3, 1, 3, 0])
    #expect(frames.compactMap { $0.integer("e") } == [9_900_000, 4_900_000, 9_900_000, 2_400_000])
    #expect(ledgers[0].merged == 7 && ledgers[0].lostAtSource == 2 && ledgers[0].isBalanced)
  }

  @Test("the past can be kept once, and the account knows")
  func keeps() throws {
    let bench = try RecorderBench(Recording(keep: .none))
    bench.recorder.seriesStarted(1)
    try bench.put(0..<20)
    try bench.settle()
    #expect(try bench.keep(last: Seconds(60)) == 20)
    #expect(try bench.keep(last: Seconds(60)) == 0)
    try bench.put(20..<24)
    bench.ended(triggered: 24)
    let (database, report, ledgers) = try bench.finish()
    #expect(report.isSound, "\(report.findings)")
    #expect(try numbers(database).count == 20)
    #expect(ledgers[0].written == 20 && ledgers[0].skipped == 4 && ledgers[0].isBalanced)
  }

  @Test("the past is kept after its series has ended, too")
  func keepsEndedSeries() throws {
    let bench = try RecorderBench(Recording(keep: .none))
    bench.recorder.seriesStarted(1)
    try bench.put(0..<10)
    bench.ended(triggered: 10)
    try bench.settle()
    #expect(try bench.keep(last: Seconds(60)) == 10)
    let (_, report, ledgers) = try bench.finish()
    #expect(report.isSound, "\(report.findings)")
    #expect(ledgers[0].written == 10 && ledgers[0].skipped == 0 && ledgers[0].isBalanced)
  }

  @Test("a frame that came again was kept by looking back, and took one from what was skipped")
  func repeatedThenKept() throws {
    let bench = try RecorderBench(.all)
    bench.recorder.seriesStarted(1)
    try bench.put([0, 1, 2])
    try bench.put([1], flags: .repeated)
    try bench.put([3])
    try bench.settle()
    #expect(try bench.keep(last: Seconds(60)) == 0)
    bench.ended(triggered: 4)
    let (database, report, ledgers) = try bench.finish()
    #expect(report.isSound, "\(report.findings)")
    #expect(try numbers(database) == [0, 1, 2, 3])
    #expect(ledgers[0].isBalanced)
  }

  @Test(
    "lost frames at the beginning of a series were booked as skipped, because the first frame came before the news of the series"
  )
  func firstFramesLost() throws {
    for _ in 0..<20 {
      let bench = try RecorderBench(.all)
      try bench.settle()
      bench.recorder.seriesStarted(1)
      try bench.put([3, 4, 5])
      bench.ended(triggered: 6)
      let (_, report, ledgers) = try bench.finish()
      #expect(report.isSound, "\(report.findings)")
      #expect(ledgers[0].lostAtSource == 3 && ledgers[0].skipped == 0 && ledgers[0].triggered == 6)
    }
  }

  @Test("a series that goes on over a pause was settled only once")
  func endsTwice() throws {
    let bench = try RecorderBench(.all)
    bench.recorder.seriesStarted(1)
    try bench.put([0, 1, 2])
    bench.ended(triggered: 3)
    bench.recorder.seriesStarted(1)
    try bench.put([6, 7])
    bench.ended(triggered: 9)
    let (_, report, ledgers) = try bench.finish()
    #expect(report.isSound, "\(report.findings)")
    #expect(ledgers.count == 1 && ledgers[0].triggered == 9 && ledgers[0].lostAtSource == 4 && ledgers[0].isBalanced)
  }

  @Test("a series of which the run had no frame, and whose beginning it did not see, is not the run's")
  func strangeSeries() throws {
    let bench = try RecorderBench(.all)
    bench.ended(7, triggered: 1000)
    bench.recorder.seriesStarted(8)
    try bench.put([0, 1], series: 8)
    bench.ended(8, triggered: 2)
    let (_, report, ledgers) = try bench.finish()
    #expect(report.isSound, "\(report.findings)")
    #expect(ledgers.map(\.series) == [8])
  }

  @Test("slots are given back late, and never too late for the camera")
  func givesBack() throws {
    let bench = try RecorderBench(Recording(keep: .none), slots: 16)
    bench.recorder.seriesStarted(1)
    try bench.put(0..<200)
    try bench.settle()
    #expect(bench.ring.refused == 0 || bench.ring.published == 200)
    #expect(bench.ring.published - bench.ring.consumed <= 8)
    #expect(bench.ring.published - bench.ring.consumed >= 7)
    #expect(try bench.keep(last: Seconds(60)) >= 7)
    bench.ended(triggered: 200, refused: bench.ring.refused)
    _ = try bench.finish()
  }

  @Test(
    "small frames of whole pages that wait to be written together never hold the ring: few of many, or small ones in large slots",
    arguments: [(Recording.Keep.everyNth(50), 64), (.all, 1024)])
  func gathersLittle(keep: Recording.Keep, slotSide: Int) throws {
    let bench = try RecorderBench(
      Recording(keep: keep), slots: 32, side: 64, slotSide: slotSide, degradations: [.everyNth(2)],
      queue: { BlockingFileQueue(limit: $0) })
    bench.recorder.seriesStarted(1)
    #expect(try bench.putInStep(0..<240) == 0)
    bench.ended(triggered: 240)
    let (database, report, ledgers) = try bench.finish()
    #expect(report.isSound, "\(report.findings)")
    #expect(ledgers[0].written == (keep == .all ? 240 : 5) && ledgers[0].totalDropped == 0)
    #expect(try database.database.rows("SELECT 1 FROM event WHERE kind = 'storage_degraded'").isEmpty)
  }

  @Test("while the disk stands still the camera has the whole ring, what is kept for looking back included")
  func wholeRing() throws {
    let hold = HeldDisk.Hold()
    let bench = try RecorderBench(Recording(), slots: 64, side: 64, queue: { HeldDisk(limit: $0, hold) })
    bench.recorder.seriesStarted(1)
    try bench.put(0..<128)
    try bench.settle()
    hold.isOn = true
    defer { hold.isOn = false }
    // As many as may be under way; the recorder has come to them.
    try bench.put(128..<158)
    sleepThread(for: Seconds(0.2))
    // More than the half of the ring that is free for the camera while the recorder keeps up.
    try bench.put(158..<191)
    hold.isOn = false
    bench.ended(triggered: 191)
    let (_, report, ledgers) = try bench.finish()
    #expect(report.isSound, "\(report.findings)")
    #expect(ledgers[0].written == 191 && ledgers[0].totalDropped == 0)
  }

  @Test("a frame that was wanted does not wait for the next one while others come")
  func wantedOnce() throws {
    // Not of whole pages: it is gathered.
    let bench = try RecorderBench(Recording(keep: .everyNth(1_000_000)))
    bench.recorder.seriesStarted(1)
    let end = MonotonicTime.now + Seconds(20)
    var number: UInt64 = 0
    while bench.run.progress.frames.written == 0, MonotonicTime.now < end {
      try bench.put(number...number)
      number += 1
      sleepThread(for: Seconds(0.005))
    }
    #expect(bench.run.progress.frames.written == 1)
    bench.ended(triggered: number)
    let (_, report, ledgers) = try bench.finish()
    #expect(report.isSound && ledgers[0].written == 1 && ledgers[0].skipped == number - 1)
  }

  @Test("nor do those of the past that were kept, while none that comes afterwards is wanted")
  func keepsLittle() throws {
    let bench = try RecorderBench(
      Recording(keep: .none), slots: 32, side: 64, queue: { BlockingFileQueue(limit: $0) })
    bench.recorder.seriesStarted(1)
    try bench.put(0..<12)
    try bench.settle()
    #expect(try bench.keep(last: Seconds(60)) == 12)
    #expect(try bench.putInStep(12..<100) == 0)
    bench.ended(triggered: 100)
    let (_, report, ledgers) = try bench.finish()
    #expect(report.isSound, "\(report.findings)")
    #expect(ledgers[0].written == 12 && ledgers[0].skipped == 88)
  }

  @Test("frames of whole pages that a daemon left are recovered with their pixels")
  func recovers() throws {
    let bench = try RecorderBench(Recording(keep: .none), side: 64)
    let runtime = "/tmp/recorder-tests-\(getpid())"
    let path = CameraRing.path(runtime: runtime, .first)
    defer { for end in ["", ".left"] { FrameRing.remove(path + end) } }
    let ring = try FrameRing.create(path, slots: 32, slotBytes: 64 * 64 * 2)
    for number in UInt64(0)..<20 {
      let sequence = ring.write { frame, room in
        frame.frameNumber = number
        frame.series = 1
        frame.width = 64
        frame.height = 64
        room.bindMemory(to: UInt16.self).update(repeating: UInt16(number))
        return true
      }
      #expect(sequence != nil)
    }
    let left = try #require(LeftRing.setAside(runtime: runtime, .first) { Issue.record("\($0)") })
    let found = left.write(into: bench.session())
    #expect(found.written == 20 && found.damaged == 0)
    let (_, report, _) = try bench.finish()
    #expect(report.framesChecked == 20 && report.isSound, "\(report.findings)")
  }

  @Test("a stored account that says nonsense is told of, and stops nobody")
  func nonsense() {
    var ledger = SeriesLedger(
      series: 1, triggered: 5, received: 5, lostAtSource: 0, written: .max, dropped: ["a": .max, "b": .max])
    ledger.skipped = .max
    ledger.steps = [StepLedger(step: 0, received: .min, written: .max, skipped: .max, dropped: .min)]
    #expect(ledger.imbalance != nil)
    #expect(ledger.difference > 0)
  }
}
