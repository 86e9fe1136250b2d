import BiasProtocol
import FrameRing
import Linux
import Quantities
import RunStore
import SQLite
import Testing

@testable import RunControl

@Suite("A disk that is slower than the camera", .serialized)
struct SlowDiskTests {
  private static let level: UInt16 = 3
  private static let side = 512
  private static let slots = 64
  private static let patience = Seconds(60)

  /// A recorder of frames of 512 kB; on a disk that takes a hundred of them a second, or on the real one.
  private func recorder(_ degradations: [Degradation], steps: Int = 1, isReal: Bool = false) throws -> RecorderBench {
    let slow: @Sendable (Int) -> any FileQueue = { SlowDisk(limit: $0, bytesPerSecond: 50e6) }
    return try RecorderBench(
      .all, slots: Self.slots, side: Self.side, steps: steps, degradations: degradations, level: Self.level,
      segmentBytes: 256 << 20, queue: isReal ? nil : slow)
  }

  /// Puts frames into the ring as fast as it takes them, which is some microseconds for each, until something has come about.
  private func flood(_ bench: RecorderBench, _ next: inout UInt64, until isReached: () throws -> Bool) throws {
    let end = MonotonicTime.now + Self.patience
    while try !isReached() {
      guard MonotonicTime.now < end else { throw RecorderBench.Failure(reason: "it does not come about") }
      try bench.put(next..<next + 16)
      next += 16
    }
  }

  private func changes(_ bench: RecorderBench) throws -> [String] {
    try bench.rows("SELECT message FROM event WHERE kind = 'storage_degraded' ORDER BY id").compactMap {
      $0.text("message")
    }
  }

  // MARK: What the run says of its frames

  private enum Fate: Hashable { case row, gap, choice }

  /// Frame by frame, what rows, gaps and choices of a series say. Whatever is said twice, or not at all, is an issue.
  private func fates(_ database: RunDatabase, _ ledger: SeriesLedger) throws -> [UInt64: Fate] {
    let place = "WHERE series = \(ledger.series)"
    var fates: [UInt64: Fate] = [:]
    var twice: [UInt64] = []
    func note(_ number: UInt64, _ fate: Fate) {
      if fates.updateValue(fate, forKey: number) != nil { twice.append(number) }
    }
    for row in try database.database.rows("SELECT frame_number AS n FROM frame \(place)") { note(row.count("n"), .row) }
    for row in try database.database.rows("SELECT first_frame AS a, last_frame AS b, frames AS n FROM gap \(place)") {
      #expect(row.count("n") == row.count("b") - row.count("a") + 1)
      for number in row.count("a")...row.count("b") { note(number, .gap) }
    }
    #expect(twice.isEmpty, "\(twice.prefix(10)) are in the file and in a gap, or in two gaps")
    var free: UInt64 = 0
    for choice in try choices(database, ledger.series) {
      #expect(choice.first >= free, "choices overlap at \(choice.first)")
      free = choice.last + 1
      let absent = (choice.first...choice.last).filter { fates[$0] == nil }
      #expect(choice.skipped == 0 && choice.merged == 0)
      #expect(Int64(absent.count) == choice.dropped, "\(choice)")
      for number in absent { fates[number] = .choice }
    }
    let triggered = try #require(ledger.triggered)
    #expect(fates.count == Int(triggered), "\(fates.count) of \(triggered) frames are told of")
    #expect(fates.keys.max() == triggered - 1)
    let counts = fates.values.reduce(into: [Fate: UInt64]()) { $0[$1, default: 0] += 1 }
    #expect(counts[.row, default: 0] == ledger.written)
    #expect(counts[.choice, default: 0] == ledger.dropped[SeriesLedger.behindCause] ?? 0)
    return fates
  }

  private func choices(_ database: RunDatabase, _ series: UInt64) throws -> [ChoiceRecord] {
    try database.database.rows("SELECT * FROM choice WHERE series = \(series) ORDER BY first_frame").map {
      ChoiceRecord(
        camera: 0, series: series, first: $0.count("first_frame"), last: $0.count("last_frame"),
        skipped: $0.integer("skipped") ?? -1, merged: $0.integer("merged") ?? -1, dropped: $0.integer("dropped") ?? -1,
        rule: $0.text("rule") ?? "")
    }
  }

  private func expectBalance(_ ledger: SeriesLedger, _ steps: [UInt32]) {
    #expect(ledger.imbalance == nil)
    #expect(ledger.lostAtSource == 0 && ledger.skipped == 0 && ledger.merged == 0)
    #expect(ledger.steps.map(\.step) == steps)
    #expect(ledger.steps.allSatisfy { $0.isBalanced && $0.lostAtSource == 0 })
    #expect(ledger.steps.reduce(0) { $0 + $1.written } == Int64(ledger.written))
    #expect(ledger.steps.reduce(0) { $0 + $1.dropped } == Int64(ledger.totalDropped))
  }

  /// What was chosen is what was done: between written frames of one choice there are as many others as its rule says.
  private func expectRules(_ database: RunDatabase, _ series: UInt64) throws {
    let rows = try database.database.rows(
      "SELECT frame_number AS n, flags FROM frame WHERE series = \(series) ORDER BY frame_number")
    for choice in try choices(database, series) {
      let inside = rows.filter { choice.first...choice.last ~= $0.count("n") }
      let distances = Set(zip(inside, inside.dropFirst()).map { $1.count("n") - $0.count("n") })
      switch choice.rule {
      case "every 2nd: the disk does not keep up": #expect(distances.isSubset(of: [2]))
      case "every 4th: the disk does not keep up": #expect(distances.isSubset(of: [4]))
      case "previews: the disk does not keep up":
        #expect(inside.allSatisfy { FrameFlags(rawValue: UInt32($0.count("flags"))).contains(.preview) })
      default: Issue.record("the rule “\(choice.rule)”")
      }
    }
  }

  /// Pixels of every frame of the files: its number and one level, or the sums of them in a preview.
  private func expectPixels(_ bench: RecorderBench) throws -> (whole: Int, previews: Int) {
    let whole = FrameShape(width: Self.side, height: Self.side, bytesPerPixel: 2)
    let preview = FrameShape(width: 128, height: 128, bytesPerPixel: 4)
    var count = (whole: 0, previews: 0)
    for number in try bench.run.directory.frames.segments() {
      let contents = try SegmentContents(bench.run.directory.frames, number)
      let reader = try SegmentReader(contents)
      var pixels = [UInt8](repeating: 0, count: reader.header.shape.bytes)
      for frame in contents.frames {
        let isPreview = FrameFlags(rawValue: frame.record.flags).contains(.preview)
        #expect(reader.header.shape == (isPreview ? preview : whole))
        try pixels.withUnsafeMutableBytes { try reader.read(frame, into: $0) }
        if isPreview {
          let sums = pixels.withUnsafeBytes { Array($0.bindMemory(to: UInt32.self)) }
          #expect(sums.dropFirst().allSatisfy { $0 == 16 * UInt32(Self.level) })
          count.previews += 1
        } else {
          #expect(pixels.withUnsafeBytes { $0.load(as: UInt64.self) } == frame.record.frameNumber)
          count.whole += 1
        }
      }
    }
    return count
  }

  /// Each change is a step down under pressure, or a step up without.
  private func expectWay(_ changes: [String], through order: [Degradation]) throws {
    let words =
      ["every frame that is wanted is written again"] + order.map { "from now on: \($0)" }
    var level = 0
    for change in changes {
      let parts = change.split(separator: "; ").map(String.init)
      let place = try #require(parts.last.flatMap { words.firstIndex(of: $0) }, "\(change)")
      let numbers = change.split(separator: " ").compactMap { Double($0) }
      #expect(parts.first == "camera: \(Int(numbers[0])) of \(Self.slots) slots wait for the disk")
      let share = numbers[0] / Double(Self.slots)
      #expect(abs(place - level) == 1, "\(changes)")
      #expect((share > 0.75) == (place > level), "\(change)")
      level = place
    }
  }

  // MARK: The tests

  @Test("takes what the operator chose, step by step, and everything again when the camera has slowed down")
  func downAndUp() throws {
    let order: [Degradation] = [.everyNth(2), .everyNth(4), .previews]
    let bench = try recorder(order, steps: 2)
    bench.recorder.seriesStarted(1)
    var flooded: UInt64 = 0
    try flood(bench, &flooded) {
      let previews = try bench.rows("SELECT count(*) AS n FROM frame WHERE flags & 16 AND series = 1")
      return previews[0].count("n") >= 3
    }
    bench.ended(triggered: flooded)
    try bench.settle()

    // From here on the next frame comes when the one before has been dealt with.
    bench.recorder.seriesStarted(2)
    var next: UInt64 = 0
    let end = MonotonicTime.now + Self.patience
    while try changes(bench).last?.hasSuffix("is written again") != true {
      guard MonotonicTime.now < end else { throw RecorderBench.Failure(reason: "it does not recover") }
      try bench.put([next], series: 2)
      next += 1
      try bench.settle()
    }
    let recovered = next
    for _ in 0..<20 {
      try bench.put([next], series: 2, step: 1)
      next += 1
      try bench.settle()
    }
    bench.ended(2, triggered: next)

    let (database, report, ledgers) = try bench.finish()
    #expect(report.isSound, "\(report.findings.prefix(5))")
    let changes = try changes(database)
    try expectWay(changes, through: order)
    #expect(changes.prefix(3).map { $0.split(separator: ":").last } == [" every 2nd", " every 4th", " previews"])
    #expect(changes.last?.hasSuffix("every frame that is wanted is written again") == true, "\(changes)")
    #expect(ledgers.map(\.series) == [1, 2] && ledgers.map(\.triggered) == [flooded, next])
    for (ledger, steps) in zip(ledgers, [[0], [0, 1]] as [[UInt32]]) {
      expectBalance(ledger, steps)
      #expect(Set(ledger.dropped.keys) == [SeriesLedger.behindCause])
      #expect(try fates(database, ledger).values.allSatisfy { $0 != .gap })
      try expectRules(database, ledger.series)
    }
    let rules = try ledgers.map { Set(try choices(database, $0.series).map { $0.rule.prefix { $0 != ":" } }) }
    // Of a slow source every frame may be a preview.
    #expect(rules[0] == ["every 2nd", "every 4th", "previews"])
    #expect(rules[1].union(["previews"]) == rules[0])
    let after = try database.database.rows(
      "SELECT count(*) AS n, max(flags & 16) AS preview FROM frame WHERE series = 2 AND frame_number >= \(recovered)")
    #expect(after[0].integer("n") == 20 && after[0].integer("preview") == 0)
    #expect(ledgers[1].steps.last?.written == 20 && ledgers[1].steps.last?.dropped == 0)
    let found = try expectPixels(bench)
    #expect(found.previews >= 3 && UInt64(found.whole + found.previews) == ledgers.reduce(0) { $0 + $1.written })
  }

  private func changes(_ database: RunDatabase) throws -> [String] {
    try database.database.rows("SELECT message FROM event WHERE kind = 'storage_degraded' ORDER BY id").compactMap {
      $0.text("message")
    }
  }

  @Test("was not seen when the few frames on their way to it held all slots of those that were given up before them")
  func slotsBetween() throws {
    let order: [Degradation] = [.everyNth(8), .everyNth(16), .previews]
    let bench = try recorder(order)
    bench.recorder.seriesStarted(1)
    var next: UInt64 = 0
    try flood(bench, &next) { try changes(bench).count >= order.count }
    bench.ended(triggered: next)
    let (database, report, ledgers) = try bench.finish()
    #expect(report.isSound, "\(report.findings.prefix(5))")
    try expectWay(try changes(database), through: order)
    let ledger = try #require(ledgers.first)
    expectBalance(ledger, [0])
    #expect(Set(ledger.dropped.keys) == [SeriesLedger.behindCause])
    _ = try fates(database, ledger)
  }

  @Test("and a camera that does not wait: what the full ring refused and what was given up are told apart")
  func refused() throws {
    let bench = try recorder([.everyNth(2)])
    bench.recorder.seriesStarted(1)
    var number: UInt64 = 0
    let end = MonotonicTime.now + Self.patience
    while try bench.ring.refused < 20 || changes(bench).isEmpty {
      guard MonotonicTime.now < end else { throw RecorderBench.Failure(reason: "the ring does not fill") }
      // When it is full, one frame goes by, and there is room again for some.
      while bench.offer(number) { number += 1 }
      number += 1
      while bench.ring.filled > bench.ring.slotCount - 4, MonotonicTime.now < end { sleepThread(for: Seconds(0.001)) }
    }
    try bench.put([number])
    number += 1
    bench.ended(triggered: number, refused: bench.ring.refused)
    let (database, report, ledgers) = try bench.finish()
    #expect(report.isSound, "\(report.findings.prefix(5))")
    try expectWay(try changes(database), through: [.everyNth(2)])
    let ledger = try #require(ledgers.first)
    expectBalance(ledger, [0])
    #expect(ledger.triggered == number)
    #expect(Set(ledger.dropped.keys) == [SeriesLedger.behindCause, "ring_full"])
    #expect(ledger.dropped["ring_full"] == bench.ring.refused)
    let gaps = try fates(database, ledger).values.count { $0 == .gap }
    #expect(UInt64(gaps) == bench.ring.refused)
    let causes = try database.database.rows("SELECT DISTINCT cause FROM gap").compactMap { $0.text("cause") }
    #expect(causes == ["ring_full"])
    _ = try expectPixels(bench)
  }

  @Test("and nothing to give up: nothing is given up, and the full ring refuses")
  func nothingToGiveUp() throws {
    let bench = try recorder([])
    bench.recorder.seriesStarted(1)
    var number: UInt64 = 0
    while bench.ring.refused < 5 {
      while bench.offer(number) { number += 1 }
      number += 1
      try bench.put([number])
      number += 1
    }
    bench.ended(triggered: number, refused: bench.ring.refused)
    let (database, report, ledgers) = try bench.finish()
    #expect(report.isSound, "\(report.findings.prefix(5))")
    #expect(try changes(database).isEmpty)
    let ledger = try #require(ledgers.first)
    expectBalance(ledger, [0])
    #expect(ledger.dropped == ["ring_full": bench.ring.refused])
    _ = try fates(database, ledger)
  }

  @Test(
    "or as fast as any: publishing a frame is faster than writing it, and `stop` ends the run with its reason",
    arguments: [true, false])
  func stops(isReal: Bool) throws {
    let bench = try recorder([.stop], isReal: isReal)
    bench.recorder.seriesStarted(1)
    var next: UInt64 = 0
    var signals: [RunSignal] = []
    try flood(bench, &next) {
      signals += bench.run.signals.drain()
      return !signals.isEmpty
    }
    // The camera goes on until somebody has stopped it.
    try bench.put(next..<next + 100)
    next += 100
    bench.ended(triggered: next)
    let (database, report, ledgers) = try bench.finish()
    #expect(report.isSound, "\(report.findings.prefix(5))")
    signals += bench.run.signals.drain()
    #expect(signals.count == 1)
    guard case .failed(let reason)? = signals.first else { throw RecorderBench.Failure(reason: "\(signals)") }
    #expect(reason.hasPrefix("camera: ") && reason.contains(" of \(Self.slots) slots wait for the disk"), "\(reason)")
    #expect(reason.hasSuffix("storage.degrade says stop"), "\(reason)")
    let changes = try changes(database)
    try expectWay(changes, through: [.stop])
    #expect(changes.count == 1)

    let ledger = try #require(ledgers.first)
    expectBalance(ledger, [0])
    #expect(ledger.written > 0 && ledger.totalDropped >= 100)
    let fates = try fates(database, ledger)
    // All that came before is on the file, and nothing that came after.
    #expect((0..<ledger.written).allSatisfy { fates[$0] == .row })
    #expect((ledger.written..<next).allSatisfy { fates[$0] == .choice })
    #expect(Set(try choices(database, 1).map(\.rule)) == ["stop: the disk does not keep up"])
    #expect(try expectPixels(bench) == (Int(ledger.written), 0))
  }
}
