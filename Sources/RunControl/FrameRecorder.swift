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

/// The reader of the ring that must not lose: takes every frame, has it written where it lies, and gives its slot back when
/// that is done. Without a run it only gives slots back.
final class FrameRecorder: Sendable {
  /// fdatasync(2) of pixels and index about this often: what a power cut may take.
  private static let synchronizeInterval = Seconds(2)
  /// Small frames do not wait in memory longer than this when no more come.
  private static let flushAfter = Seconds(0.1)
  /// Longest wait before commands are looked for again.
  private static let turn = Seconds(0.02)

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
          release(next, session)
          shared.update { _ = $0.openSeries.remove(ended.series) }
        case .end:
          while next < ring.published { take(&next, session) }
          session?.close()
          session = nil
          release(next, nil)
          shared.update { state in
            state.isRecording = false
            state.openSeries = []
          }
        }
      }

      if let session, session.isWriting, ring.published == next {
        // The end of a write: its slots are free then, and readers hear of its frames.
        session.reap(waitingAtMost: Self.turn)
        release(next, session)
      } else if ring.waitForPublished(beyond: next, atMost: Self.turn) {
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
    let slot = next
    unsafe _ = ring.read(slot) { frame, pixels in unsafe session?.record(frame, pixels, slot: slot) }
    next += 1
    release(next, session)
    // A full ring on a slow disk takes a while: each frame is a turn.
    if next % 16 == 0 { shared.update { $0.beats += 1 } }
  }

  /// Gives slots back below `next`, as far as nothing is being written from them.
  private func release(_ next: UInt64, _ session: RecordingSession?) {
    let free = session?.firstSlotInUse ?? next
    if free > 0 { ring.release(through: free - 1) }
  }
}
