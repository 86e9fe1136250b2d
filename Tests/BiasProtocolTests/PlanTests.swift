import BiasProtocol
import JSON
import Quantities
import Testing

/// A camera whose frames have so many bytes.
func camera(bytes: Int, rate: Hertz? = nil) -> [PlannedCamera] {
  [PlannedCamera(name: "camera", width: bytes, height: 1, bytesPerPixel: 1, rate: rate)]
}

@Suite struct PlanTests {
  @Test("Time, charge, frames, bytes and samples are the sums over the bounds")
  func sums() throws {
    let plan = try compiled(
      """
      - Record frames at 10 fps
      - Rest for 4 s
      - Charge at 2 pA for 2 s: {record: 400 fps}
      - Discharge at 1 pA for 3 s: {record: off}
      - Hold at 4 V for 0.25 s
      """
    ).plan(cameras: camera(bytes: 1000), indexBytes: 64)
    #expect(plan.steps.map(\.frames.frames) == [40, 800, 0, 3])
    #expect(plan.frames.frames == 843)
    #expect(plan.frames.bytes == 843 * 1064)
    #expect(abs(plan.duration.value - 9.25) < 1e-12)
    #expect(abs(plan.charge.value - 1e-12) < 1e-24)
    #expect(plan.steps.map(\.charge.description) == ["0 C", "4.00 pC", "-3.00 pC", "0 C"])
    #expect(plan.samples == 925)
    #expect(plan.frames.areComplete)
    #expect(plan.warnings == [])
  }

  @Test("Frames of a camera that decides itself are unknown, or planned at its rate where that is known")
  func everyFrame() throws {
    let compiled = try compiled("- Rest for 30 s: {record: all}")
    let unknown = compiled.plan(cameras: camera(bytes: 1000), indexBytes: 64)
    #expect(!unknown.frames.areComplete)
    #expect(unknown.json["steps"]?.array?[0]["frames"] == .null)
    #expect(unknown.warnings.count == 1)
    #expect(unknown.summary == "1 step, at most 30.0 s, 3000 samples, 0 frames and what the camera sends, 0 B")
    let known = compiled.plan(cameras: camera(bytes: 1000, rate: Hertz(100)), indexBytes: 64)
    #expect(known.frames.frames == 3000)
    #expect(known.warnings == [])
  }

  @Test(
    "What is allowed but may not be meant is a warning with its line",
    arguments: [
      ("Charge at 2 pA until 4.2 V", "gives no time; it ends after max_step (24 h)"),
      ("Charge at 2 pA for 1 s", "2 pA is less than 10 times the resolution of 500 fA"),
      ("Charge at 20 pA for 1 s or until < 3 V", "the current drives the voltage the other way"),
      ("Charge at 20 pA for 1 s or until 4.5 V", "it is the limit itself"),
      ("Hold at 4 V for 1 s or until 0.2 pA", "it is below the resolution of 500 fA"),
    ])
  func warnings(step: String, words: String) throws {
    let plan = try compiled("- repeat: 3\n  steps:\n    - \(step)").plan(
      cameras: camera(bytes: 1), indexBytes: 1,
      instrument: PlannedInstrument(
        model: "test", ranges: [.init(full: Amperes(1e-6), resolution: Amperes(5e-13), accuracy: Amperes(0))]))
    let warning = try #require(plan.warnings.first { $0.contains(words) }, "\(plan.warnings)")
    #expect(warning.hasPrefix("line 10: "))
    #expect(plan.warnings.count { $0.contains(words) } == 1)
  }

  @Test("A held current is judged by the range that holds it, which may be larger than the one that measures")
  func holding() throws {
    var instrument = PlannedInstrument(
      model: "test",
      ranges: [
        .init(full: Amperes(1e-10), resolution: Amperes(1e-16), accuracy: Amperes(1e-13)),
        .init(full: Amperes(1e-9), resolution: Amperes(1e-15), accuracy: Amperes(6e-12)),
      ])
    let held = try compiled(
      "- Charge at 5 pA for 1 s: {range: 100 pA}\n- Hold at 4 V for 1 s or until 0.5 fA: {range: 100 pA}")
    #expect(held.doubts(on: instrument).isEmpty)
    instrument.lowestHolding = Amperes(1e-9)
    let doubts = held.doubts(on: instrument)
    #expect(doubts.count == 1)
    #expect(
      doubts.first?.contains("5 pA is below what the test can be trusted with on its 1 nA range") == true, "\(doubts)")
    #expect(
      held.plan(cameras: camera(bytes: 1), indexBytes: 1, instrument: instrument).warnings == doubts,
      "a voltage is held on 100 pA")
    let read = try #require(PlannedInstrument(json: instrument.json))
    #expect(read == instrument)
    #expect(read.rangeHolding(Amperes(2e-9)) == nil)
  }

  @Test("A plan beyond all measure stays finite")
  func huge() throws {
    let plan = try compiled(
      "- repeat: 100000\n  steps:\n    - Rest until > 1 V: {record: 100000 fps}", header: "max_step: 100000 d"
    ).plan(cameras: camera(bytes: .max), indexBytes: 64)
    #expect(plan.frames.bytes == .max)
    #expect(plan.frames.frames > 0)
    #expect(plan.warnings.count == 1)
    #expect(plan.table(rows: 3).contains("… and 99997 more steps"))
  }

  @Test("The table shows steps, marks and sums")
  func table() throws {
    let plan = try compiled(
      "- Rest for 4 s\n- repeat: 1\n  steps:\n    - mark: charge\n    - Charge at 2 pA for 2 s: {record: 400 fps}"
    ).plan(cameras: camera(bytes: 2 << 20), indexBytes: 64)
    #expect(
      plan.table() == """
        protocol “test”

        step  cycle  sentence                record   at most   charge  frames     size
           1      0  Rest for 4 s                      4.00 s
                     [charge]
           2      1  Charge at 2 pA for 2 s  400 fps   2.00 s  4.00 pC     800  1.68 GB

        2 steps, at most 6.00 s, 4.00 pC, 600 samples, 800 frames, 1.68 GB

        """)
    #expect(plan.json["frames"]?.integer == 800)
    #expect(plan.json["steps"]?.array?.count == 2)
    #expect(plan.json["duration_s"]?.double == 6)
  }
}
