import Quantities
import RunStore
import SQLite
import Testing

@Suite("Alignment of a stored run")
struct RunAlignmentTests {
  private func values(_ database: Database) throws -> [Database.Row] {
    try database.rows("SELECT * FROM frame_with_values")
  }

  /// Shares of frames whose two standard uncertainties hold the truth, and the mean uncertainty of the current.
  private func coverage(_ rows: [Database.Row]) -> (voltage: Double, current: Double, charge: Double, start: Double) {
    var covered = (voltage: 0.0, current: 0.0, charge: 0.0, start: 0.0)
    for row in rows {
      let number = Double(row.integer("frame_number") ?? 0)
      let series = RunFixture.Options().series[Int(row.integer("series") ?? 0)]
      let start = series.start + number / series.rate
      let middle = start + 1.2e-3
      func holds(_ mean: String, _ uncertainty: String, _ truth: Double) -> Double {
        guard let mean = row.double(mean), let u = row.double(uncertainty) else { return 0 }
        return abs(mean - truth) <= 2 * u ? 1 : 0
      }
      covered.voltage += holds("voltage_mean_V", "voltage_uncertainty_V", RunFixture.voltage(middle))
      covered.current += holds("current_mean_A", "current_uncertainty_A", RunFixture.current(middle))
      covered.charge += holds("charge_C", "charge_uncertainty_C", RunFixture.charge(start + 2.4e-3))
      let error = abs(Double((row.integer("start_raw_ns") ?? 0) - RunFixture.raw(start))) * 1e-9
      covered.start += error <= 2 * (row.double("time_uncertainty_s") ?? 0) ? 1 : 0
    }
    let n = Double(rows.count)
    return (covered.voltage / n, covered.current / n, covered.charge / n, covered.start / n)
  }

  @Test("every frame gets values that hold the truth as often as they say")
  func whole() throws {
    let run = try RunFixture()
    defer { run.remove() }
    let database = try run.open()
    let summary = try RunAlignment.align(database: database, options: .init(doseRate: 40))
    let rows = try values(database)
    #expect(summary.frames == rows.count && rows.count == 3167)
    // While the bias changes nothing is known: at most a frame or two at each of the steps.
    let unknown = summary.frames - summary.framesWithSamples - summary.framesInterpolated
    #expect(unknown > 0 && unknown <= 8)
    #expect(summary.framesWithSamples > 1000 && summary.framesInterpolated > 1000)
    #expect(summary.clocks.map(\.device) == ["camera", "potentiostat"])
    #expect(summary.clocks.allSatisfy { $0.segments == 1 && $0.rejectedPairs == 0 && $0.method == "two-sided hull" })
    #expect(abs(summary.clocks[1].drift_ppm + 35) < 2)
    #expect(try #require(summary.timeUncertainty).value < 80e-6)
    let share = coverage(rows)
    #expect(share.voltage > 0.90 && share.current > 0.90 && share.charge > 0.90)
    #expect(share.start > 0.99)
    let stored = try database.rows("SELECT * FROM clock_model ORDER BY device")
    #expect(stored.count == 2)
    #expect(abs(try #require(stored[0].double("rate")) - 1 / (1 - 20e-6)) < 2e-6)
  }

  @Test("the dose of a frame counted exposures only, where the dose limit counts time since the run's start")
  func dose() throws {
    let run = try RunFixture()
    defer { run.remove() }
    let database = try run.open()
    _ = try RunAlignment.align(database: database, options: .init(doseRate: 40))
    for row in try values(database) {
      let elapsed = Double(try #require(row.integer("stop_raw_ns")) - RunFixture.raw(0)) * 1e-9
      #expect(abs(try #require(row.double("dose_e_per_A2")) - 40 * elapsed) < 1e-9)
      #expect(abs(try #require(row.double("dose_uncertainty_e_per_A2")) - 4 * elapsed) < 1e-9)
    }
    let last = try #require(try values(database).last)
    #expect(try #require(last.double("dose_e_per_A2")) > 40 * 64)
  }

  @Test("aligning again gives the same rows")
  func again() throws {
    let run = try RunFixture()
    defer { run.remove() }
    let database = try run.open()
    func dump() throws -> [[Database.Value]] {
      let names = [
        "frame", "start_raw_ns", "time_uncertainty_s", "voltage_mean_V", "current_uncertainty_A", "charge_C",
      ]
      return try values(database).map { row in names.map { row[$0] } }
    }
    let first = try RunAlignment.align(database: database)
    let rows = try dump()
    let second = try RunAlignment.align(database: database)
    #expect(first == second)
    #expect(try dump() == rows)
    #expect(try database.rows("SELECT * FROM frame_value WHERE dose_e_per_A2 IS NOT NULL").isEmpty)
  }

  @Test("without clock pairs arrival stamps serve, with a wide bound that says so")
  func arrivals() throws {
    var options = RunFixture.Options()
    options.hasClockPairs = false
    let run = try RunFixture(options)
    defer { run.remove() }
    let database = try run.open()
    let summary = try RunAlignment.align(database: database)
    #expect(summary.clocks.allSatisfy { $0.method == "arrival only" })
    #expect(try #require(summary.timeUncertainty).value > 10e-3)
    let share = coverage(try values(database))
    #expect(share.start > 0.99 && share.current > 0.90)
  }

  @Test("known delays and limits of error are taken from the devices")
  func details() throws {
    var options = RunFixture.Options()
    options.details = (
      #"{"accuracy_current_A": 1e-12, "accuracy_voltage_V": 0.003}"#, #"{"exposure_offset_ns": 250000}"#
    )
    let run = try RunFixture(options)
    let plain = try RunFixture()
    defer {
      run.remove()
      plain.remove()
    }
    let database = try run.open()
    let other = try plain.open()
    _ = try RunAlignment.align(database: database)
    _ = try RunAlignment.align(database: other)
    let rows = try values(database)
    let before = try values(other)
    for (row, plain) in zip(rows, before) where row.integer("frame") == 900 {
      let start = try #require(plain.integer("start_raw_ns"))
      let moved = try #require(row.integer("start_raw_ns")) - start
      #expect(abs(moved - 250_000) < 50)
      #expect(try #require(row.double("current_uncertainty_A")) > 1e-12 / 3.0.squareRoot())
      #expect(try #require(row.double("voltage_uncertainty_V")) > 0.003 / 3.0.squareRoot())
    }
    #expect(rows.count == before.count)
  }

  @Test("frames without samples have times and no values; nothing is filled in")
  func noSamples() throws {
    let run = try RunFixture()
    defer { run.remove() }
    let database = try run.open()
    try database.execute("DELETE FROM sample")
    let summary = try RunAlignment.align(database: database)
    #expect(summary.frames == 3167 && summary.framesWithSamples == 0 && summary.framesInterpolated == 0)
    let filled = "SELECT frame FROM frame_value WHERE voltage_mean_V IS NOT NULL OR charge_C IS NOT NULL"
    #expect(try database.rows(filled).isEmpty)
    try database.execute("DELETE FROM frame_value; DELETE FROM frame; DELETE FROM clock_pair")
    let empty = try RunAlignment.align(database: database)
    #expect(empty.frames == 0 && empty.timeUncertainty == nil && empty.clocks.isEmpty)
  }

  @Test("a stamp of a clock that was set back was placed after its own arrival by the export")
  func clockSetBack() throws {
    let run = try RunFixture()
    defer { run.remove() }
    let database = try run.open()
    for (segment, host) in [(0, 1000), (1, 1100)] {
      try database.execute(
        """
        INSERT INTO clock_model VALUES ('potentiostat', \(segment), 0, 100000000000, 50000000000,
          \(host + 50)000000000, 1.0, 1e-4, 1e-4, 1e-4, 0, 9, 'two-sided hull')
        """)
    }
    try database.execute(#"UPDATE device SET details_json = '{"sample_offset_ns": 7}' WHERE kind = 'potentiostat'"#)
    let clocks = try StoredClocks(database)
    func time(_ stamp: Int64, _ arrival: Int64) -> Int64? {
      clocks.time(of: stamp, on: "potentiostat", arrival: MonotonicTime(nanoseconds: arrival))?.nanoseconds
    }
    // Nearer to its arrival is 1150 s, but nothing arrives before it is sent. The known delay is added as for frames.
    #expect(time(50_000_000_000, 1_100_500_000_000) == 1_050_000_000_007)
    #expect(time(50_000_000_000, 1_150_100_000_000) == 1_150_000_000_007)
    #expect(clocks.time(of: 0, on: "holder", arrival: MonotonicTime(nanoseconds: 0)) == nil)
  }

  @Test("frames whose stamp is flagged as unusable are placed by their arrival")
  func noDeviceTime() throws {
    let run = try RunFixture()
    defer { run.remove() }
    let database = try run.open()
    try database.execute(
      "UPDATE frame SET flags = \(IndexRecord.noDeviceTime), device_time_ns = 0 WHERE id % 2 = 0; DELETE FROM clock_pair"
    )
    _ = try RunAlignment.align(database: database)
    let rows = try database.rows(
      "SELECT f.arrival_raw_ns - v.stop_raw_ns AS late FROM frame f JOIN frame_value v ON v.frame = f.id WHERE f.id % 2 = 0"
    )
    #expect(rows.count == 1584 && rows.allSatisfy { $0.integer("late") == 50_000_000 })
    // The zeros are no stamps of the camera's clock.
    let model = try database.rows("SELECT count(*) AS n FROM clock_model WHERE device = 'camera'")
    #expect(model.first?.integer("n") == 1)
  }

  @Test("the percentiles of two million frames took seconds of sorting; many frames are taken by every n-th")
  func manyFrames() throws {
    let run = try RunFixture()
    defer { run.remove() }
    let database = try run.open()
    let count = 2 * TimeUncertainty.mostFrames + 1
    try database.execute(
      """
      PRAGMA foreign_keys = OFF; DELETE FROM frame_value;
      WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < \(count - 1))
      INSERT INTO frame_value (frame, start_raw_ns, stop_raw_ns, time_uncertainty_s, samples)
        SELECT i, 0, 1, (i * 7919 % \(count) + 1) * 1.0, 1 FROM n;
      """)
    let uncertainty = try TimeUncertainty(database)
    for percent in [5, 50, 95] {
      let exact = Double(count) * Double(percent) / 100
      #expect(abs(try #require(uncertainty.percentile(percent)) / exact - 1) < 0.01, "\(percent)")
    }
    try database.execute("DELETE FROM frame_value WHERE frame >= 4")
    let few = try database.rows("SELECT time_uncertainty_s AS u FROM frame_value ORDER BY u").map { $0.double("u") }
    let median = try TimeUncertainty(database).percentile(50)
    #expect(median == few[1])
  }
}
