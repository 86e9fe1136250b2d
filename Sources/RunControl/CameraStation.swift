import FrameIngest
package import FrameRing
import Linux
import Quantities
package import RunStore

/// One camera with all that belongs to it: the ring, the thread that receives, the thread that writes, and its clock.
package final class CameraStation: Sendable {
  package let camera: RunCamera
  package let setup: CameraSetup
  package let ring: FrameRing
  let recorder: FrameRecorder
  let clock: DeviceClock
  let identity = Monitor<CameraIdentity?>(nil)
  private let hasStopped = Monitor(true)
  private let thread = Monitor<CameraThread?>(nil)
  private let frameRate = FrameRateMeter()

  init(_ place: CameraRing, _ setup: CameraSetup, _ publisher: StreamPublisher) {
    camera = place.camera
    ring = place.ring
    self.setup = setup
    recorder = FrameRecorder(camera: place.camera, ring: place.ring, publisher: publisher) { frame in
      setup.counted(frame)
    }
    clock = DeviceClock(place.camera.name)
  }

  package var name: String { camera.name }

  /// Begins to reach for the camera. `report` is called on the camera's thread and must not block.
  func start(report: @escaping @Sendable (CameraStation, CameraReport) -> Void) throws(CameraError) {
    let source = try CameraModels.make(setup.source)
    let made = CameraThread(source, ring: ring, name: name) { [unowned self] heard in
      if case .stopped = heard { hasStopped.update { $0 = true } }
      report(self, heard)
    }
    thread.update { $0 = made }
  }

  /// False when the thread does not come to its commands.
  @discardableResult
  func send(_ command: CameraCommand) -> Bool { thread.read { $0 }?.send(command) ?? false }

  /// Ends the series that is going on.
  /// - Returns: false when the camera did not come to its end within `limit`.
  func stop(within limit: Seconds) -> Bool {
    hasStopped.update { $0 = false }
    guard send(.stop) else { return false }
    return hasStopped.wait(atMost: limit) { $0 ? true : nil } ?? false
  }

  func shutDown() {
    let thread = thread.read { $0 }
    thread?.send(.close)
    thread?.join()
    recorder.shutDown()
  }

  /// Whether the ring has a frame that came since then.
  func holdsFrames(since time: MonotonicTime) -> Bool {
    let published = ring.published
    guard published > 0, let newest = ring.peek(published - 1) else { return false }
    return newest.arrival >= time
  }

  /// Turns of the two loops.
  var beats: [String: UInt64] {
    ["\(name)": thread.read { $0 }?.beats ?? 0, camera.id == 0 ? "recorder" : "recorder of \(name)": recorder.beats]
  }

  /// Frames that came in per second, over the last second or so.
  var framesPerSecond: Double { frameRate.rate(published: ring.published, at: .now) }
}

/// Frames per second from a count that grows.
private final class FrameRateMeter: Sendable {
  private let marks = Monitor<[(time: MonotonicTime, published: UInt64)]>([])

  func rate(published: UInt64, at now: MonotonicTime) -> Double {
    marks.update { marks in
      marks.append((now, published))
      while marks.count > 2, now - marks[1].time > Seconds(1) { marks.removeFirst() }
      guard let first = marks.first, (now - first.time).value > 0.01 else { return 0 }
      return Double(published - min(first.published, published)) / (now - first.time).value
    }
  }
}
