package import FrameRing
import Linux
import Pixels
package import Quantities

/// A receiver of frames as JSON and raw pixels over ZeroMQ: PSI's `array-1.0` and slsDetectorPackage
/// (camera-streams.md §7). Not tried on hardware.
///
/// The sender decides rate and exposure. It counts frames and no series; a count that begins anew is taken for another
/// series (`ArraySeriesNumbers`). It connects at the first `start` (`StreamIntake`). Clock pairs are one-sided, as with
/// SIMPLON.
package final class ArrayCamera: Camera {
  private static let mostPartBytes: Int64 = 512 << 20
  private static let mostJSONBytes = 1 << 20

  package private(set) var identity: CameraIdentity
  package let canBeCommanded = false
  private let settings: CameraSettings
  private let intake: StreamIntake
  private var numbers = ArraySeriesNumbers()
  private var events: [CameraEvent] = []
  /// The image whose pixels are to follow; kept for the next message where the header came alone.
  private var image: ArrayImage?
  private var step: UInt32 = .max

  package init(_ settings: CameraSettings) throws(CameraError) {
    guard settings.url.contains("://") else {
      throw .badSetting("`url: \(settings.url)` is not an address; write for example tcp://detector:9999")
    }
    self.settings = settings
    intake = StreamIntake(settings, settings.socket, mostPartBytes: Self.mostPartBytes)
    identity = CameraIdentity(
      model: "array", serial: "", address: settings.url,
      clock: "the sender's `timestamp` where it sends one; what it stands for, the sender knows")
  }

  /// Nothing yet: the stream is opened by `start`.
  package func connect() throws(CameraError) {}

  package func start(_ request: ExposureRequest, into ring: FrameRing) throws(CameraError) {
    try intake.open()
    numbers.beginSeries()
    intake.series.start()
    ring.beginSeries()
  }

  package func stop() throws(CameraError) { intake.series.stop(at: .now) }
  package func probeClock() throws(CameraError) -> ClockPair? { nil }

  package func close() {
    intake.close()
    events = []
    image = nil
  }

  package func next(into ring: FrameRing, step: UInt32, atMost span: Seconds) throws(CameraError) -> CameraEvent {
    if !events.isEmpty { return events.removeFirst() }
    self.step = step
    let look = unsafe try intake.look(within: span) { index, more, bytes in unsafe part(index, more, bytes, ring) }
    if case .over(let event) = look { return event }
    return events.isEmpty ? .nothing : events.removeFirst()
  }

  // MARK: Parts

  private func part(_ index: Int, _ more: Bool, _ bytes: UnsafeRawBufferPointer, _ ring: FrameRing) {
    guard intake.series.isRecording else {
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
    do throws(DecodeError) {
      guard bytes.count <= Self.mostJSONBytes else {
        throw DecodeError("a message that is neither array-1.0 nor of slsDetector")
      }
      switch try unsafe ArrayHeader(bytes) {
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
    events += opened.map { intake.series.end($0) } ?? [.ignored(cause: "the end of a series that was not recorded")]
    opened = nil
    numbers.beginSeries()
  }

  /// The series of the last frame.
  private var opened: UInt64?

  private func record(_ image: ArrayImage, _ bytes: UnsafeRawBufferPointer, _ ring: FrameRing) {
    let (sent, frame) = numbers.place(image, at: intake.arrival.nanoseconds)
    let (admission, before) = intake.series.frame(sent)
    for event in before {
      if case .seriesStarted = event { ring.beginSeries() }
      events.append(event)
    }
    guard case .record(let recorded) = admission else {
      return events.append(.ignored(cause: "an array while none was asked for"))
    }
    opened = sent
    guard let frame else { return events.append(refuse("a frame from before the first of its series", ring)) }
    intake.series.noteFrame(number: frame)
    if let fault = image.fault { return events.append(refuse(fault, ring)) }
    let misfit = self.misfit(
      bytes.count, width: image.width, height: image.height, image.pixelType, most: settings.maximumFrameBytes, ring)
    if let misfit { return events.append(refuse(misfit, ring)) }
    guard let room = unsafe ring.reserve() else { return events.append(.ringFull) }
    unsafe ring.meter.begin(
      image.pixelType, width: image.width, height: image.height, isBigEndian: image.isBigEndian, in: room)
    unsafe ring.meter.copy(from: bytes)
    var header =
      FrameHeader(
        frameNumber: frame, deviceNanoseconds: image.deviceNanoseconds ?? 0,
        exposureNanoseconds: Stamps.plausible.contains(image.exposureNanoseconds) ? image.exposureNanoseconds : 0,
        arrival: .now, series: recorded, flags: image.deviceNanoseconds == nil ? .noDeviceTime : [],
        pixelType: image.pixelType, width: image.width, height: image.height, step: step)
    header.take(ring.meter.finish())
    ring.publish(header)
    noteShape(image)
    events.append(.frame)
    if let pair = image.deviceNanoseconds.flatMap({ intake.clockPair(end: $0) }) { events.append(pair) }
  }

  private func noteShape(_ image: ArrayImage) {
    let isNews = identity.noteShape(width: image.width, height: image.height, image.pixelType)
    if isNews, image.countsFromZero {
      identity.clock = "the detector's 10 MHz counter as its receiver passes it on, ns"
    }
  }
}
