import ControlProtocol
import FrameIngest
import FrameRing
import Linux
import Quantities
import RunStore

/// What the camera's thread knew of a series when it ended.
struct EndedSeries: Sendable {
  var series: UInt64
  var triggered: UInt64?
  var refusedByRing: UInt64
  var unusable: [String: UInt64]
}

/// The reader of the ring that must not lose: takes every frame, writes it where it lies, and then gives its slot back.
/// Without a run it only gives slots back.
final class FrameRecorder: Sendable {
  /// fdatasync(2) of pixels and index about this often: what a power cut may take.
  private static let synchronizeInterval = Seconds(2)
  /// Small frames do not wait in memory longer than this when no more come.
  private static let flushAfter = Seconds(0.1)

  private enum Command: Sendable {
    case begin(ActiveRun, segmentBytes: Int64)
    case seriesStarted(UInt64)
    /// `upTo`: the ring's `published` when the series ended; all its frames lie below.
    case seriesEnded(EndedSeries, upTo: UInt64)
    case end
  }

  private struct Shared {
    var commands: [Command] = []
    var openSeries: Set<UInt64> = []
    var isRecording = false
    var isEnding = false
    var beats: UInt64 = 0
  }

  private let camera: RunCamera
  private let ring: FrameRing
  private let publisher: StreamPublisher
  private let shared = Monitor(Shared())
  private let thread = Monitor<NamedThread?>(nil)

  init(camera: RunCamera, ring: FrameRing, publisher: StreamPublisher) {
    self.camera = camera
    self.ring = ring
    self.publisher = publisher
    thread.update { $0 = NamedThread(camera.id == 0 ? "recorder" : "rec-\(camera.name)") { [self] in work() } }
  }

  /// Slots with frames that have not been dealt with.
  var waiting: Int { ring.filled }

  var beats: UInt64 { shared.read { $0.beats } }

  /// From now on frames belong to `run`.
  func begin(_ run: ActiveRun, segmentBytes: Int64) {
    shared.update {
      $0.isRecording = true
      $0.commands.append(.begin(run, segmentBytes: segmentBytes))
    }
  }

  /// Called on the camera's thread.
  func seriesStarted(_ series: UInt64) {
    shared.update {
      $0.openSeries.insert(series)
      $0.commands.append(.seriesStarted(series))
    }
  }

  /// Called on the camera's thread, after the last frame of the series was published.
  func seriesEnded(_ ended: EndedSeries) {
    shared.update { $0.commands.append(.seriesEnded(ended, upTo: ring.published)) }
  }

  /// Waits for the series that are open, then writes what is left and ends the files.
  /// - Returns: whether all series ended within `limit` (else they are closed as they are), and whether the files were
  ///   closed.
  func end(within limit: Seconds) -> (seriesEnded: Bool, isClosed: Bool) {
    let ended = shared.wait(atMost: limit) { $0.openSeries.isEmpty ? true : nil } ?? false
    shared.update { $0.commands.append(.end) }
    return (ended, shared.wait(atMost: Seconds(30)) { $0.isRecording ? nil : true } ?? false)
  }

  func shutDown() {
    shared.update { $0.isEnding = true }
    thread.read { $0 }?.join()
  }

  // MARK: The thread

  private func work() {
    var next = ring.consumed
    var session: RecordingSession?
    var lastFrame = MonotonicTime.now
    var lastSynchronized = MonotonicTime.now
    while true {
      let (commands, isEnding) = shared.update { state -> ([Command], Bool) in
        state.beats += 1
        defer { state.commands = [] }
        return (state.commands, state.isEnding)
      }
      if isEnding { return }
      for command in commands {
        switch command {
        case .begin(let run, let segmentBytes):
          session = RecordingSession(run, camera, segmentBytes: segmentBytes, publisher)
        case .seriesStarted(let series):
          session?.begin(series)
        case .seriesEnded(let ended, let upTo):
          while next < upTo { take(&next, session) }
          session?.end(ended)
          shared.update { _ = $0.openSeries.remove(ended.series) }
        case .end:
          while next < ring.published { take(&next, session) }
          session?.close()
          session = nil
          shared.update { state in
            state.isRecording = false
            state.openSeries = []
          }
        }
      }

      if ring.waitForPublished(beyond: next, atMost: Seconds(0.02)) {
        let published = ring.published
        while next < published { take(&next, session) }
        lastFrame = .now
      } else if MonotonicTime.now - lastFrame > Self.flushAfter {
        session?.flush()
        lastFrame = .now
      }
      if let session, MonotonicTime.now - lastSynchronized > Self.synchronizeInterval {
        session.synchronize()
        lastSynchronized = .now
      }
    }
  }

  private func take(_ next: inout UInt64, _ session: RecordingSession?) {
    unsafe _ = ring.read(next) { frame, pixels in unsafe session?.record(frame, pixels) }
    ring.release(through: next)
    next += 1
    // A full ring on a slow disk takes a while: each frame is a turn.
    if next % 16 == 0 { shared.update { $0.beats += 1 } }
  }
}
