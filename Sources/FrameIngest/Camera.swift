package import FrameRing
package import Pixels
package import Quantities

/// What a camera says of itself.
package struct CameraIdentity: Equatable, Sendable {
  package var model: String
  package var serial: String
  /// Where it was reached: the URL of the configuration.
  package var address: String
  /// What its time stamps mean, in words.
  package var clock: String
  /// Pixels; nil until the camera has told.
  package var width: Int?
  package var height: Int?
  /// As frames come into the ring; nil until the camera has told.
  package var pixelType: PixelType?
  /// It was asked, and answered; false for a sender that is only listened to.
  package var hasAnswered = false

  package init(
    model: String, serial: String, address: String, clock: String, width: Int? = nil, height: Int? = nil,
    pixelType: PixelType? = nil
  ) {
    self.model = model
    self.serial = serial
    self.address = address
    self.clock = clock
    self.width = width
    self.height = height
    self.pixelType = pixelType
  }
}

extension CameraIdentity {
  /// Takes over what a frame says of the size of all of them; true when that is news.
  mutating func noteShape(width: Int, height: Int, _ pixelType: PixelType?) -> Bool {
    guard self.width != width || self.height != height || self.pixelType != pixelType else { return false }
    (self.width, self.height, self.pixelType) = (width, height, pixelType)
    return true
  }
}

/// One series of exposures, as it is asked for.
package struct ExposureRequest: Equatable, Sendable {
  package var series: UInt64
  package var framePeriod: Seconds
  package var exposure: Seconds

  package init(series: UInt64, framePeriod: Seconds, exposure: Seconds) {
    self.series = series
    self.framePeriod = framePeriod
    self.exposure = exposure
  }
}

/// Something that a camera says of the beam or of itself, beside its frames.
package struct CameraReading: Equatable, Sendable {
  package var quantity: String
  package var value: Double
  package var unit: String

  package init(_ quantity: String, _ value: Double, _ unit: String) {
    self.quantity = quantity
    self.value = value
    self.unit = unit
  }
}

/// What came of one look at the camera.
package enum CameraEvent: Equatable, Sendable {
  /// Nothing came in the time given.
  case nothing
  /// A series that the sender began; only from cameras that are not commanded, before its first frame is counted.
  case seriesStarted(series: UInt64)
  /// Before `seriesStarted`: the sender's number was used before (it was restarted, say), so its series is recorded
  /// under another.
  case renumbered(sent: UInt64, recorded: UInt64)
  /// A frame is in the ring.
  case frame
  /// A frame came and the ring was full. The ring has counted it.
  case ringFull
  /// Something came that should have been a frame and cannot be used: wrong size, bad checksum, unknown encoding,
  /// garbage. The ring has been told.
  case refusedFrame(cause: String)
  /// Something came that belongs to no series being recorded, or that needs no answer.
  case ignored(cause: String)
  case clockPair(ClockPair)
  case readings([CameraReading])
  /// All frames of the series have been given.
  /// - Parameter triggered: exposures begun; nil when the camera did not say and no frame came.
  case seriesEnded(series: UInt64, triggered: UInt64?)
  /// After `stop`: nothing is in flight, and no series was open.
  case drained
}

/// A camera as its one thread sees it. Every call returns in bounded time.
///
/// A camera calls `FrameRing.beginSeries` where its series begins, and `noteUnusable` for each frame it refuses.
package protocol Camera: AnyObject {
  var identity: CameraIdentity { get }
  /// False: the sender decides rate and exposure; everything it sends between `start` and `stop` is recorded.
  var canBeCommanded: Bool { get }
  /// Reaches the camera and asks who it is; again after a failure.
  func connect() throws(CameraError)
  func start(_ request: ExposureRequest, into ring: FrameRing) throws(CameraError)
  /// Receives at most one frame into the ring. Outside a series it throws away what comes.
  func next(into ring: FrameRing, step: UInt32, atMost span: Seconds) throws(CameraError) -> CameraEvent
  /// After it, `next` still gives what was in flight, then `seriesEnded` (or `drained`).
  func stop() throws(CameraError)
  /// Compares the clocks by request and reply; nil where the camera cannot.
  func probeClock() throws(CameraError) -> ClockPair?
  func close()
}

extension Camera {
  /// Tells the ring of a frame that cannot be used, and makes the event of it.
  func refuse(_ cause: String, _ ring: FrameRing) -> CameraEvent {
    ring.noteUnusable(1)
    return .refusedFrame(cause: cause)
  }

  /// Why so many bytes that came are no image of this size, or have no place in the ring; nil when they are and have.
  /// - Parameter type: of the pixels, in the sender's words; left out where the size says enough.
  func misfit(
    _ bytes: Int, width: Int, height: Int, _ pixelType: PixelType, named type: String? = nil, most: Int,
    _ ring: FrameRing
  ) -> String? {
    let needed = width * height * pixelType.bytesPerPixel
    guard bytes == needed else {
      let shape = "\(width) × \(height)\(type.map { " of \($0)" } ?? "")"
      return "\(bytes) bytes of pixels where \(shape) needs \(needed)"
    }
    guard needed <= min(ring.slotBytes, most) else {
      return "an image of \(width) × \(height), larger than the ring's slots"
    }
    return nil
  }
}

/// Frame numbers beyond this are taken for damage: 2⁴⁰ frames are 35 years at 1000 per second.
let mostFrameNumber: UInt64 = 1 << 40
