package import FrameRing
import JSON
import Linux
package import Quantities
import ZeroMQ

/// A receiver of the DECTRIS SIMPLON stream v1 (camera-streams.md §2): ZeroMQ PULL, JSON parts and a blob of pixels.
///
/// A tolerant reader: unknown parts, stale ends, late joins and odd headers are passed over. A strict recorder: what
/// does not decode to exactly width · height pixels is refused with its cause. It connects at the first `start`, not
/// before (a PUSH sender gives each connected receiver its share), and stays connected until `close`.
///
/// The detector's clock begins anew with each series and cannot be asked. A clock pair is one-sided in truth: the
/// exposure ended before its frame arrived; that it ended no more than `maximumLatency` before is the operator's
/// assumption.
package final class SimplonCamera: Camera {
  /// Messages libzmq may hold for us (camera-streams.md §9).
  private static let mostWaitingMessages: Int32 = 1024
  /// A sender of anything larger is cut off by libzmq; flat fields of `header_detail: all` are below it.
  private static let mostPartBytes: Int64 = 256 << 20
  private static let mostJSONBytes = 1 << 20
  private static let betweenClockPairs = Seconds(0.05)

  package private(set) var identity: CameraIdentity
  package let canBeCommanded = false
  private let settings: CameraSettings
  private let context = ZeroMQContext()
  private var socket: ZeroMQSocket?
  private var series = SimplonSeries()
  private var pixels = SimplonPixels()
  private var message = SimplonMessage()
  private var events: [CameraEvent] = []
  private var lastClockPair = MonotonicTime(nanoseconds: 0)
  /// What a single-part message without an `htype` must be, after one that announced it.
  private var expected = Expected.nothing

  private enum Expected { case nothing, configuration, blob }

  package init(_ settings: CameraSettings) throws(CameraError) {
    guard settings.url.contains("://") else {
      throw .badSetting("`url: \(settings.url)` is not an address; write for example tcp://detector:9999")
    }
    self.settings = settings
    identity = CameraIdentity(
      model: "simplon", serial: "", address: settings.url,
      clock: "ns since the detector's own zero of the series; anew in each series", pixelType: .u16)
  }

  /// Nothing yet: the stream is opened by `start`.
  package func connect() throws(CameraError) {}

  package func start(_ request: ExposureRequest, into ring: FrameRing) throws(CameraError) {
    if socket == nil {
      do throws(ZeroMQError) {
        let socket = try ZeroMQSocket(context, .pull)
        socket.setHighWaterMark(send: 1, receive: Self.mostWaitingMessages)
        socket.setMaximumMessageSize(Self.mostPartBytes)
        try socket.connect(settings.url)
        self.socket = socket
      } catch {
        throw .unreachable(address: settings.url, reason: "\(error)")
      }
    }
    series.start()
    ring.beginSeries()
  }

  package func stop() throws(CameraError) { series.stop(at: .now) }
  package func probeClock() throws(CameraError) -> ClockPair? { nil }

  package func close() {
    socket = nil
    series.forget()
    events = []
    expected = .nothing
  }

  package func next(into ring: FrameRing, step: UInt32, atMost span: Seconds) throws(CameraError) -> CameraEvent {
    if !events.isEmpty { return events.removeFirst() }
    guard let socket else {
      sleepThread(for: span)
      return series.drained(at: .now, isQuiet: true) ?? .nothing
    }
    if let over = series.drained(at: .now, isQuiet: false) { return over }
    // A message that was there already may have waited long: its arrival says little about the clock.
    let waited = !socket.waitReadable(milliseconds: 0)
    if waited, !socket.waitReadable(milliseconds: Int(span.value * 1000)) {
      return series.drained(at: .now, isQuiet: true) ?? .nothing
    }
    message = SimplonMessage(arrival: .now, step: step, isPrompt: waited)
    do throws(ZeroMQError) {
      guard unsafe try socket.receive({ index, more, bytes in unsafe part(index, more, bytes, ring) }) else {
        return .nothing
      }
    } catch {
      throw .disconnected(address: settings.url, reason: "\(error)")
    }
    series.noteMessage(at: message.arrival)
    conclude(ring)
    return events.isEmpty ? .nothing : events.removeFirst()
  }

  // MARK: Parts

  private func part(_ index: Int, _ more: Bool, _ bytes: UnsafeRawBufferPointer, _ ring: FrameRing) {
    message.parts = index + 1
    switch (message.kind, index) {
    case (_, 0): unsafe firstPart(bytes, isAlone: !more, ring)
    case (.header, 1): if let json = unsafe object(bytes) { configure(json) }
    case (.image, 1): if message.problem == nil { unsafe describe(bytes) }
    case (.image, 2): if message.problem == nil { unsafe receivePixels(bytes, ring) }
    case (.image, _):
      // dconfig-1.0 is the fourth part; an image_appendix after it is the operator's own affair.
      if message.times == nil, let json = unsafe object(bytes) { message.times = SimplonTimes(json) }
    default: break
    }
  }

  private func object(_ bytes: UnsafeRawBufferPointer) -> JSONValue? {
    guard bytes.count <= Self.mostJSONBytes, unsafe bytes.first == UInt8(ascii: "{") else { return nil }
    return unsafe try? JSONValue(parsing: bytes)
  }

  private func firstPart(_ bytes: UnsafeRawBufferPointer, isAlone: Bool, _ ring: FrameRing) {
    let awaited = isAlone ? expected : .nothing
    expected = .nothing
    let json = unsafe object(bytes)
    let number = json?["series"]?.integer.flatMap { UInt64(exactly: $0) }
    switch json?["htype"]?.string {
    case "dimage-1.0": beginImage(number, json?["frame"]?.integer.flatMap { UInt64(exactly: $0) }, ring)
    case "dheader-1.0":
      guard let number else { return refuseMessage("a series header without a number", ring) }
      message.kind = .header
      append(series.header(number), ring)
      if isAlone && json?["header_detail"]?.string != "none" { expected = .configuration }
    case "dseries_end-1.0":
      guard let number else { return refuseMessage("a series end without a number", ring) }
      message.kind = .other
      append(series.end(number), ring)
    case "dflatfield-1.0", "dpixelmask-1.0", "dcountrate_table-1.0":
      message.kind = .other
      if isAlone { expected = .blob }
    case .some:
      message.kind = .other
      events.append(.ignored(cause: "a message of an unknown htype"))
    case nil:
      if awaited == .configuration, let json { configure(json) }
      if awaited == .nothing || (awaited == .configuration && json == nil) {
        return refuseMessage("a message that is not of the SIMPLON stream", ring)
      }
      message.kind = .other
    }
  }

  private func configure(_ json: JSONValue) {
    let configuration = SimplonConfiguration(json)
    series.configure(configuration)
    identity.model = configuration.model ?? identity.model
    identity.serial = configuration.serial ?? identity.serial
    identity.width = configuration.width ?? identity.width
    identity.height = configuration.height ?? identity.height
  }

  private func beginImage(_ number: UInt64?, _ frame: UInt64?, _ ring: FrameRing) {
    guard let number, let frame, frame < mostFrameNumber else {
      return refuseMessage("an image without a usable series or frame number", ring)
    }
    message.kind = .image
    message.frame = frame
    let (admission, before) = series.frame(number)
    append(before, ring)
    switch admission {
    case .record(let recorded):
      message.series = recorded
      series.noteFrame(number: frame)
    case .ignore: message.problem = .ignored(cause: "an image while none was asked for")
    case .stale: message.problem = refuse("an image of a series that has ended", ring)
    }
  }

  private func describe(_ bytes: UnsafeRawBufferPointer) {
    do throws(DecodeError) {
      guard let json = unsafe object(bytes) else { throw DecodeError("an image without dimage_d-1.0") }
      message.image = try SimplonImageDescription(json)
    } catch {
      message.fault = error
    }
  }

  private func receivePixels(_ bytes: UnsafeRawBufferPointer, _ ring: FrameRing) {
    guard let image = message.image else { return }
    let count = image.width * image.height * PixelType.u16.bytesPerPixel
    guard count <= min(ring.slotBytes, settings.maximumFrameBytes) else {
      message.fault = DecodeError("an image of \(image.width) × \(image.height), larger than the ring's slots")
      return
    }
    guard let room = unsafe ring.reserve() else {
      message.problem = .ringFull
      return
    }
    let target = unsafe UnsafeMutableRawBufferPointer(rebasing: room[..<count])
    do throws(DecodeError) {
      try unsafe pixels.decode(bytes, image, into: target)
      message.pixelCRC = unsafe crc32c(UnsafeRawBufferPointer(target))
    } catch {
      message.fault = error
    }
  }

  // MARK: The whole message

  private func conclude(_ ring: FrameRing) {
    guard message.kind == .image else { return }
    if let problem = message.problem { return events.append(problem) }
    if let fault = message.fault { return events.append(refuse(fault.description, ring)) }
    guard let frame = message.frameHeader else {
      return events.append(refuse("an image message of \(message.parts) parts", ring))
    }
    ring.publish(frame)
    events.append(.frame)
    if let end = message.times?.end, message.isPrompt,
      message.arrival - lastClockPair >= Self.betweenClockPairs
    {
      lastClockPair = message.arrival
      events.append(
        .clockPair(
          ClockPair(
            deviceNanoseconds: end, earliest: message.arrival - settings.maximumLatency, latest: message.arrival)))
    }
  }

  private func refuseMessage(_ cause: String, _ ring: FrameRing) {
    message.kind = .other
    // Outside a recording nothing is counted against it.
    events.append(series.isRecording ? refuse(cause, ring) : .ignored(cause: cause))
  }

  private func append(_ more: [CameraEvent], _ ring: FrameRing) {
    for event in more {
      if case .seriesStarted = event { ring.beginSeries() }
      events.append(event)
    }
  }
}
