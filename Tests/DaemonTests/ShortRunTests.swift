import Alignment
import JSON
import Quantities
import RunStore
import SQLite
import Testing

extension DaemonTests {
  @Suite("A short run on the twin")
  struct ShortRun {
    let run: RecordedRun
    init() throws { run = try RecordedRun.shared.get() }

    @Test("It is complete, its ledger balances, and every frame is in the database, the index and the pixels")
    func complete() throws {
      #expect(run.shown["outcome"]?.string == "complete", "\(run.shown["reason"]?.text ?? "")")
      #expect(run.shown.at("ledger.balanced")?.bool == true)
      let steps = run.shown["steps"]?.array ?? []
      #expect(steps.count == 4)
      #expect(steps.compactMap { $0["ended_by"]?.string }.filter { $0 == "time" }.count == 3, "\(steps.map(\.text))")
      let written = try #require(run.shown.at("frames.written")?.integer)
      #expect(run.shown.at("frames.triggered")?.integer == written)
      #expect(run.shown.at("frames.lost_at_source")?.integer == 0)
      // 50 per second, over 4 s at least and 8 s at most, and what the changes between steps take.
      #expect((200...500).contains(written))

      let segment = try SegmentContents(run.directory.frames, 0)
      #expect(Int64(segment.frames.count) == written)
      #expect(segment.header.map { Int64($0.frames) } == written)
      let database = try run.database()
      let rows = try database.rows("SELECT count(*) AS n FROM frame")
      #expect(rows.first?.integer("n") == written)
      let report = try RunVerification.verify(run.directory)
      #expect(report.isSound, "\(report.findings.map(\.description))")
      #expect(Int64(report.framesChecked) == written)
    }

    @Test("The charge is the integral of the true current, to a few per cent")
    func charge() throws {
      let told = try #require(run.shown["charge_C"]?.double)
      let cell = run.truth.cell
      var integral = 0.0
      for (before, after) in zip(cell, cell.dropFirst()) where after.time - before.time < 100_000_000 {
        integral += after.current * Double(after.time - before.time) / 1e9
      }
      #expect(integral > 3e-12)
      #expect(abs(told - integral) < 0.04 * integral, "\(told) C, truth \(integral) C")
    }

    @Test("Start time, V, I and Q of at least nine frames in ten are within two of their standard uncertainties")
    func frames() throws {
      let truth = run.truth.frames
      let rows = try run.database().rows(
        """
        SELECT f.series, f.frame_number, v.* FROM frame f JOIN frame_value v ON v.frame = f.id
        WHERE v.current_mean_A IS NOT NULL ORDER BY f.id
        """)
      // Those that the camera had under way when the cell was opened have no samples, and no values.
      let written = try #require(run.shown.at("frames.written")?.integer)
      #expect(Int64(rows.count) >= written - 5)
      // Charge counts from the run's first sample here, from the closing of the contacts in the truth.
      let first = try #require(rows.first)
      let start = try #require(truth[key(first)])
      let chargeOffset = (first.double("charge_C") ?? 0) - start.charge
      var shares: [String: Int] = [:]
      for row in rows {
        let known = try #require(truth[key(row)])
        func check(_ what: String, _ value: Double?, _ truth: Double, _ uncertainty: Double?) {
          guard let value, let uncertainty, uncertainty > 0 else { return }
          if abs(value - truth) <= 2 * uncertainty { shares[what, default: 0] += 1 }
        }
        let late = row.integer("start_raw_ns").map { Double($0 - known.start) / 1e9 }
        check("start", late, 0, row.double("time_uncertainty_s"))
        check("voltage", row.double("voltage_mean_V"), known.voltage, row.double("voltage_uncertainty_V"))
        check("current", row.double("current_mean_A"), known.current, row.double("current_uncertainty_A"))
        check("charge", row.double("charge_C"), known.charge + chargeOffset, row.double("charge_uncertainty_C"))
      }
      for what in ["start", "voltage", "current", "charge"] {
        #expect(
          shares[what, default: 0] * 10 >= rows.count * 9, "\(what): \(shares[what, default: 0]) of \(rows.count)")
      }
      // The uncertainties say something: 1 ms, and a fraction of the 2 pA.
      let times = rows.compactMap { $0.double("time_uncertainty_s") }
      #expect(times.allSatisfy { $0 < 0.002 })
      let currents = rows.compactMap { $0.double("current_uncertainty_A") }.sorted()
      #expect(currents[currents.count / 2] < 0.5e-12)
    }

    @Test("Every clock model is within its bound of the true clock")
    func clocks() throws {
      let models = try run.database().rows("SELECT * FROM clock_model")
      let devices = Set(models.compactMap { $0.text("device") })
      #expect(devices == ["potentiostat", "holder", "camera"])
      var compared: [String: Int] = [:]
      for model in models {
        let device = try #require(model.text("device"))
        let from = try #require(model.integer("from_device_ns"))
        let to = try #require(model.integer("to_device_ns"))
        let reference = try #require(model.integer("reference_device_ns"))
        let host = try #require(model.integer("reference_raw_ns"))
        let rate = try #require(model.double("rate"))
        let bounds = ["bound_from_s", "bound_reference_s", "bound_to_s"].compactMap { model.double($0) }
        let bound = try #require(bounds.max())
        #expect(bound < 0.02, "\(device)")
        for known in run.truth.clocks {
          let time = try #require(known.device[device])
          guard (from...to).contains(time) else { continue }
          let told = Double(host - known.host) + rate * Double(time - reference)
          #expect(abs(told) / 1e9 <= bound, "\(device) is off by \(told) ns, bound \(bound) s")
          compared[device, default: 0] += 1
        }
      }
      #expect(devices.allSatisfy { compared[$0, default: 0] >= 3 }, "\(compared)")
    }

    @Test("The view bdf has the columns of the Battery Data Format and a row for each sample, in order of time")
    func batteryDataFormat() throws {
      let rows = try run.database().rows("SELECT * FROM bdf")
      let samples = try run.database().rows("SELECT count(*) AS n FROM sample WHERE current_A IS NOT NULL")
      #expect(Int64(rows.count) == samples.first?.integer("n"))
      // A sample each 10 ms, nearly.
      #expect(rows.count > 350)
      let times = rows.compactMap { $0.double("test_time_second") }
      #expect(times.count == rows.count)
      #expect(times.first == 0)
      #expect(zip(times, times.dropFirst()).allSatisfy { $0 < $1 })
      let charging = rows.filter { $0.integer("step_count") == 1 }.compactMap { $0.double("current_ampere") }
      let mean = charging.reduce(0, +) / Double(max(1, charging.count))
      #expect(abs(mean - 2.12e-12) < 0.2e-12, "\(mean)")
      #expect(rows.allSatisfy { $0.double("voltage_volt") != nil && $0.double("unix_time_second") ?? 0 > 1.6e9 })
    }

    @Test("The potentiostat goes to high impedance before the contacts open, and comes after they have closed")
    func order() throws {
      let events = run.truth.events
      let closed = try #require(events.firstIndex { $0.text == "contacts closed" })
      let opened = try #require(events.lastIndex { $0.text == "contacts open" })
      let on = try #require(events.firstIndex { $0.text.contains("output on, CURR") })
      let off = try #require(events.lastIndex { $0.text.contains("output off, state HIMP") })
      #expect(closed < on)
      #expect(off < opened)
      #expect(!events.contains { $0.text.contains("HEARTBEAT") })
    }

    private func key(_ row: Database.Row) -> Truth.FrameKey {
      Truth.FrameKey(series: row.integer("series") ?? -1, number: row.integer("frame_number") ?? -1)
    }
  }
}
