package import FrameRing
import JSON
import Linux
import Pixels
package import Quantities

/// A camera that shows its frames in a ring of its own in shared memory, and takes requests over a Unix socket.
///
/// Each frame is copied once, from the camera's slot to ours, and its checksum taken on the way. Nothing is allocated
/// for a frame.
package final class SharedMemoryCamera: Camera {
  /// How long after STOP the camera may take to show the end of its series.
  private static let drainPatience = Seconds(2)

  package private(set) var identity: CameraIdentity
  package let canBeCommanded = true
  private let settings: CameraSettings
  private var port: CameraPort?
  private var source: FrameRing?
  /// The camera ring's sequence that is looked at next.
  private var cursor: UInt64 = 0
  private var series: UInt64?
  private var draining: (until: MonotonicTime, triggered: UInt64?)?

  package init(_ settings: CameraSettings) throws(CameraError) {
    guard !settings.url.isEmpty else {
      throw .badSetting("`url` is empty; write the path of the camera's Unix socket")
    }
    guard settings.control == nil, settings.channel == nil else {
      throw .badSetting("`control` and `channel` have no meaning with `model: shm`; take them out")
    }
    self.settings = settings
    identity = CameraIdentity(model: "shm", serial: "", address: settings.url, clock: "")
  }

  package func connect() throws(CameraError) {
    close()
    let port = try CameraPort(connecting: settings.url)
    let answer = try port.ask("IDENTIFY")
    guard let path = answer["ring"]?.string, let model = answer["model"]?.string,
      let pixel = answer["pixel"]?.string.flatMap(PixelType.init(numpyName:))
    else { throw .misunderstood(address: settings.url, request: "IDENTIFY", answer: answer.text) }

    let source: FrameRing
    do throws(FrameRingError) { source = try FrameRing.open(path, writable: true) } catch {
      throw .unreachable(address: settings.url, reason: "\(error)")
    }
    identity = CameraIdentity(
      model: model, serial: answer["serial"]?.string ?? "", address: settings.url,
      clock: answer["clock"]?.string ?? "", width: answer["width"]?.integer.flatMap { Int(exactly: $0) },
      height: answer["height"]?.integer.flatMap { Int(exactly: $0) }, pixelType: pixel)
    // What was left from before is nobody's.
    cursor = source.published
    if cursor > 0 { source.release(through: cursor - 1) }
    self.source = source
    self.port = port
  }

  package func start(_ request: ExposureRequest, into ring: FrameRing) throws(CameraError) {
    let body: JSONValue = [
      "series": .integer(Int64(clamping: request.series)), "period_ns": .integer(request.framePeriod.nanoseconds),
      "exposure_ns": .integer(request.exposure.nanoseconds),
    ]
    let answer = try connected().port.ask("START", body)
    guard answer["series"]?.integer == Int64(clamping: request.series) else {
      throw .misunderstood(address: settings.url, request: "START", answer: answer.text)
    }
    series = request.series
    draining = nil
    ring.beginSeries()
  }

  package func stop() throws(CameraError) {
    guard series != nil, draining == nil else { return }
    let answer = try connected().port.ask("STOP")
    draining = (.now + Self.drainPatience, Self.triggered(answer["triggered"]?.integer.flatMap { UInt64(exactly: $0) }))
  }

  package func probeClock() throws(CameraError) -> ClockPair? {
    let (answer, sent, answered) = try connected().port.exchange("TIME")
    guard let device = answer["device_ns"]?.integer else {
      throw .misunderstood(address: settings.url, request: "TIME", answer: answer.text)
    }
    guard Stamps.plausible.contains(device) else {
      throw .impossibleTime(address: settings.url, nanoseconds: device)
    }
    return ClockPair(deviceNanoseconds: device, earliest: sent, latest: answered)
  }

  package func close() {
    port = nil
    source = nil
    series = nil
    draining = nil
  }

  package func next(into ring: FrameRing, step: UInt32, atMost span: Seconds) throws(CameraError) -> CameraEvent {
    let (port, source) = try connected()
    let seen = cursor
    if source.published <= seen, !source.waitForPublished(beyond: seen, atMost: span) {
      try port.checkAlive()
      return endIfOverdue()
    }
    let event = unsafe source.read(seen) { header, pixels in unsafe take(header, pixels, into: ring, step: step) }
    source.release(through: seen)
    cursor = seen + 1
    return event ?? .nothing
  }

  private func connected() throws(CameraError) -> (port: CameraPort, source: FrameRing) {
    guard let port, let source else { throw .disconnected(address: settings.url, reason: "not connected") }
    return (port, source)
  }

  /// The camera promised an end marker; without it the series ends with what STOP said.
  private func endIfOverdue() -> CameraEvent {
    if let draining, let series, MonotonicTime.now > draining.until { return end(series, draining.triggered) }
    return .nothing
  }

  private func end(_ series: UInt64, _ triggered: UInt64?) -> CameraEvent {
    self.series = nil
    draining = nil
    return .seriesEnded(series: series, triggered: triggered)
  }

  /// A count beyond what can be is no count.
  private static func triggered(_ count: UInt64?) -> UInt64? { count.flatMap { $0 < mostFrameNumber ? $0 : nil } }

  private func take(
    _ frame: FrameHeader, _ pixels: UnsafeRawBufferPointer, into ring: FrameRing, step: UInt32
  ) -> CameraEvent {
    guard let series else { return .ignored(cause: "a frame while none was asked for") }
    if frame.flags.contains(.malformed) { return refuse("slot fields that contradict each other", ring) }
    guard frame.series == series else { return .ignored(cause: "a frame of another series") }
    if frame.flags.contains(.seriesEnd) { return end(series, Self.triggered(frame.frameNumber)) }
    guard frame.frameNumber < mostFrameNumber else { return refuse("an impossible frame number", ring) }
    guard frame.bytes > 0 else { return refuse("a frame without pixels", ring) }
    guard frame.bytes <= min(ring.slotBytes, settings.maximumFrameBytes) else {
      return refuse("a frame larger than the ring's slots", ring)
    }
    guard let room = unsafe ring.reserve() else { return .ringFull }
    var header = frame
    unsafe ring.meter.begin(frame.pixelType, width: frame.width, height: frame.height, in: room)
    unsafe ring.meter.copy(from: pixels)
    header.take(ring.meter.finish())
    header.arrival = .now
    header.step = step
    header.dropImplausibleStamps()
    guard frame.pixelCRC == 0 || frame.pixelCRC == header.pixelCRC else {
      return refuse("pixels that do not match their checksum", ring)
    }
    ring.publish(header)
    return .frame
  }
}
