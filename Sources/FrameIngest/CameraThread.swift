package import FrameRing
import Linux
import Quantities
import Synchronization

/// The thread that owns a camera: the only one that touches it and the only writer of its ring.
///
/// Commands come through a bounded queue, reports go to a callback that runs on this thread and must not block.
package final class CameraThread: @unchecked Sendable {
  private static let mostCommands = 64
  private static let patience = Seconds(0.02)
  private static let idleLook = Seconds(0.05)
  /// Commands and the alive counter are looked after this often, not for every frame.
  private static let betweenLooks = Seconds(0.005)
  /// Not commensurate with frame or sample periods, so that probes do not always meet the same phase.
  private static let betweenProbes = Seconds(0.4837)
  private static let backOff = (least: Seconds(0.1), most: Seconds(2))
  /// A camera that does not come to an end after `stop` is cut off.
  private static let drainLimit = Seconds(5)
  /// Messages thrown away in one go while nothing is recorded, so that commands are heard in between.
  private static let mostIgnoredAtOnce = 256

  private enum Phase { case idle, recording, draining(until: MonotonicTime) }

  private let commands = BoundedQueue<CameraCommand>(limit: mostCommands)
  /// Set behind each command, so that the thread takes no lock as long as there is none.
  private let hasCommands = Atomic(false)
  private let alive = Atomic<UInt64>(0)
  private let report: @Sendable (CameraReport) -> Void
  private var thread: NamedThread?

  // Below: the thread's own.
  private let camera: any Camera
  private let ring: FrameRing
  private var phase = Phase.idle
  private var isConnected = false
  private var isClosing = false
  private var answersStop = false
  /// The series wanted next, or wanted again after a reconnection.
  private var wanted: ExposureRequest?
  private var current: ExposureRequest?
  private var step: UInt32 = .max
  private var count: SeriesCount?
  private var nextSeries: UInt64 = 0
  private var reported: CameraIdentity?
  private var toldDisconnected = false
  private var told: Set<String> = []
  private var probes = true
  private var nextProbe = MonotonicTime(nanoseconds: 0)
  private var nextLook = MonotonicTime(nanoseconds: 0)
  private var nextAttempt = MonotonicTime(nanoseconds: 0)
  private var wait = backOff.least

  /// Starts at once: connects, and goes on trying until the camera answers.
  /// - Parameter name: of the thread, at most 15 bytes.
  package init(
    _ camera: sending any Camera, ring: FrameRing, name: String = "camera",
    report: @escaping @Sendable (CameraReport) -> Void
  ) {
    self.camera = camera
    self.ring = ring
    self.report = report
    thread = NamedThread(name) { [self] in run() }
  }

  /// False when the thread does not come to its commands; nothing is done then.
  @discardableResult
  package func send(_ command: CameraCommand) -> Bool {
    guard commands.push(command) else { return false }
    // Releasing: who sees it finds the command in the queue.
    hasCommands.store(true, ordering: .releasing)
    return true
  }

  /// Waits for the end after `.close`.
  package func join() { thread?.join() }

  /// Counts up as long as the loop goes round, several times a second at least while the camera answers.
  package var beats: UInt64 { alive.load(ordering: .relaxed) }

  private func run() {
    while true {
      obey()
      if isClosing, case .idle = phase { break }
      guard isConnected else {
        connectWhenDue()
        continue
      }
      do throws(CameraError) { try turn() } catch { lose(error) }
    }
    camera.close()
    commands.close()
  }

  // MARK: Commands

  private func obey() {
    let now = MonotonicTime.now
    guard now >= nextLook else { return }
    nextLook = now + Self.betweenLooks
    alive.wrappingAdd(1, ordering: .relaxed)
    guard hasCommands.exchange(false, ordering: .acquiring) else { return }
    while let command = commands.pop(atMost: Seconds(0)) { take(command) }
  }

  private func take(_ command: CameraCommand) {
    switch command {
    case .setStep(let step):
      // A series that is still to begin takes its step with it.
      if wanted == nil { self.step = step } else { stepAfterDrain = step }
    case .record(let request, let step):
      answersStop = false
      switch phase {
      case .recording where !camera.canBeCommanded: self.step = step
      case .recording:
        wanted = request
        stepAfterDrain = step
        beginDrain()
      case .idle, .draining:
        wanted = request
        stepAfterDrain = step
      }
    case .stop:
      wanted = nil
      answersStop = true
      finishOrDrain()
    case .close:
      wanted = nil
      isClosing = true
      finishOrDrain()
    }
  }

  /// The frames still in flight belong to the step before.
  private var stepAfterDrain: UInt32 = .max

  private func finishOrDrain() {
    switch phase {
    case .recording: beginDrain()
    case .idle: answerStop()
    case .draining: break
    }
  }

  private func beginDrain() {
    phase = .draining(until: .now + Self.drainLimit)
    do throws(CameraError) { try camera.stop() } catch { lose(error) }
  }

  private func answerStop() {
    if answersStop { report(.stopped) }
    answersStop = false
  }

  // MARK: Connection

  private func connectWhenDue() {
    let now = MonotonicTime.now
    guard now >= nextAttempt else {
      // Commands end this wait; `obey` looks at once.
      if let command = commands.pop(atMost: min(nextAttempt - now, Self.idleLook)) { take(command) }
      return
    }
    do throws(CameraError) {
      try camera.connect()
      isConnected = true
      toldDisconnected = false
      wait = Self.backOff.least
      probes = true
      nextProbe = .now
      reported = camera.identity
      report(.connected(camera.identity))
    } catch {
      lose(error)
    }
  }

  /// The camera is gone: what ran has ended, and is wanted again.
  private func lose(_ error: CameraError) {
    let again = wanted ?? current
    if !toldDisconnected { report(.disconnected(error)) }
    toldDisconnected = true
    isConnected = false
    camera.close()
    nextAttempt = .now + wait
    wait = min(wait * 2, Self.backOff.most)
    let wasRecording = if case .recording = phase { true } else { false }
    let keeps = wanted != nil || wasRecording
    if case .idle = phase {} else { becomeIdle(triggered: nil) }
    if keeps && !isClosing {
      if wanted == nil { stepAfterDrain = step }
      wanted = again
    }
  }

  // MARK: One turn of the loop

  private func turn() throws(CameraError) {
    try probeWhenDue()
    switch phase {
    case .idle:
      if let request = wanted {
        start(request)
      } else {
        try throwAway()
        if let command = commands.pop(atMost: Self.idleLook) { take(command) }
      }
    case .recording:
      handle(try camera.next(into: ring, step: step, atMost: Self.patience))
    case .draining(let end):
      handle(try camera.next(into: ring, step: step, atMost: Self.patience))
      if case .draining = phase, MonotonicTime.now > end {
        report(.warning("camera at \(camera.identity.address) did not come to the end of its series; it was cut off"))
        becomeIdle(triggered: nil)
      }
    }
  }

  private func start(_ request: ExposureRequest) {
    var request = request
    request.series = max(request.series, nextSeries)
    wanted = nil
    do throws(CameraError) { try camera.start(request, into: ring) } catch {
      if error.isRefusal {
        report(.refused(series: request.series, error))
      } else {
        wanted = request
        lose(error)
      }
      return
    }
    step = stepAfterDrain
    current = request
    phase = .recording
    told = []
    if camera.canBeCommanded { begin(request.series) }
  }

  private func begin(_ series: UInt64) {
    count = SeriesCount(series: series)
    if camera.canBeCommanded { nextSeries = series &+ 1 }
    report(.seriesStarted(series: series))
    noteIdentity()
  }

  /// Some cameras tell who they are, and how large their frames are, only by sending some.
  private func noteIdentity() {
    guard camera.identity != reported else { return }
    reported = camera.identity
    report(.identified(camera.identity))
  }

  /// What comes while nothing is recorded must not pile up in front of the next series.
  private func throwAway() throws(CameraError) {
    for _ in 0..<Self.mostIgnoredAtOnce {
      switch try camera.next(into: ring, step: .max, atMost: Seconds(0)) {
      case .nothing: return
      default: continue
      }
    }
  }

  private func handle(_ event: CameraEvent) {
    switch event {
    case .frame: count?.noteFrame()
    case .ringFull: count?.noteRingFull()
    case .nothing: break
    case .clockPair(let pair): report(.clockPair(pair))
    case .readings(let readings): report(.readings(readings))
    case .seriesStarted(let series): begin(series)
    case .renumbered(let sent, let recorded):
      warn("its series \(sent) is recorded as series \(recorded): that number was used before, or cannot be stored")
    case .refusedFrame(let cause):
      if count?.noteUnusable(cause) ?? isNews(cause) { warn("a frame was refused: \(cause)") }
    case .ignored(let cause):
      if isNews(cause) { warn("ignored: \(cause)") }
    case .drained: becomeIdle(triggered: nil)
    case .seriesEnded(_, let triggered):
      if case .recording = phase, !camera.canBeCommanded {
        // Its sender may send another.
        endSeries(triggered)
      } else {
        becomeIdle(triggered: triggered)
      }
    }
  }

  /// Each cause is told once in a series, and not too many of them.
  private func isNews(_ cause: String) -> Bool {
    told.count < SeriesCount.mostCauses && told.insert(cause).inserted
  }

  private func warn(_ text: String) { report(.warning("camera at \(camera.identity.address): \(text)")) }

  private func endSeries(_ triggered: UInt64?) {
    if let count {
      noteIdentity()
      report(count.ended(triggered: triggered))
    }
    count = nil
  }

  private func becomeIdle(triggered: UInt64?) {
    endSeries(triggered)
    phase = .idle
    current = nil
    if wanted == nil { answerStop() }
  }

  private func probeWhenDue() throws(CameraError) {
    let now = MonotonicTime.now
    guard probes, now >= nextProbe else { return }
    nextProbe = now + Self.betweenProbes
    do throws(CameraError) {
      guard let pair = try camera.probeClock() else {
        probes = false
        return
      }
      report(.clockPair(pair))
    } catch {
      if case .impossibleTime = error {
        if isNews("impossible time") { report(.warning("\(error)")) }
        return
      }
      guard error.isRefusal else { throw error }
      probes = false
      warn("its clock cannot be read, \(error)")
    }
  }
}
