import Pixels
package import Quantities

/// A camera that a protocol is held against, as data.
package struct PlannedCamera: Hashable, Sendable {
  package var name: String
  /// Of its largest frame, pixels.
  package var width: Int
  package var height: Int
  package var bytesPerPixel: Int
  /// Frames per second where a step names no rate; nil where that is not known.
  package var rate: Hertz?
  /// Frames per second that go on, for looking back, while a step records nothing; nil: the camera rests.
  package var watch: Hertz?

  package init(
    name: String, width: Int, height: Int, bytesPerPixel: Int, rate: Hertz? = nil, watch: Hertz? = nil
  ) {
    self.name = name
    self.width = width
    self.height = height
    self.bytesPerPixel = bytesPerPixel
    self.rate = rate
    self.watch = watch
  }

  /// What the camera does during a step: what the step says, or watching where it says nothing.
  func recording(in step: Step) -> Recording {
    let own = step.recording[name]
    if !own.runs, let watch { return Recording(rate: watch, keep: .none) }
    return own
  }

  /// Pixels of one frame as it is written, bytes. Sums of averages have 32 bit.
  func frameBytes(_ recording: Recording) -> Int {
    let pixels = recording.region?.pixels(in: width, height) ?? width.saturatingProduct(height)
    return pixels.saturatingProduct(recording.average > 1 ? CompiledProtocol.bytesOfSum : bytesPerPixel)
  }
}

/// What is written of a camera's frames at most.
package struct PlannedFrames: Hashable, Sendable {
  package var frames: Int
  /// Pixels and index records of `frames`.
  package var bytes: Int
  /// False: the camera, or a trigger, decides how many more there are.
  package var areComplete: Bool

  package init(frames: Int = 0, bytes: Int = 0, areComplete: Bool = true) {
    self.frames = frames
    self.bytes = bytes
    self.areComplete = areComplete
  }

  mutating func add(_ others: PlannedFrames) {
    frames = frames.saturatingSum(others.frames)
    bytes = bytes.saturatingSum(others.bytes)
    areComplete = areComplete && others.areComplete
  }
}

extension CompiledProtocol {
  /// Of a pixel of an average.
  package static let bytesOfSum = 4
}

/// Counts what is written, step by step.
struct FramePlan {
  let cameras: [PlannedCamera]
  let indexBytes: Int
  /// By camera.
  private(set) var totals: [PlannedFrames]
  /// By camera: the recording so far that leaves the most frames in the ring, to be looked back for.
  private var leaving: [Recording?]
  private var elapsed = Seconds.zero

  init(_ cameras: [PlannedCamera], indexBytes: Int) {
    self.cameras = cameras
    self.indexBytes = indexBytes
    totals = cameras.map { _ in PlannedFrames() }
    leaving = cameras.map { _ in nil }
  }

  /// What a step writes, with what is looked back for before it.
  mutating func take(_ step: Step) -> PlannedFrames {
    var sum = step.keepBefore.map { lookBack($0) } ?? PlannedFrames()
    for (index, camera) in cameras.enumerated() {
      let recording = camera.recording(in: step)
      guard recording.runs else { continue }
      let written = frames(over: step.bound, at: recording.writtenRate(camera: camera.rate), recording, camera)
      add(written, of: index, to: &sum)
      if let trigger = recording.trigger {
        let time = trigger.before + min(trigger.after, step.bound)
        var once = frames(over: time, at: recording.leftRate(camera: camera.rate), recording, camera)
        once.areComplete = false
        add(once, of: index, to: &sum)
      }
      if recording.leavesMore(than: leaving[index], camera: camera.rate) { leaving[index] = recording }
    }
    elapsed = elapsed + step.bound
    return sum
  }

  /// What is written of the frames of the last seconds that nobody has kept.
  mutating func lookBack(_ time: Seconds) -> PlannedFrames {
    var sum = PlannedFrames()
    for (index, camera) in cameras.enumerated() {
      guard let recording = leaving[index] else { continue }
      let rate = recording.leftRate(camera: camera.rate)
      add(frames(over: min(time, elapsed), at: rate, recording, camera), of: index, to: &sum)
    }
    return sum
  }

  private mutating func add(_ frames: PlannedFrames, of camera: Int, to sum: inout PlannedFrames) {
    totals[camera].add(frames)
    sum.add(frames)
  }

  /// - Parameter rate: nil where it is not known.
  private func frames(
    over time: Seconds, at rate: Hertz?, _ recording: Recording, _ camera: PlannedCamera
  ) -> PlannedFrames {
    guard let rate else { return PlannedFrames(areComplete: false) }
    let count = Plan.count(time.value * rate.value)
    return PlannedFrames(
      frames: count, bytes: count.saturatingProduct(camera.frameBytes(recording).saturatingSum(indexBytes)))
  }
}

extension Recording {
  /// Frames, or averages, per second that stay in the ring only; nil where that is not known.
  fileprivate func leftRate(camera: Hertz?) -> Hertz? {
    guard runs, keep != .all else { return .zero }
    guard let come = rate ?? camera, let written = writtenRate(camera: camera) else { return nil }
    return Hertz(max(0, come.value / Double(average) - written.value))
  }

  /// What is not known counts as most.
  fileprivate func leavesMore(than other: Recording?, camera: Hertz?) -> Bool {
    func most(_ recording: Recording) -> Double { recording.leftRate(camera: camera)?.value ?? .infinity }
    return most(self) > (other.map(most) ?? 0)
  }
}

extension Int {
  func saturatingProduct(_ other: Int) -> Int {
    let (product, overflow) = multipliedReportingOverflow(by: other)
    return overflow ? .max : product
  }

  func saturatingSum(_ other: Int) -> Int {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
