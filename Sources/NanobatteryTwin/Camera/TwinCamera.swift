internal import FrameRing
internal import Glibc
internal import Linux
internal import Quantities

/// A camera in software: it exposes on its own clock, draws what the world looks like, and publishes each frame in its
/// ring right after the exposure's end.
package final class TwinCamera: Sendable {
  /// What has become of the exposures so far.
  package struct Counts: Equatable, Sendable {
    package var exposed: UInt64 = 0
    package var published: UInt64 = 0
    package var lostByFault: UInt64 = 0
    package var lostRingFull: UInt64 = 0
    package var lostOverrun: UInt64 = 0
  }

  struct Request: Equatable, Sendable {
    var series: UInt64
    var period_ns: Int64
    var exposure_ns: Int64
    /// The series ends by itself after so many.
    var exposures: UInt64?
  }

  struct State {
    var request: Request?
    /// Set when the pools are ready; nothing has begun before.
    var schedule: ExposureSchedule?
    /// Exposures to be finished, once STOP has come.
    var stopAt: UInt64?
    var closing = false
    var counts = Counts()
  }

  package let settings: TwinCameraSettings
  package let ringPath: String
  package let slots: Int
  let world: World
  let ring: FrameRing
  let state = Monitor(State())
  let report: @Sendable (String) -> Void
  private let thread = Monitor<NamedThread?>(nil)

  /// Makes the ring and starts the thread. With too little memory behind the ring's file, fewer slots are made, at
  /// least `fewestSlots`.
  package init(
    _ settings: TwinCameraSettings, world: World, report: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(TwinCameraError) {
    let sides = 8...TwinCameraSettings.largestSide
    guard sides.contains(settings.width), sides.contains(settings.height) else {
      throw TwinCameraError(
        "a camera of \(settings.width) × \(settings.height) pixels; each side must be \(sides.lowerBound)…"
          + "\(sides.upperBound)")
    }
    self.settings = settings
    self.world = world
    self.report = report
    ring = try Self.makeRing(settings, report)
    ringPath = ring.path
    slots = ring.slotCount
    thread.update { $0 = NamedThread("twin-camera") { [self] in run() } }
  }

  static let fewestSlots = 8

  private static func makeRing(
    _ settings: TwinCameraSettings, _ report: @Sendable (String) -> Void
  ) throws(TwinCameraError) -> FrameRing {
    let slotBytes = 2 * settings.width * settings.height
    var slots = max(settings.slots, 1)
    while true {
      do throws(FrameRingError) {
        return try FrameRing.create(settings.ringPath, slots: slots, slotBytes: slotBytes, memory: .ordinary)
      } catch {
        guard case .system(let cause) = error, cause.number == ENOSPC, slots > fewestSlots else {
          throw TwinCameraError(
            "the camera's ring needs \(slots * slotBytes >> 20) MiB: \(error); give it room or a smaller “ring_slots”")
        }
        slots = max(slots / 2, fewestSlots)
        report("too little room for the camera's ring at \(settings.ringPath): trying \(slots) slots")
      }
    }
  }

  package var counts: Counts { state.read { $0.counts } }
  var deviceNow: Int64 { settings.clock.device(at: .now) }

  /// Longest wait of a START for the frames of the series before it.
  private static let drainLimit = Seconds(5)

  func start(_ request: Request) throws(TwinCameraError) {
    let periods = TwinCameraSettings.shortestPeriod...TwinCameraSettings.longestPeriod
    guard periods.contains(request.period_ns) else {
      throw TwinCameraError(
        "period_ns is \(request.period_ns); \(periods.lowerBound) to \(periods.upperBound) is possible")
    }
    guard request.exposure_ns > 0, request.exposure_ns <= request.period_ns else {
      throw TwinCameraError(
        "exposure_ns is \(request.exposure_ns); it must be at least 1 and at most period_ns (\(request.period_ns))")
    }
    let problem = state.wait(atMost: Self.drainLimit) { state -> String?? in
      if state.closing { return "the camera is being switched off" }
      if let running = state.request {
        if state.stopAt == nil { return "series \(running.series) is running; send STOP first" }
        return nil  // still being read out: wait
      }
      state.request = request
      state.schedule = nil
      state.stopAt = request.exposures
      return .some(nil)
    }
    // The generator waits on the same monitor; `wait` wakes nobody.
    state.update { _ in }
    guard let answer = problem else {
      throw TwinCameraError("the series before is still being read out; try again when its end has come")
    }
    if let text = answer { throw TwinCameraError(text) }
  }

  /// Ends the running series after the exposure that has begun; its number and the exposures begun.
  func stop() throws(TwinCameraError) -> (series: UInt64, triggered: UInt64) {
    let now = deviceNow
    let answer = state.update { state -> (UInt64, UInt64)? in
      guard let request = state.request else { return nil }
      let triggered = min(state.stopAt ?? .max, state.schedule?.begun(at: now) ?? 0)
      state.stopAt = triggered
      return (request.series, triggered)
    }
    guard let answer else { throw TwinCameraError("no series is running; send START first") }
    return answer
  }

  /// Ends the thread and removes the ring's file.
  package func close() {
    state.update { $0.closing = true }
    thread.update { running in
      running?.join()
      running = nil
    }
    FileSystem.remove(ringPath)
  }
}
