package import FrameRing
import Glibc
import Linux
import Pixels
package import Quantities

/// A Quantum Detectors Merlin (camera-streams.md §3): commands on one TCP port, `MPX` messages on another.
///
/// What is set is exposure, period and number of frames; triggers, thresholds, counter depth and file format stay as the
/// operator has them. Its clock is that of the Merlin computer (start of the shutter, as good as that computer's NTP)
/// and cannot be asked: a clock pair is one-sided in truth, as with SIMPLON, and `maximumLatency` must cover the jitter
/// of that stamp as well. Not tried on hardware.
package final class MerlinCamera: Camera {
  /// Of the Merlin software.
  static let dataPort = 6342
  static let controlPort = 6341
  /// More frames than anybody takes; a series ends by STOPACQUISITION. Also the sign by which an acquisition is known
  /// for ours when the daemon was killed and comes back. Public clients ask for more (4·10¹⁰).
  static let wantedFrames = "2147483647"
  /// Where that is out of range: what six digits of a sequence number can count.
  static let fewerFrames = "999999"

  private static let connectPatience = Seconds(2)
  /// A message that has begun must be whole after it.
  private static let messagePatience = Seconds(2)
  /// After STOPACQUISITION, silence of this length and one exposure means that nothing is in flight.
  private static let silence = Seconds(0.5)
  private static let longestSilence = Seconds(3)
  /// Before a series the data port must have been silent for so long, and become so within `mostStale`.
  private static let quiet = Seconds(0.02)
  private static let mostStale = Seconds(2)
  private static let betweenClockPairs = Seconds(0.05)

  package internal(set) var identity: CameraIdentity
  package let canBeCommanded = true
  let settings: CameraSettings
  private let dataAddress: String
  private let controlAddress: String
  private var control: MerlinControl?
  /// Nil also while the camera has closed it behind an acquisition; opened again by `start`.
  private var input: StreamInput?
  var series: MerlinSeries?
  private var lastMessage = MonotonicTime(nanoseconds: 0)
  private var lastClockPair = MonotonicTime(nanoseconds: 0)
  /// What is told by the next call.
  var pending: [CameraEvent] = []
  /// An acquisition of ours may be running, also behind a connection that was lost.
  private var hasStarted = false
  /// Bytes that are no message came; the beginning of the next one is looked for.
  var isLost = false

  package init(_ settings: CameraSettings) throws(CameraError) {
    self.settings = settings
    dataAddress = try NetworkAddress.of(settings.url, key: "url", port: Self.dataPort)
    let host = dataAddress[..<(dataAddress.lastIndex(of: ":") ?? dataAddress.endIndex)]
    controlAddress =
      try settings.control.map { text throws(CameraError) in
        try NetworkAddress.of(text, key: "control", port: Self.controlPort)
      } ?? "\(host):\(Self.controlPort)"
    identity = CameraIdentity(
      model: "Merlin", serial: "", address: settings.url,
      clock: "start of the shutter, clock of the Merlin computer, ns since 1970 UTC (MQ1A)")
  }

  package func connect() throws(CameraError) {
    close()
    let control = try MerlinControl(connecting: controlAddress)
    identity.model = "Merlin, software \(try control.get("SOFTWAREVERSION"))"
    // Before STARTACQUISITION, or the beginning is missed.
    input = try openData()
    identity.hasAnswered = true
    self.control = control
  }

  package func probeClock() throws(CameraError) -> ClockPair? { nil }

  package func close() {
    control = nil
    input = nil
    series = nil
    pending = []
    isLost = false
  }

  private func openData() throws(CameraError) -> StreamInput {
    do throws(LinuxError) {
      return StreamInput(try UnixStream.connect(tcp: dataAddress, within: Self.connectPatience))
    } catch {
      throw .unreachable(address: dataAddress, reason: "\(error)")
    }
  }

  private func connected() throws(CameraError) -> MerlinControl {
    guard let control else { throw .disconnected(address: controlAddress, reason: "not connected") }
    return control
  }

  // MARK: Start and stop

  package func start(_ request: ExposureRequest, into ring: FrameRing) throws(CameraError) {
    let control = try connected()
    try endWhatIsOurs(control)
    try control.set("ACQUISITIONTIME", Self.milliseconds(request.exposure))
    try control.set("ACQUISITIONPERIOD", Self.milliseconds(request.framePeriod))
    do throws(CameraError) { try control.set("NUMFRAMESTOACQUIRE", Self.wantedFrames) } catch {
      guard error.isRefusal else { throw error }
      try control.set("NUMFRAMESTOACQUIRE", Self.fewerFrames)
    }
    try drainStale()
    pending = []
    isLost = false
    lastMessage = .now
    // Before the request: an answer that is lost leaves an acquisition running.
    hasStarted = true
    do throws(CameraError) { try control.command("STARTACQUISITION") } catch {
      if error.isRefusal { hasStarted = false }
      throw error
    }
    series = MerlinSeries(number: request.series, exposure: request.exposure)
    ring.beginSeries()
  }

  package func stop() throws(CameraError) {
    guard series != nil, series?.stopped == nil else { return }
    do throws(CameraError) { try connected().command("STOPACQUISITION") } catch {
      guard error.isRefusal else { throw error }
      // It may have come to its end by itself.
      pending.append(.ignored(cause: "\(error)"))
    }
    hasStarted = false
    series?.stopped = .now
    lastMessage = .now
  }

  /// An acquisition that this program began and lost sight of is ended. One of somebody else is left alone, and
  /// refused with the remedy.
  private func endWhatIsOurs(_ control: MerlinControl) throws(CameraError) {
    guard try isBusy(control) else { return }
    let frames = try control.get("NUMFRAMESTOACQUIRE")
    guard frames == Self.wantedFrames || hasStarted && frames == Self.fewerFrames else {
      throw .refused(
        address: controlAddress, request: "a series",
        answer: "an acquisition that was begun elsewhere is running; end it in the Merlin software")
    }
    try control.command("STOPACQUISITION")
    hasStarted = false
    let end = MonotonicTime.now + Self.mostStale
    while MonotonicTime.now < end, try isBusy(control) { sleepThread(for: Self.quiet) }
  }

  /// 0 idle, 1 busy, 2 standby (a public simulator of it; not tried on hardware). Not known to all versions.
  private func isBusy(_ control: MerlinControl) throws(CameraError) -> Bool {
    do throws(CameraError) { return try control.get("DETECTORSTATUS") == "1" } catch {
      guard error.isRefusal else { throw error }
      return false
    }
  }

  /// What is left of an acquisition before stays in the pipe, and an ended connection is opened again
  /// (camera-streams.md §3).
  private func drainStale() throws(CameraError) {
    let end = MonotonicTime.now + Self.mostStale
    var quietSince = MonotonicTime.now
    while MonotonicTime.now - quietSince < Self.quiet {
      let input: StreamInput
      if let open = self.input { input = open } else { input = try openData() }
      self.input = input
      do throws(LinuxError) {
        if try input.receive(within: Self.quiet) { quietSince = .now }
        input.drop(input.count)
      } catch {
        self.input = nil
      }
      guard MonotonicTime.now < end else {
        throw .refused(
          address: dataAddress, request: "a series",
          answer: "frames keep coming that were not asked for; end the acquisition in the Merlin software")
      }
    }
  }

  private static func milliseconds(_ span: Seconds) -> String {
    let nanoseconds = max(0, span.nanoseconds)
    let fraction = "\(1_000_000 + nanoseconds % 1_000_000)".dropFirst()
    guard let last = fraction.lastIndex(where: { $0 != "0" }) else { return "\(nanoseconds / 1_000_000)" }
    return "\(nanoseconds / 1_000_000).\(fraction[...last])"
  }

  // MARK: Receiving

  package func next(into ring: FrameRing, step: UInt32, atMost span: Seconds) throws(CameraError) -> CameraEvent {
    if !pending.isEmpty { return pending.removeFirst() }
    guard let input else {
      sleepThread(for: span)
      return try nothingCame()
    }
    if let stopped = series?.stopped, MonotonicTime.now - stopped > Self.longestSilence { return endSeries() }
    let event: CameraEvent?
    do throws(LinuxError) {
      event = series == nil ? try throwAway(input, span) : try receive(input, ring, step, span)
    } catch {
      return try ended(error)
    }
    if series?.isSuperseded == true {
      throw .disconnected(address: dataAddress, reason: "another acquisition was begun at the camera")
    }
    if let event { return event }
    return try nothingCame()
  }

  /// Nil: nothing came.
  private func throwAway(_ input: StreamInput, _ span: Seconds) throws(LinuxError) -> CameraEvent? {
    guard try input.receive(within: span) else { return nil }
    input.drop(input.count)
    return .ignored(cause: "data while none was asked for")
  }

  /// Nil: nothing came, or the beginning of a message is still looked for.
  private func receive(
    _ input: StreamInput, _ ring: FrameRing, _ step: UInt32, _ span: Seconds
  ) throws(LinuxError) -> CameraEvent? {
    var isPrompt = false
    if isLost {
      _ = try input.receive(within: span)
      guard seekMessage(input) else { return nil }
      isLost = false
    } else if input.count == 0 {
      // What was there already may have waited long: its arrival says little about the clock.
      isPrompt = try !input.receive(within: Seconds(0))
      if isPrompt, try !input.receive(within: span) { return nil }
    }
    let arrival = MonotonicTime.now
    let limit = arrival + Self.messagePatience
    let event = try message(input, ring, step, isPrompt ? arrival : nil, limit)
    lastMessage = .now
    return event
  }

  private func nothingCame() throws(CameraError) -> CameraEvent {
    try connected().checkAlive()
    guard let series, series.stopped != nil else { return .nothing }
    let patience = min(Self.silence + series.exposure, Self.longestSilence)
    return input == nil || MonotonicTime.now - lastMessage >= patience ? endSeries() : .nothing
  }

  /// The data connection is at its end, as it is behind each acquisition (camera-streams.md §3); or a message stopped.
  private func ended(_ error: LinuxError) throws(CameraError) -> CameraEvent {
    input = nil
    guard let series else { return .nothing }
    if series.stopped != nil { return endSeries() }
    let reason = error.number == ETIMEDOUT ? "a message stopped in its middle" : "its data connection: \(error.reason)"
    throw .disconnected(address: dataAddress, reason: reason)
  }

  func endSeries() -> CameraEvent {
    defer { series = nil }
    hasStarted = false
    return .seriesEnded(series: series?.number ?? 0, triggered: series?.seenFrames)
  }

  /// Bounds the clock by a frame that came while it was waited for.
  func noteTime(_ header: MerlinFrameHeader, arrival: MonotonicTime) {
    guard let start = header.startNanoseconds, Stamps.plausible.contains(start),
      Stamps.plausible.contains(header.exposureNanoseconds), arrival - lastClockPair >= Self.betweenClockPairs
    else { return }
    lastClockPair = arrival
    pending.append(
      .clockPair(
        ClockPair(
          deviceNanoseconds: start + header.exposureNanoseconds, earliest: arrival - settings.maximumLatency,
          latest: arrival)))
  }

  func noteShape(_ header: MerlinFrameHeader) {
    _ = identity.noteShape(width: header.width, height: header.height, header.pixelType)
  }
}
