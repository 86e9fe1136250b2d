import CIntakeProbe
import FrameIngest
import FrameRing
import Glibc
import Linux
import Quantities

/// A camera whose thread is counted from one frame to another; what it does is what the camera within does.
final class CountedCamera: Camera {
  /// What a receiver may do wrong, on purpose.
  enum Waste: String, CaseIterable { case memory, lock, call, line }

  private let camera: any Camera
  private let frames: Range<Int>
  private let waste: Waste?
  private let isDone: Monitor<Bool>
  private let lock = Monitor(0)
  private var count = 0
  private var wasted: [UInt8] = []
  private var isWritable = false

  init(_ camera: sending any Camera, frames: Range<Int>, waste: Waste?, isDone: Monitor<Bool>) {
    self.camera = camera
    self.frames = frames
    self.waste = waste
    self.isDone = isDone
  }

  var identity: CameraIdentity { camera.identity }
  var canBeCommanded: Bool { camera.canBeCommanded }
  func connect() throws(CameraError) { try camera.connect() }
  func start(_ request: ExposureRequest, into ring: FrameRing) throws(CameraError) {
    try camera.start(request, into: ring)
  }
  func stop() throws(CameraError) { try camera.stop() }
  func close() { camera.close() }

  /// Not for a frame, but twice a second.
  func probeClock() throws(CameraError) -> ClockPair? {
    intake_pause()
    defer { intake_resume() }
    return try camera.probeClock()
  }

  func next(into ring: FrameRing, step: UInt32, atMost span: Seconds) throws(CameraError) -> CameraEvent {
    let event = try camera.next(into: ring, step: step, atMost: span)
    guard case .frame = event else { return event }
    count += 1
    if count > frames.lowerBound, let waste { squander(waste) }
    if count == frames.lowerBound { intake_begin() }
    if count == frames.upperBound {
      intake_end()
      isDone.update { $0 = true }
    }
    return event
  }

  private func squander(_ waste: Waste) {
    switch waste {
    case .memory: wasted = [UInt8](repeating: UInt8(truncatingIfNeeded: count), count: 4096)
    case .lock: lock.update { $0 += 1 }
    case .call: isWritable = FileSystem.isWritable("/dev/null")
    case .line: unsafe _ = write(2, "a frame\n", 8)
    }
  }
}
