import Linux
import Quantities
import SQLite

/// From the voltage's crossing of its limit to the open cell, by the twin's own truth.
struct LimitReaction {
  struct Trip {
    /// From the true crossing at the terminals to the output off, and to the contacts open.
    var crossingToOff: Double
    var crossingToOpen: Double
    /// From the end of the aperture of the first sample beyond the limit to the output off.
    var sampleToOff: Double
  }

  let daemon: DaemonUnderTest

  func measure() throws(BenchmarkError) -> Trip {
    let began = MonotonicTime.now.nanoseconds
    let run = try daemon.start(BenchmarkProtocol.trip)
    defer { removeDirectory(run.directory) }
    try expectComplete(try daemon.finish(run.id), outcome: "tripped")
    // The truth is written every quarter of a second, the clocks every second.
    sleepThread(for: Seconds(1.3))
    return try evaluate(run.directory, since: began)
  }

  private func evaluate(_ directory: String, since began: Int64) throws(BenchmarkError) -> Trip {
    let limit = BenchmarkProtocol.tripVoltage
    let events = try rows("events.csv").filter { Int64($0[0]) ?? 0 > began }
    let offs = events.filter { $0.dropFirst().joined().contains("output off") }
    let opens = events.filter { $0[1] == "contacts open" }
    guard let off = offs.last.flatMap({ Int64($0[0]) }), let open = opens.last.flatMap({ Int64($0[0]) }) else {
      throw BenchmarkError("the truth in \(daemon.truth) says nothing of the output or the contacts")
    }
    // Backwards from the end to well below the limit, then forwards to the first row beyond it.
    let cell = try rows("cell.csv").compactMap { row -> (time: Int64, volts: Double)? in
      guard let time = Int64(row[0]), let volts = Double(row[1]), time > began, time <= off else { return nil }
      return (time, volts)
    }
    guard let below = cell.lastIndex(where: { $0.volts < limit - 0.005 }),
      let beyond = cell[below...].firstIndex(where: { $0.volts > limit }), beyond > 0
    else { throw BenchmarkError("the truth in \(daemon.truth) shows no crossing of \(limit) V") }
    let (a, b) = (cell[beyond - 1], cell[beyond])
    let crossing = a.time + Int64(Double(b.time - a.time) * (limit - a.volts) / (b.volts - a.volts))
    return Trip(
      crossingToOff: (off - crossing).seconds, crossingToOpen: (open - crossing).seconds,
      sampleToOff: (off - (try endOfTrippingSample(directory))).seconds)
  }

  /// True instant at which the first sample beyond the limit was complete.
  private func endOfTrippingSample(_ directory: String) throws(BenchmarkError) -> Int64 {
    let stamp: Int64
    do throws(DatabaseError) {
      let database = try Database(directory + "/run.sqlite", .readOnly)
      let found = try database.rows(
        "SELECT device_time_ns + aperture_ns / 2 AS stamp FROM sample WHERE voltage_V > ?1 ORDER BY id LIMIT 1",
        .real(BenchmarkProtocol.tripVoltage))
      guard let value = found.first?.integer("stamp") else {
        throw DatabaseError(code: 0, message: "no sample beyond the limit", statement: "")
      }
      stamp = value
    } catch { throw BenchmarkError("\(directory)/run.sqlite: \(error)") }
    let clocks = try rows("clocks.csv").compactMap { row -> (raw: Int64, device: Int64)? in
      guard let raw = Int64(row[0]), let device = Int64(row[1]) else { return nil }
      return (raw, device)
    }
    guard let after = clocks.firstIndex(where: { $0.device > stamp }), after > 0 else {
      throw BenchmarkError("the truth in \(daemon.truth) has no clock for the sample")
    }
    let (a, b) = (clocks[after - 1], clocks[after])
    return a.raw + Int64(Double(b.raw - a.raw) * Double(stamp - a.device) / Double(b.device - a.device))
  }

  /// Rows of one file of the truth, without its head.
  private func rows(_ name: String) throws(BenchmarkError) -> [[String]] {
    do throws(LinuxError) {
      let lines = text(try FileSystem.read("\(daemon.truth)/\(name)", limit: 1 << 30)).split(separator: "\n")
      return lines.dropFirst().map { $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init) }
        .filter { $0.count >= 2 }
    } catch { throw BenchmarkError("\(error)") }
  }
}
