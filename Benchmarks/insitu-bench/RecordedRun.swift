import BiasProtocol
import FrameRing
import Glibc
import Linux
import Pixels
import Quantities
import RunControl
import RunStore
import SQLite
import ZeroMQ

/// A run of one step, and the daemon's recorder at work on it.
final class RecordedRun: Sendable {
  let directory: RunDirectory
  let recorder: FrameRecorder
  private let run: ActiveRun
  private let publisher: StreamPublisher

  init(_ path: String, _ ring: FrameRing, _ settings: RecorderSettings = RecordedRun.settings()) throws {
    var compiled = try CompiledProtocol(
      parsing: """
        protocol: 1
        name: benchmark
        limits: {voltage: [-1 V, 1 V], current: [-1 nA, 1 nA]}
        steps: [Rest for 1 s]
        """)
    compiled.steps[0].recording = .all
    let clock = HostClockReading.now
    let id = ULID(unixNanoseconds: clock.unixNanoseconds)
    directory = try RunDirectory.create(in: DataDirectory(creating: path), id: id, name: "benchmark")
    let database = try RunDatabase.create(
      in: directory,
      RunRecord(
        id: id, name: "benchmark", sampleID: nil, protocolText: "", protocolJSON: "{}", started: clock,
        software: "insitu-bench", host: ""))
    run = ActiveRun(
      id: id.description, name: "benchmark", directory: directory, compiled: compiled, planned: Seconds(1), at: clock,
      writer: RunWriter(database))
    publisher = try StreamPublisher(
      ZeroMQContext(), endpoint: "inproc://insitu-bench", rings: [CameraRing(.first, ring)])
    recorder = FrameRecorder(camera: .first, ring: ring, publisher: publisher)
    recorder.begin(run, settings)
  }

  static func settings(segmentBytes: Int64 = 16 << 30) -> RecorderSettings {
    RecorderSettings(segmentBytes: segmentBytes, keepFree: 0, degradations: [])
  }

  /// Waits until all is on the disk and in the database.
  func finish(within limit: Seconds) throws(BenchmarkError) {
    let end = recorder.end(within: limit)
    let isStored = run.writer.commit(within: limit)
    if let failure = end.failure ?? run.writer.failure { throw BenchmarkError(failure) }
    guard end.isClosed, isStored else { throw BenchmarkError("the recorder does not come to its end") }
  }

  /// What is stored, by the run's database. The threads end.
  func close() throws(BenchmarkError) -> (frames: Int, compressed: Int, bytes: Int) {
    recorder.shutDown()
    publisher.end()
    do throws(DatabaseError) {
      let row = try run.writer.end()?.database.rows(
        "SELECT count(*) AS frames, sum(encoding != 0) AS compressed, sum(stored_bytes) AS bytes FROM frame"
      ).first
      return (
        Int(row?.count("frames") ?? 0), Int(row?.count("compressed") ?? 0), Int(row?.count("bytes") ?? 0)
      )
    } catch { throw BenchmarkError("\(error)") }
  }
}

/// Removes a directory and the files in it.
func removeDirectory(_ path: String) {
  for name in (try? FileSystem.list(path)) ?? [] { FileSystem.remove("\(path)/\(name)") }
  unsafe _ = rmdir(path)
}
