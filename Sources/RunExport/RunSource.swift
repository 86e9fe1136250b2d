internal import Linux
internal import Quantities
internal import RunStore
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
  private let clocks: StoredClocks

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
      clocks = try StoredClocks(database)
    } catch {
      throw ExportError(error, reading: path)
    }
  }

  /// Host time of a potentiostat's stamp, ns: by the run's clock model, or as it arrived where there is none.
  func sampleTime(device: Int64, arrival: Int64) -> Int64 {
    clocks.time(of: device, on: "potentiostat", arrival: MonotonicTime(nanoseconds: arrival))?.nanoseconds ?? arrival
  }

  /// Seconds since the run's start.
  func seconds(_ raw: Int64) -> Double { Double(raw - startedRaw) / 1e9 }
}
