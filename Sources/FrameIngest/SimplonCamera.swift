package import FrameRing
import Linux
import Pixels
package import Quantities

/// A receiver of the DECTRIS SIMPLON stream over ZeroMQ PULL: version 1, JSON parts and a blob of pixels
/// (camera-streams.md §2), and version 2, one CBOR map per message (§1).
///
/// A tolerant reader: unknown parts, stale ends, late joins and odd headers are passed over. A strict recorder: what
/// does not decode to exactly width · height pixels is refused with its cause. It connects at the first `start`
/// (`StreamIntake`).
///
/// The detector's clock begins anew with each series and cannot be asked. A clock pair is one-sided in truth: the
/// exposure ended before its frame arrived; that it ended no more than `maximumLatency` before is the operator's
/// assumption.
///
/// With `control` the detector is configured, armed and triggered over HTTP, and only the series that it was armed for
/// is recorded. Without, it belongs to somebody else, and every series is.
package final class SimplonCamera: Camera {
  /// A sender of anything larger is cut off by libzmq; flat fields of `header_detail: all` are below it.
  private static let mostPartBytes: Int64 = 256 << 20
  /// A detector whose trigger failed and that sends nothing for so long, and for so many frame periods, exposes no more.
  private static let leastSilence = (span: Seconds(2), periods: 3.0)

  package internal(set) var identity: CameraIdentity
  package var canBeCommanded: Bool { control != nil }
  let settings: CameraSettings
  let format: SimplonFormat
  let control: SimplonControl?
  let intake: StreamIntake
  private var pixels = SimplonPixels()
  var message = SimplonMessage()
  var events: [CameraEvent] = []
  /// What a single-part message without an `htype` must be, after one that announced it.
  var expected = Expected.nothing
  var channels = SimplonChannels()
  /// Of a commanded series: what became of its trigger, and how long it may be silent then.
  private var trigger: (failure: CameraError?, patience: Seconds) = (nil, leastSilence.span)

  enum Expected { case nothing, configuration, blob }

  package init(_ settings: CameraSettings, _ format: SimplonFormat) throws(CameraError) {
    guard settings.url.contains("://") else {
      throw .badSetting("`url: \(settings.url)` is not an address; write for example tcp://detector:\(format.port)")
    }
    if settings.channel != nil, format == .legacy {
      throw .badSetting("`channel` has no meaning with `model: simplon`: stream version 1 has one channel; take it out")
    }
    self.settings = settings
    self.format = format
    channels.configured = settings.channel.map { Array($0.utf8) }
    var control: SimplonControl?
    if let address = settings.control { control = try SimplonControl(address, format) }
    self.control = control
    intake = StreamIntake(settings, .pull, mostPartBytes: Self.mostPartBytes)
    identity = CameraIdentity(model: format.model, serial: "", address: settings.url, clock: format.clock)
  }

  /// Without `control` nothing yet: the stream is opened by `start`. With it, the detector is asked who it is.
  package func connect() throws(CameraError) {
    guard let detector = try control?.connect() else { return }
    take(detector)
  }

  package func start(_ request: ExposureRequest, into ring: FrameRing) throws(CameraError) {
    try intake.open()
    if let control {
      let sent = try control.arm(request)
      try control.trigger()
      intake.series.startCommanded(sent: sent, recorded: request.series, at: .now)
      trigger = (nil, max(Self.leastSilence.span, request.framePeriod * Self.leastSilence.periods))
      channels.beginSeries()
    } else {
      intake.series.start()
    }
    ring.beginSeries()
  }

  package func stop() throws(CameraError) {
    // The time to drain begins when the detector has ended.
    defer { intake.series.stop(at: .now) }
    try control?.end()
  }

  package func probeClock() throws(CameraError) -> ClockPair? { nil }

  package func close() {
    control?.close()
    intake.close()
    channels.beginSeries()
    events = []
    expected = .nothing
  }

  package func next(into ring: FrameRing, step: UInt32, atMost span: Seconds) throws(CameraError) -> CameraEvent {
    if !events.isEmpty { return events.removeFirst() }
    if let control, let event = try heed(control) { return event }
    let look = unsafe try intake.look(within: span) { index, more, bytes in
      if index == 0 { message = SimplonMessage(arrival: intake.arrival, step: step) }
      switch format {
      case .legacy: unsafe part(index, more, bytes, ring)
      case .cbor: unsafe cborPart(index, more, bytes, ring)
      }
    }
    switch look {
    case .nothing: return .nothing
    case .over(let event): return ended(event)
    case .message: break
    }
    conclude(ring)
    return events.isEmpty ? .nothing : events.removeFirst()
  }

  /// Ends a series whose trigger failed, when no frames come either.
  private func heed(_ control: SimplonControl) throws(CameraError) -> CameraEvent? {
    let now = MonotonicTime.now
    if trigger.failure == nil { trigger.failure = control.look(at: now) }
    guard let failure = trigger.failure, intake.series.silence(at: now) >= trigger.patience else { return nil }
    trigger.failure = nil
    guard failure.isRefusal else { throw failure }
    intake.series.stop(at: now)
    return .ignored(cause: failure.description)
  }

  // MARK: What both versions share

  func take(_ configuration: SimplonConfiguration) {
    identity.model = configuration.model ?? identity.model
    identity.serial = configuration.serial ?? identity.serial
    identity.width = configuration.width ?? identity.width
    identity.height = configuration.height ?? identity.height
    identity.pixelType = configuration.pixelType ?? identity.pixelType
  }

  func beginImage(_ number: UInt64?, _ frame: UInt64?, _ ring: FrameRing) {
    guard let number, let frame, frame < mostFrameNumber else {
      return refuseMessage("an image without a usable series or frame number", ring)
    }
    message.kind = .image
    message.frame = frame
    let (admission, before) = intake.series.frame(number)
    append(before, ring)
    switch admission {
    case .record(let recorded):
      message.series = recorded
      intake.series.noteFrame(number: frame)
    case .ignore: message.problem = .ignored(cause: "an image while none was asked for")
    case .stale: message.problem = refuse("an image of a series that has ended", ring)
    }
  }

  func receivePixels(_ bytes: UnsafeRawBufferPointer, _ ring: FrameRing) {
    guard let image = message.image else { return }
    let count = image.wireBytes
    let misfit = self.misfit(
      count, width: image.width, height: image.height, image.pixelType, most: settings.maximumFrameBytes, ring)
    if let misfit {
      message.fault = DecodeError(misfit)
      return
    }
    guard let room = unsafe ring.reserve() else {
      message.problem = .ringFull
      return
    }
    let target = unsafe UnsafeMutableRawBufferPointer(rebasing: room[..<count])
    do throws(DecodeError) {
      try unsafe pixels.decode(bytes, image, into: target, by: ring.meter)
      message.hasPixels = true
    } catch {
      message.fault = error
    }
  }

  private func conclude(_ ring: FrameRing) {
    guard message.kind == .image else { return }
    if let problem = message.problem { return events.append(problem) }
    if let fault = message.fault { return events.append(refuse(fault.description, ring)) }
    guard var frame = message.frameHeader else {
      return events.append(refuse("an image message of \(message.parts) parts", ring))
    }
    frame.take(ring.meter.finish())
    ring.publish(frame)
    events.append(.frame)
    if let pair = message.times?.end.flatMap({ intake.clockPair(end: $0) }) { events.append(pair) }
  }

  func refuseMessage(_ cause: String, _ ring: FrameRing) {
    message.kind = .other
    // Outside a recording nothing is counted against it.
    events.append(intake.series.isRecording ? refuse(cause, ring) : .ignored(cause: cause))
  }

  func append(_ more: [CameraEvent], _ ring: FrameRing) {
    for event in more {
      if case .seriesStarted = event { ring.beginSeries() }
      if case .seriesEnded = event, let account = channels.account() { events.append(account) }
      events.append(event)
    }
  }

  /// Before the end of a series is told what was passed over in it.
  private func ended(_ event: CameraEvent) -> CameraEvent {
    guard case .seriesEnded = event, let account = channels.account() else { return event }
    events.append(event)
    return account
  }
}
