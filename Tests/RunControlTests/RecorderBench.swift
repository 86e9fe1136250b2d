import BiasProtocol
import FrameRing
import Glibc
import Linux
import Quantities
import RunStore
import SQLite
import ZeroMQ

@testable import RunControl

/// A recorder with a ring of its own and a run in a temporary directory; the test is the camera.
final class RecorderBench {
  /// Pixels to a side of the frames, of 16 bit.
  let side: Int
  let ring: FrameRing
  let recorder: FrameRecorder
  let run: ActiveRun
  private let level: UInt16?
  private let publisher: StreamPublisher
  private let path: String
  private let settings: RecorderSettings

  struct Failure: Error { var reason: String }

  /// - Parameters:
  ///   - recording: of every step.
  ///   - level: of all pixels but the first four, which have the number of the frame; nil: they are left as they are.
  ///   - slotSide: of the largest frames that the ring takes; nil: of these.
  ///   - queue: the disk; nil: the real one.
  init(
    _ recording: Recording, slots: Int = 64, side: Int = 8, slotSide: Int? = nil, steps: Int = 1,
    degradations: [Degradation] = [], level: UInt16? = nil, segmentBytes: Int64 = 1 << 20,
    queue: (@Sendable (Int) -> any FileQueue)? = nil
  ) throws {
    var template = Array("/tmp/recorder-bench.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Failure(reason: "no temporary directory") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    self.side = side
    self.level = level
    ring = try FrameRing.create(path + "/ring", slots: slots, slotBytes: (slotSide ?? side) * (slotSide ?? side) * 2)
    let place = CameraRing(.first, ring)
    publisher = try StreamPublisher(ZeroMQContext(), endpoint: "inproc://recorder-bench", rings: [place])
    recorder = FrameRecorder(camera: .first, ring: ring, publisher: publisher)

    let sentences = repeatElement("Rest for 1 s", count: steps).joined(separator: ", ")
    var compiled = try CompiledProtocol(
      parsing:
        "protocol: 1\nname: bench\nlimits: {voltage: [-1 V, 1 V], current: [-1 nA, 1 nA]}\nsteps: [\(sentences)]")
    for index in compiled.steps.indices { compiled.steps[index].recording = StepRecording(recording) }
    let data = try DataDirectory(creating: path + "/data")
    let clock = HostClockReading.now
    let id = ULID(unixNanoseconds: clock.unixNanoseconds)
    let directory = try RunDirectory.create(in: data, id: id, name: "bench")
    let database = try RunDatabase.create(
      in: directory,
      RunRecord(
        id: id, name: "bench", sampleID: nil, protocolText: "", protocolJSON: "{}", started: clock, software: "test",
        host: "bench"))
    run = ActiveRun(
      id: id.description, name: "bench", directory: directory, compiled: compiled, planned: Seconds(1), at: clock,
      writer: RunWriter(database))
    var settings = RecorderSettings(segmentBytes: segmentBytes, keepFree: 0, degradations: degradations)
    settings.queue = queue
    self.settings = settings
    recorder.begin(run, settings)
  }

  /// Another way into the same run, for frames that do not come through the recorder.
  func session() -> RecordingSession {
    RecordingSession(run, .first, settings, publisher, slots: ring.slotCount)
  }

  /// Puts frames into the ring, and waits where it is full.
  func put(_ numbers: some Sequence<UInt64>, series: UInt64 = 1, step: UInt32 = 0, flags: FrameFlags = []) throws {
    for number in numbers {
      let end = MonotonicTime.now + Seconds(10)
      while ring.filled >= ring.slotCount {
        guard MonotonicTime.now < end else { throw Failure(reason: "the ring stays full") }
        sleepThread(for: Seconds(0.001))
      }
      guard offer(number, series: series, step: step, flags: flags) else { throw Failure(reason: "the ring is full") }
    }
  }

  /// Puts a frame into the ring as a camera would.
  /// - Returns: false where the ring had no room, which it has counted.
  func offer(_ number: UInt64, series: UInt64 = 1, step: UInt32 = 0, flags: FrameFlags = []) -> Bool {
    // In the first round only: after that a frame is a matter of its number.
    let level = ring.published < ring.slotCount ? level : nil
    return ring.write { frame, room in
      frame.frameNumber = number
      frame.deviceNanoseconds = Int64(number) * 2_500_000
      frame.exposureNanoseconds = 2_400_000
      frame.arrival = .now
      frame.series = series
      frame.flags = flags
      frame.width = side
      frame.height = side
      frame.step = step
      if let level { room.bindMemory(to: UInt16.self).update(repeating: level) }
      room.storeBytes(of: number, as: UInt64.self)
      return true
    } != nil
  }

  /// Waits until the recorder has dealt with all that is in the ring.
  func settle() throws {
    let beats = recorder.beats
    let end = MonotonicTime.now + Seconds(10)
    while recorder.beats < beats + 3 || recorder.waiting > 0 {
      guard MonotonicTime.now < end else { throw Failure(reason: "the recorder stands still") }
      sleepThread(for: Seconds(0.002))
    }
  }

  /// Puts frames into the ring a few at a time, as the recorder gets on, with no pause in which it would put its files in order.
  /// - Returns: how many found the ring full.
  func putInStep(_ numbers: Range<UInt64>) throws -> UInt64 {
    let refused = ring.refused
    for first in stride(from: numbers.lowerBound, to: numbers.upperBound, by: 8) {
      for number in first..<min(first + 8, numbers.upperBound) { _ = offer(number) }
      // A turn that had begun, the one that takes these, and the beginning of the next.
      let beats = recorder.beats
      let end = MonotonicTime.now + Seconds(10)
      while recorder.beats < beats + 3 {
        guard MonotonicTime.now < end else { throw Failure(reason: "the recorder stands still") }
        sleepThread(for: Seconds(0.0005))
      }
    }
    return ring.refused - refused
  }

  func keep(last span: Seconds) throws -> UInt64 {
    guard let kept = recorder.wait(for: recorder.keep(last: span)) else { throw Failure(reason: "nothing was kept") }
    return kept.frames
  }

  func ended(_ series: UInt64 = 1, triggered: UInt64?, refused: UInt64 = 0, unusable: [String: UInt64] = [:]) {
    recorder.seriesEnded(
      EndedSeries(series: series, triggered: triggered, refusedByRing: refused, unusable: unusable))
  }

  /// What a reader finds in the database meanwhile; the last tenth of a second may be missing.
  func rows(_ query: String) throws -> [Database.Row] {
    try RunDatabase.open(run.directory, .readOnly).database.rows(query)
  }

  /// Ends the run, verifies it, and gives what it says.
  func finish() throws -> (database: RunDatabase, report: VerificationReport, ledgers: [SeriesLedger]) {
    let end = recorder.end(within: Seconds(5))
    guard end.isClosed, end.failure == nil else { throw Failure(reason: "not closed: \(end)") }
    guard let database = run.writer.end() else { throw Failure(reason: "no database") }
    let now = HostClockReading.now
    try database.finish(
      .complete, reason: nil, ended: now.raw, unixNanoseconds: now.unixNanoseconds, charge: .zero)
    return (database, try RunVerification.verify(run.directory), try database.ledgers())
  }

  deinit {
    recorder.shutDown()
    publisher.end()
    remove(path)
  }

  private func remove(_ path: String) {
    guard FileSystem.isDirectory(path) else { return FileSystem.remove(path) }
    for name in (try? FileSystem.list(path)) ?? [] { remove("\(path)/\(name)") }
    rmdir(path)
  }
}
