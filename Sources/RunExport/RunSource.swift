internal import Linux
internal import SQLite

/// A stored run, open for reading.
final class RunSource {
  let path: String
  let database: Database
  let id: String
  let name: String
  let sampleID: String?
  let outcome: String
  let reason: String?
  let charge: Double
  let startedRaw: Int64
  let startedUnix: Int64
  let endedRaw: Int64?
  private let clocks: [String: [ClockLine]]

  /// A row of `clock_model`: a straight piece of a device's clock.
  private struct ClockLine {
    var from: Int64
    var to: Int64
    var device: Int64
    var host: Int64
    var rate: Double

    func host(_ stamp: Int64) -> Int64 {
      host + (stamp - device) + Int64(((rate - 1) * Double(stamp - device)).rounded())
    }
    func distance(_ stamp: Int64) -> Int64 { max(0, from - stamp, stamp - to) }
  }

  init(_ directory: String) throws(ExportError) {
    path = directory.hasSuffix("/") ? directory + "run.sqlite" : directory + "/run.sqlite"
    guard FileSystem.exists(path) else { throw .notFound(directory: directory) }
    var found: Database.Row?
    do throws(DatabaseError) {
      database = try Database(path, .readOnly)
      found = try database.rows("SELECT * FROM run LIMIT 1").first
    } catch {
      throw ExportError(error, reading: path)
    }
    guard let row = found else { throw .damaged(path: path, reason: "its table “run” is empty") }
    do throws(DatabaseError) {
      id = row.text("id") ?? ""
      name = row.text("name") ?? ""
      sampleID = row.text("sample_id")
      outcome = row.text("outcome") ?? ""
      reason = row.text("reason")
      charge = row.double("charge_C") ?? 0
      startedRaw = row.integer("started_raw_ns") ?? 0
      startedUnix = row.integer("started_unix_ns") ?? 0
      endedRaw = row.integer("ended_raw_ns")
      var lines: [String: [ClockLine]] = [:]
      let query = """
        SELECT device, from_device_ns, to_device_ns, reference_device_ns, reference_raw_ns, rate
        FROM clock_model ORDER BY device, segment
        """
      try database.statement(query).forEach { row in
        lines[row.text(0) ?? "", default: []].append(
          ClockLine(
            from: row.integer(1), to: row.integer(2), device: row.integer(3), host: row.integer(4), rate: row.double(5))
        )
      }
      clocks = lines
    } catch {
      throw ExportError(error, reading: path)
    }
  }

  /// Host time of a potentiostat's stamp, ns: by the run's clock model, or as it arrived where there is none.
  func sampleTime(device: Int64, arrival: Int64) -> Int64 {
    guard let lines = clocks["potentiostat"], var best = lines.first else { return arrival }
    // A clock that was set back has two answers: the one nearer to the arrival.
    for line in lines.dropFirst() {
      let nearer = (line.distance(device), abs(arrival - line.host(device)))
      if nearer < (best.distance(device), abs(arrival - best.host(device))) { best = line }
    }
    return best.host(device)
  }

  /// Seconds since the run's start.
  func seconds(_ raw: Int64) -> Double { Double(raw - startedRaw) / 1e9 }
}
