import JSON
import Linux
import Quantities
import Testing

@testable import insituctl

@Suite("What people read")
struct TextTests {
  @Test("status tells run, step, cell, frames, ring, disk and every instrument")
  func status() {
    #expect(
      StatusText.lines(Fixtures.status()) == [
        "run           01JRUN  2 pA formation  running",
        "step          3 of 14, cycle 1: Charge at 2 pA for 1 h or until 4.2 V",
        "              12.4 s of at most 1 h; run 30.0 s of about 60.0 s",
        "cell          3.712 V, 2.00 pA, charge 24.8 pC; holder armed",
        "frames        400.0 per second; triggered 4010, received 4007, written 4005; dropped: ring_full 2; lost 5",
        "ring          camera: 400.0 per second, 12 of 400 slots wait for the disk",
        "disk          120 GB free, 2 min 23 s at the present rate",
        "potentiostat  keithley-2450, connected, measuring",
        "camera        shm: nobody listens",
        "daemon        insitud 0.1.0, up 3 min",
      ])
  }

  /// Fixtures' status in the state `waiting`.
  private func waiting() -> JSONValue {
    var status = Fixtures.status().object ?? [:]
    var run = status["run"]?.object ?? [:]
    run["waiting"] = ["reason": "potentiostat: keithley-2450 was unplugged", "elapsed_s": 2.4, "limit_s": 20]
    status["run"] = .object(run)
    status["state"] = "waiting"
    return .object(status)
  }

  @Test("A run that waits for an instrument says so, how long, and that the cell is open")
  func waitingRun() {
    let words = "waiting 2.4 s of at most 20.0 s, the cell is open: potentiostat: keithley-2450 was unplugged"
    let lines = StatusText.lines(waiting())
    #expect(lines[0] == "run           01JRUN  2 pA formation  waiting")
    #expect(lines[2] == "              " + words)
    #expect(ProgressLine.live(waiting(), width: 200).contains(words))
    #expect(ProgressLine.live(waiting(), width: 80).contains("waiting 2.4 s"))
    #expect(WatchTable.row(waiting(), time: "12:00:00").contains("waiting"))
    var bare = waiting().object ?? [:]
    bare["run"] = Fixtures.status()["run"]
    #expect(ProgressLine.live(.object(bare), width: 200).contains("waiting for an instrument"))
  }

  @Test("Following, the beginning and the end of the waiting are a line each")
  func followedWaiting() {
    let kept = Monitor<[String]>([])
    let console = Console(
      print: { _ in }, remark: { line in kept.update { $0.append(line) } }, redraw: nil, isTerminal: false,
      width: { 80 })
    var progress = FollowProgress(console: console)
    for (second, status) in [
      (0, Fixtures.status()), (1, waiting()), (2, waiting()), (3, Fixtures.status()), (4, Fixtures.status()),
    ] as [(Double, JSONValue)] {
      progress.show(status, now: MonotonicTime(nanoseconds: 0) + Seconds(second))
    }
    let lines = kept.read { $0 }
    #expect(lines.count == 3, "\(lines)")
    #expect(lines[1].hasPrefix("  waiting 2.4 s of at most 20.0 s, the cell is open: "))
    #expect(lines[2] == "  the run goes on")
  }

  @Test("Where no holder opens the contacts, status says what that means")
  func noHolder() {
    var status = Fixtures.status().object ?? [:]
    status["holder"] = ["state": .null, "opens_contacts": false, "limitation": "no holder is configured: nothing …"]
    #expect(StatusText.lines(.object(status)).contains("contacts      no holder is configured: nothing …"))
  }

  @Test("status without a run, and one that lacks everything, still print")
  func sparse() {
    #expect(StatusText.lines(Fixtures.status(run: nil))[0] == "run           none (idle)")
    #expect(StatusText.lines([:]).contains("cell    –, –"))
    #expect(ProgressLine.live([:], width: 100).contains("? %"))
  }

  @Test("devices tell identity, clock, range and their complaints")
  func devices() {
    let lines = DevicesText.lines([
      "devices": [
        [
          "kind": "potentiostat", "model": "keithley-2450", "identity": "KEITHLEY,2450,1",
          "connection": "usb 05e6:2450",
          "connected": true, "clock": ["offset_s": 3.7, "drift_ppm": 35.04, "bound_s": 85e-6, "pairs": 40],
          "range_A": 1e-10, "resolution_A": 1e-15, "accuracy_A": 2e-13, "errors": [], "warnings": ["line noise"],
        ], ["kind": "camera", "model": "shm", "identity": .null, "connection": .null, "connected": false],
      ]
    ])
    #expect(
      lines == [
        "potentiostat  keithley-2450", "  identity    KEITHLEY,2450,1", "  connection  usb 05e6:2450, connected",
        "  clock       offset 3.70 s, drift 35.0 ppm, bound 85.0 us from 40 pairs",
        "  range       100 pA, resolution 1.00 fA, accuracy 200 fA", "  warning     line noise", "",
        "camera        shm", "  identity    –", "  connection  not connected",
      ])
    #expect(DevicesText.lines([:]) == ["No instrument is configured."])
  }

  @Test("a run's summary tells outcome, ledger, losses, charge, uncertainty and files")
  func summary() {
    let lines = RunText.summary(Fixtures.run(), steps: true)
    #expect(lines.contains("outcome    complete"))
    #expect(lines.contains("frames     triggered 4010, received 4007, written 4005"))
    #expect(lines.contains("lost       at source 3, ring_full 2"))
    #expect(lines.contains("ledger     balanced"))
    #expect(lines.contains("charge     98.3 pC"))
    #expect(lines.contains("alignment  85.0 us standard uncertainty"))
    #expect(lines.contains("files      run.sqlite  512 kB"))
    #expect(lines.contains("           frames-0000.mrc  8.40 GB"))
    #expect(lines.last == "   1      0  1.00 fC  time      Rest for 10 s")
  }

  @Test("a live line fits its terminal, whatever its width", arguments: [0, 1, 20, 79, 80, 100, 200])
  func liveWidth(width: Int) {
    let line = ProgressLine.live(Fixtures.status(), width: width)
    #expect(line.count <= width)
    if width >= 79 {
      #expect(line.contains("Charge at 2 p"))
      #expect(line.contains("  3.712 V  2.00 pA  400.0 fps"))
      #expect(line.hasSuffix("5 lost"))
    }
    if width == 200 {
      #expect(
        line.hasPrefix("[########........]  50 % 3/14 Charge at 2 pA for 1 h or until 4.2 V  12.4 s/1 h  3.712 V"))
      #expect(line.hasSuffix("400.0 fps  4005 frames  5 lost"))
    }
  }

  @Test(
    "the bar is full at the planned end and stays so",
    arguments: [(0, "[....]   0 %"), (30, "[##..]  50 %"), (60, "[####] 100 %"), (90, "[####] 100 %")])
  func bar(elapsed: Double, text: String) {
    #expect(ProgressLine.bar(Fixtures.status(elapsed: elapsed)["run"], cells: 4) == text)
  }

  @Test("away from a terminal progress is a line for each step and one every five seconds")
  func plainProgress() {
    let kept = Monitor<[String]>([])
    let console = Console(
      print: { _ in }, remark: { line in kept.update { $0.append(line) } }, redraw: nil, isTerminal: false,
      width: { 80 })
    var progress = FollowProgress(console: console)
    for (second, step) in [(0, 0), (0.2, 0), (4.9, 0), (5.1, 0), (6, 1), (10, 1), (11.1, 1)] as [(Double, Int64)] {
      progress.show(Fixtures.status(step: step), now: MonotonicTime(nanoseconds: 0) + Seconds(second))
    }
    progress.end()
    let lines = kept.read { $0 }
    #expect(lines.map { $0.hasPrefix("step ") } == [true, false, true, false])
    #expect(lines.first?.hasPrefix("step 1 of 14, cycle 1: Charge at 2 pA") == true)
    #expect(lines[1] == "  12.4 s of at most 1 h  3.712 V  2.00 pA  400.0 fps  4005 frames  5 lost")
  }

  @Test("sizes, times and missing numbers")
  func wording() {
    #expect(Wording.bytes(999) == "999 B")
    #expect(Wording.bytes(1_234_567) == "1.23 MB")
    #expect(Wording.bytes(nil) == "–")
    #expect(Wording.localTime("yesterday") == "yesterday")
    #expect(Wording.localTime("2026-03-01T12:00:00.000Z").contains("2026-0"))
    #expect(Wording.amperes(.null) == "–")
  }
}
