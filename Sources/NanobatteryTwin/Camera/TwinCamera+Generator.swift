internal import FrameRing
internal import Linux
import Pixels
internal import Quantities

/// The thread "twin-camera".
extension TwinCamera {
  /// How long before the exposure's end the frame is drawn, so that it is published right after it.
  private static let drawingLead: Int64 = 1_500_000
  /// Between START and the first exposure.
  private static let startDelay: Int64 = 1_000_000
  /// Longest wait for room for the marker that ends a series.
  private static let markerPatience = Seconds(5)

  func run() {
    var scene: (mean: Double, scene: FrontScene)?
    while true {
      let request = state.wait(atMost: Seconds(3600)) { state -> Request?? in
        if state.closing { return .some(nil) }
        return state.request.map { .some($0) }
      }
      guard let request else { continue }
      guard let request else { return }
      let mean = settings.dose * Double(request.exposure_ns) * 1e-9
      if scene?.mean != mean {
        scene = (
          mean,
          FrontScene(
            width: settings.width, height: settings.height, mean: mean, seed: settings.seed,
            isVacuum: settings.seesVacuum)
        )
      }
      if let scene = scene?.scene { expose(request, scene) }
    }
  }

  private func expose(_ request: Request, _ scene: FrontScene) {
    let schedule = ExposureSchedule(
      series: request.series, first: deviceNow + Self.startDelay, period: request.period_ns,
      exposure: request.exposure_ns)
    state.update { $0.schedule = schedule }
    ring.beginSeries()
    var frame: UInt64 = 0
    var stallUntil: MonotonicTime?
    if let stall = settings.faults.stall { stallUntil = .now + stall.after + stall.span }
    while waitToDraw(schedule, frame) {
      state.update { $0.counts.exposed += 1 }
      if let stall = settings.faults.stall, let end = stallUntil, MonotonicTime.now >= end - stall.span {
        stallUntil = nil
        wait(until: end)
      }
      take(schedule, frame, scene)
      frame += 1
    }
    endSeries(request, frame)
    state.update {
      $0.request = nil
      $0.schedule = nil
      $0.stopAt = nil
    }
  }

  /// Waits until it is time to draw a frame whose exposure has begun; false when the series ends before it.
  private func waitToDraw(_ schedule: ExposureSchedule, _ frame: UInt64) -> Bool {
    let drawing = max(schedule.start(frame), schedule.stop(frame) - Self.drawingLead)
    while true {
      let left = settings.clock.host(at: drawing) - .now
      let isOver = state.wait(atMost: max(left, Seconds(0))) { state in
        state.closing || state.stopAt.map { frame >= $0 } == true ? true : nil
      }
      if isOver == true { return false }
      // The exposure must have begun on the camera's own clock: STOP counts by it.
      if deviceNow >= drawing { return true }
    }
  }

  private func take(_ schedule: ExposureSchedule, _ frame: UInt64, _ scene: FrontScene) {
    let start = settings.clock.host(at: schedule.start(frame))
    let stop = settings.clock.host(at: schedule.stop(frame))
    var sent = false
    if settings.faults.lose?.strikes(frame) == true {
      state.update { $0.counts.lostByFault += 1 }
    } else if MonotonicTime.now - stop > TwinCameraSettings.readoutBacklog {
      state.update { $0.counts.lostOverrun += 1 }
    } else {
      let copies = settings.faults.repeat?.strikes(frame) == true ? 2 : 1
      for _ in 0..<copies where publish(schedule, frame, scene, after: stop) { sent = true }
      state.update { if sent { $0.counts.published += 1 } else { $0.counts.lostRingFull += 1 } }
    }
    wait(until: stop)
    guard let truth = world.truth else { return }
    let means = world.means(from: start, to: stop)
    truth.append(
      TruthRecorder.FrameRow(
        series: schedule.series, frameNumber: frame, start: start, stop: stop, voltageMean: means.voltage,
        currentMean: means.current, charge: world.charge(at: stop), sent: sent))
  }

  /// Draws into the next free slot and publishes it when the exposure is over; false when the ring is full.
  private func publish(
    _ schedule: ExposureSchedule, _ frame: UInt64, _ scene: FrontScene, after stop: MonotonicTime
  ) -> Bool {
    guard let room = unsafe ring.reserve() else { return false }
    guard let pixels = room.baseAddress else { return false }
    world.advance(to: .now)
    unsafe scene.draw(
      stateOfCharge: world.cell.stateOfCharge,
      into: pixels.bindMemory(to: UInt16.self, capacity: scene.width * scene.height))
    wait(until: stop)
    ring.publish(
      FrameHeader(
        frameNumber: frame, deviceNanoseconds: schedule.start(frame), exposureNanoseconds: schedule.exposure,
        arrival: .now, series: schedule.series, pixelType: .u16, width: scene.width, height: scene.height))
    return true
  }

  /// The slot that says that the series is over. A reader that is gone leaves the ring full: then there is none.
  private func endSeries(_ request: Request, _ exposures: UInt64) {
    let patience = MonotonicTime.now + Self.markerPatience
    while ring.filled >= ring.slotCount {
      if MonotonicTime.now >= patience || state.read({ $0.closing }) {
        report("camera: no room in the ring for the end of series \(request.series)")
        return
      }
      sleepThread(for: Seconds(0.001))
    }
    _ = unsafe ring.write { header, _ in
      header = FrameHeader(
        frameNumber: exposures, deviceNanoseconds: deviceNow, arrival: .now, series: request.series,
        flags: .seriesEnd)
      return true
    }
    report("camera: series \(request.series) over, \(exposures) exposures")
  }

  /// Sleeps to an instant, in pieces, so that switching off does not wait for a long exposure.
  private func wait(until end: MonotonicTime) {
    while true {
      let left = end - .now
      if left.value <= 0 { return }
      if left.value < 0.01 {
        sleepThread(for: left)
      } else if state.wait(atMost: left, for: { $0.closing ? true : nil }) == true {
        return
      }
    }
  }
}
