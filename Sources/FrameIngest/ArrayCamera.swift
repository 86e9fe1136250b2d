package import FrameRing
import JSON
import Linux
import Pixels
package import Quantities
import ZeroMQ

/// A receiver of frames as JSON and raw pixels over ZeroMQ: PSI's `array-1.0` and slsDetectorPackage
/// (camera-streams.md §7). Not tried on hardware.
///
/// The sender decides rate and exposure. It counts frames and no series; a count that begins anew is taken for another
/// series (`ArraySeriesNumbers`). It connects at the first `start`, not before (a PUSH sender gives each connected
/// receiver its share), and stays connected until `close`. Clock pairs are one-sided, as with SIMPLON.
package final class ArrayCamera: Camera {
  /// Messages libzmq may hold for us (camera-streams.md §9).
  private static let mostWaitingMessages: Int32 = 1024
  private static let mostPartBytes: Int64 = 512 << 20
  private static let mostJSONBytes = 1 << 20
  private static let betweenClockPairs = Seconds(0.05)

  package private(set) var identity: CameraIdentity
  package let canBeCommanded = false
  private let settings: CameraSettings
  private let context = ZeroMQContext()
  private var socket: ZeroMQSocket?
  private var series = StreamSeries()
  private var numbers = ArraySeriesNumbers()
  private var events: [CameraEvent] = []
  private var lastClockPair = MonotonicTime(nanoseconds: 0)
  /// The image whose pixels are to follow; kept for the next message where the header came alone.
  private var image: ArrayImage?
  private var step: UInt32 = .max
  private var arrival = MonotonicTime(nanoseconds: 0)
  private var isPrompt = false

  package init(_ settings: CameraSettings) throws(CameraError) {
    guard settings.url.contains("://") else {
      throw .badSetting("`url: \(settings.url)` is not an address; write for example tcp://detector:9999")
    }
    self.settings = settings
    identity = CameraIdentity(
      model: "array", serial: "", address: settings.url,
      clock: "the sender's `timestamp` where it sends one; what it stands for, the sender knows")
  }

  /// Nothing yet: the stream is opened by `start`.
  package func connect() throws(CameraError) {}

  package func start(_ request: ExposureRequest, into ring: FrameRing) throws(CameraError) {
    if socket == nil {
      do throws(ZeroMQError) {
        let socket = try ZeroMQSocket(context, settings.socket == .sub ? .subscribe : .pull)
        socket.setHighWaterMark(send: 1, receive: Self.mostWaitingMessages)
        socket.setMaximumMessageSize(Self.mostPartBytes)
        if settings.socket == .sub { socket.subscribe("") }
        try socket.connect(settings.url)
        self.socket = socket
      } catch {
        throw .unreachable(address: settings.url, reason: "\(error)")
      }
    }
    numbers.beginSeries()
    series.start()
    ring.beginSeries()
  }

  package func stop() throws(CameraError) { series.stop(at: .now) }
  package func probeClock() throws(CameraError) -> ClockPair? { nil }

  package func close() {
    socket = nil
    series.forget()
    events = []
    image = nil
  }

  package func next(into ring: FrameRing, step: UInt32, atMost span: Seconds) throws(CameraError) -> CameraEvent {
    if !events.isEmpty { return events.removeFirst() }
    guard let socket else {
      sleepThread(for: span)
      return series.drained(at: .now, isQuiet: true) ?? .nothing
    }
    if let over = series.drained(at: .now, isQuiet: false) { return over }
    // A message that was there already may have waited long: its arrival says little about the clock.
    isPrompt = !socket.waitReadable(milliseconds: 0)
    if isPrompt, !socket.waitReadable(milliseconds: Int(span.value * 1000)) {
      return series.drained(at: .now, isQuiet: true) ?? .nothing
    }
    arrival = .now
    self.step = step
    do throws(ZeroMQError) {
      guard unsafe try socket.receive({ index, more, bytes in unsafe part(index, more, bytes, ring) }) else {
        return .nothing
      }
    } catch {
      throw .disconnected(address: settings.url, reason: "\(error)")
    }
    series.noteMessage(at: arrival)
    return events.isEmpty ? .nothing : events.removeFirst()
  }

  // MARK: Parts

  private func part(_ index: Int, _ more: Bool, _ bytes: UnsafeRawBufferPointer, _ ring: FrameRing) {
    guard series.isRecording else {
      image = nil
      if index == 0 { events.append(.ignored(cause: "an array while none was asked for")) }
      return
    }
    switch index {
    case 0:
      if let image, !more, unsafe !isHeader(bytes) {
        // The pixels of a header that came as a message of its own.
        self.image = nil
        return unsafe record(image, bytes, ring)
      }
      unsafe begin(bytes, isAlone: !more, ring)
    case 1:
      guard let image else { return }
      self.image = nil
      unsafe record(image, bytes, ring)
    default: break
    }
  }

  private func isHeader(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard unsafe bytes.first == UInt8(ascii: "{"), bytes.count <= Self.mostJSONBytes else { return false }
    return bytes.count != image?.bytes
  }

  private func begin(_ bytes: UnsafeRawBufferPointer, isAlone: Bool, _ ring: FrameRing) {
    if image != nil {
      image = nil
      events.append(refuse("a header without its pixels", ring))
    }
    guard unsafe bytes.first == UInt8(ascii: "{"), bytes.count <= Self.mostJSONBytes,
      let json = unsafe try? JSONValue(parsing: bytes)
    else { return events.append(refuse("a message that is neither array-1.0 nor of slsDetector", ring)) }
    do throws(DecodeError) {
      switch try ArrayHeader(json) {
      case .image(let image): self.image = image
      case .end: end(ring)
      case .other: events.append(.ignored(cause: "a message of another htype"))
      }
    } catch {
      events.append(refuse(error.description, ring))
    }
    // Of array-1.0 the pixels are a part of the same message.
    if isAlone, let image, !image.countsFromZero {
      self.image = nil
      events.append(refuse("a header without its pixels", ring))
    }
  }

  private func end(_ ring: FrameRing) {
    events += opened.map { series.end($0) } ?? [.ignored(cause: "the end of a series that was not recorded")]
    opened = nil
    numbers.beginSeries()
  }

  /// The series of the last frame.
  private var opened: UInt64?

  private func record(_ image: ArrayImage, _ bytes: UnsafeRawBufferPointer, _ ring: FrameRing) {
    let (sent, frame) = numbers.place(image, at: arrival.nanoseconds)
    let (admission, before) = series.frame(sent)
    for event in before {
      if case .seriesStarted = event { ring.beginSeries() }
      events.append(event)
    }
    guard case .record(let recorded) = admission else {
      return events.append(.ignored(cause: "an array while none was asked for"))
    }
    opened = sent
    guard let frame else { return events.append(refuse("a frame from before the first of its series", ring)) }
    series.noteFrame(number: frame)
    if let fault = image.fault { return events.append(refuse(fault, ring)) }
    guard bytes.count == image.bytes else {
      let shape = "\(image.width) × \(image.height)"
      return events.append(refuse("\(bytes.count) bytes of pixels where \(shape) needs \(image.bytes)", ring))
    }
    guard image.bytes <= min(ring.slotBytes, settings.maximumFrameBytes) else {
      return events.append(
        refuse("an image of \(image.width) × \(image.height), larger than the ring's slots", ring))
    }
    guard let room = unsafe ring.reserve() else { return events.append(.ringFull) }
    var copy = unsafe PixelCopy(
      image.pixelType, isBigEndian: image.isBigEndian,
      into: UnsafeMutableRawBufferPointer(rebasing: room[..<image.bytes]))
    _ = unsafe copy.append(bytes)
    ring.publish(
      FrameHeader(
        frameNumber: frame, deviceNanoseconds: image.deviceNanoseconds ?? 0,
        exposureNanoseconds: Stamps.plausible.contains(image.exposureNanoseconds) ? image.exposureNanoseconds : 0,
        arrival: .now, series: recorded, flags: image.deviceNanoseconds == nil ? .noDeviceTime : [],
        pixelType: image.pixelType, width: image.width, height: image.height, step: step, pixelCRC: copy.crc))
    noteShape(image)
    events.append(.frame)
    if let stamp = image.deviceNanoseconds, isPrompt, arrival - lastClockPair >= Self.betweenClockPairs {
      lastClockPair = arrival
      events.append(
        .clockPair(
          ClockPair(
            deviceNanoseconds: stamp, earliest: arrival - settings.maximumLatency, latest: arrival)))
    }
  }

  private func noteShape(_ image: ArrayImage) {
    guard identity.width != image.width || identity.height != image.height || identity.pixelType != image.pixelType
    else { return }
    identity.width = image.width
    identity.height = image.height
    identity.pixelType = image.pixelType
    if image.countsFromZero {
      identity.clock = "the detector's 10 MHz counter as its receiver passes it on, ns"
    }
  }
}
