import DEMessaging
package import FrameRing
import Linux
import Pixels
package import Quantities

/// A Direct Electron camera behind its DE-Server (camera-streams.md §4): commanded over TCP, its frames fetched as movie
/// buffers, which the server keeps until they are fetched. Not tried on hardware.
///
/// Pixels go from the socket into the ring's slot; 8-bit ones are widened there. Frames carry the time index · period on
/// a clock that begins with each series: the server's own time stamps are single-precision seconds and are not used.
@safe
package final class DECamera: Camera {
  /// The server waits so long for a movie buffer before it says that there is none yet.
  static let bufferTimeout = Seconds(0.5)
  /// In the middle of an answer the server may be silent for so long.
  static let mostSilence = Seconds(5)
  /// After `stop`, buffers are fetched for at most so long. Below the limit of the camera's thread.
  static let mostDrain = Seconds(4)
  private static let stopPatience = Seconds(0.5)
  private static let stopAttempts = 2
  private static let idlePatience = Seconds(3)
  /// What is asked for when the server does not say how long an acquisition may be, and the longest that is.
  private static let exposureTime = (usual: 3600.0, most: 86400.0)
  private static let framesPerSecond = 1e-6...1e6

  package internal(set) var identity: CameraIdentity
  package let canBeCommanded = true
  let settings: CameraSettings
  private let address: String
  var connection: DEConnection?
  var layout: DEMovieLayout?
  /// GET_MOVIE_BUFFER as it goes over the wire, made once for a series.
  var bufferRequest: [UInt8] = []
  var series: Series?
  var intake = Intake.idle
  /// The header of the movie buffer that is being received.
  var header = AlignedBuffer(count: AlignedBuffer.alignment)
  /// Where bytes go that nobody wants.
  let rubbish = AlignedBuffer(count: 1 << 18)
  /// The slot that the frame under way is for; nil when it is thrown away.
  var room: UnsafeMutableRawBufferPointer?
  var events: [CameraEvent] = []
  /// An acquisition that we began may still go on.
  private var ownsAcquisition = false
  var nextDose = MonotonicTime(nanoseconds: 0)
  var isCounting = false
  var tellsDose = true

  /// The series that is being recorded.
  struct Series {
    var number: UInt64
    /// ns from frame to frame.
    var period: Double
    var frames: UInt64 = 0
    /// Exposures that are known to have begun: the highest number seen, and what came behind it without a number.
    private(set) var triggered: UInt64 = 0
    var stopped: MonotonicTime?
    /// The datagram was not confirmed: ask over TCP.
    var wantsStop = false
    /// Answers in a row that said that something failed.
    var failures = 0

    init(number: UInt64, period: Double) {
      self.number = number
      self.period = period
    }

    mutating func note(frame number: UInt64) {
      guard number >= numbered else { return }
      numbered = number + 1
      triggered = numbered
    }

    mutating func noteWithoutNumber(_ frames: Int) { triggered += UInt64(frames) }

    private var numbered: UInt64 = 0
  }

  /// How far the receipt of a movie buffer has come.
  enum Intake: Equatable {
    case idle
    /// GET_MOVIE_BUFFER was sent.
    /// - Parameter isPrompt: its answer was not there at once, so that the buffer was filled while we waited.
    case asked(at: MonotonicTime, isPrompt: Bool)
    case header(Block, done: Int, lastByte: MonotonicTime)
    case frame(Block, done: Int, lastByte: MonotonicTime)
    case surplus(left: Int, lastByte: MonotonicTime)
  }

  struct Block: Equatable {
    var frames: Int
    /// The frame under way.
    var current = 0
    var surplus: Int
    /// When its first byte was there.
    var arrival: MonotonicTime
    var isPrompt: Bool
    /// Why the frame under way is not recorded.
    var problem: Problem?
    var number: UInt64 = 0
  }

  enum Problem: Equatable {
    case ringFull
    case unusable(String)
  }

  package init(_ settings: CameraSettings) throws(CameraError) {
    address = try DEConnection.address(of: settings.url)
    self.settings = settings
    identity = CameraIdentity(
      model: "de", serial: "", address: settings.url, clock: Self.clockMeaning, pixelType: .u16)
  }

  private static let clockMeaning = """
    start of exposure: frame index times frame period (1 / “Frames Per Second” of the server), ns since the first \
    exposure; anew in each series. The server's own time stamps are too coarse and are not used
    """

  package func connect() throws(CameraError) {
    close()
    let connection = try DEConnection.open(settings.url)
    identity.model = connection.camera
    identity.serial = try connection.property("Camera SN")?.text ?? ""
    identity.width = try connection.property("Image Size X (pixels)")?.integer
    identity.height = try connection.property("Image Size Y (pixels)")?.integer
    self.connection = connection
  }

  package func close() {
    connection = nil
    series = nil
    intake = .idle
    unsafe room = nil
    events = []
  }

  package func probeClock() throws(CameraError) -> ClockPair? { nil }

  // MARK: Start

  package func start(_ request: ExposureRequest, into ring: FrameRing) throws(CameraError) {
    // A series that was cut off may have left an answer half read.
    if intake != .idle { try connect() }
    let connection = try connected()
    guard !connection.isReadOnly else {
      throw refusal("a recording", "it lets this client only look; allow it to control the camera in the DE-Server")
    }
    try waitForOurs(connection)
    try connection.setProperty("Frames Per Second", .float(Float(1 / request.framePeriod.value)))
    try connection.setProperty("Exposure Time (seconds)", .float(Float(try exposureTime(connection))))
    guard let rate = try connection.property("Frames Per Second")?.number, Self.framesPerSecond.contains(rate) else {
      throw refusal("a recording", "it does not say its “Frames Per Second”")
    }
    isCounting = try connection.property("Image Processing - Mode")?.text == "Counting"
    layout = try usableLayout(connection, ring)
    bufferRequest = connection.framed(
      .getMovieBuffer, values: [.integer(Int32(Self.bufferTimeout.value * 1000))])

    // One acquisition, with movie buffers; from version 16 on five virtual images may be wanted as well.
    let virtualImages: [DEValue] = connection.version >= 16 ? Array(repeating: .boolean(false), count: 5) : []
    // Whether an answer comes or not: what runs now is ours, unless the server said no.
    ownsAcquisition = true
    do throws(CameraError) {
      _ = try connection.ask(.startAcquisition, values: [.integer(1), .boolean(true)] + virtualImages)
    } catch {
      ownsAcquisition = !error.isRefusal
      throw error
    }
    identity.width = layout?.width
    identity.height = layout?.height
    identity.clock = "\(Self.clockMeaning); \(rate) frames per second"
    series = Series(number: request.series, period: 1e9 / rate)
    tellsDose = true
    nextDose = .now + Self.betweenDoses
    events = []
    ring.beginSeries()
  }

  func refusal(_ request: String, _ answer: String) -> CameraError {
    .refused(address: settings.url, request: request, answer: answer)
  }

  /// An acquisition that is under way is stopped when it is ours; one of somebody else's is left alone.
  private func waitForOurs(_ connection: DEConnection) throws(CameraError) {
    guard try isAcquiring(connection) else { return }
    guard ownsAcquisition else {
      throw refusal("a recording", "it is acquiring already, for somebody else; stop that first")
    }
    _ = sendStop()
    let end = MonotonicTime.now + Self.idlePatience
    while try isAcquiring(connection) {
      guard MonotonicTime.now < end else {
        throw .disconnected(address: settings.url, reason: "it goes on acquiring after it was told to stop")
      }
      sleepThread(for: Seconds(0.05))
    }
  }

  private func isAcquiring(_ connection: DEConnection) throws(CameraError) -> Bool {
    try connection.property("Acquisition Status")?.text == "Acquiring"
  }

  /// Seconds that the acquisition may last at most: it ends when it is stopped.
  private func exposureTime(_ connection: DEConnection) throws(CameraError) -> Double {
    var most = try connection.property("Exposure Time Max (seconds)")?.number
    if most == nil { most = try connection.largestValue("Exposure Time (seconds)") }
    guard let most, most > 0 else { return Self.exposureTime.usual }
    return min(most, Self.exposureTime.most)
  }

  private func usableLayout(_ connection: DEConnection, _ ring: FrameRing) throws(CameraError) -> DEMovieLayout {
    let request = DECommandNumber.getMovieBufferInfo.name
    let values: [DEValue]
    do throws(CameraError) { values = try connection.ask(.getMovieBufferInfo) } catch {
      guard case .refused(_, _, let answer) = error else { throw error }
      let remedy = "movie buffers need DE-Server 2.7.2 or newer, and this is \(connection.software)"
      throw refusal(request, connection.version < 10 ? "\(answer); \(remedy)" : answer)
    }
    let layout: DEMovieLayout
    do throws(DecodeError) { layout = try DEMovieLayout(values) } catch {
      throw .misunderstood(address: settings.url, request: request, answer: error.description)
    }
    switch layout.pixels {
    case .u8, .u16: break
    case .i16, .f32:
      let setting = isCounting ? "Autosave Counted Movie Pixel Format" : "Autosave Integrated Movie Pixel Format"
      throw refusal(
        "a recording",
        "its frames would have \(layout.pixels == .f32 ? "32-bit floating-point" : "signed 16-bit") pixels, which cannot "
          + "be recorded; set “\(setting)” to uint16 or uint8")
    }
    let bytes = layout.width * layout.height * PixelType.u16.bytesPerPixel
    guard bytes <= min(ring.slotBytes, settings.maximumFrameBytes) else {
      throw refusal(
        "a recording",
        "its frames of \(layout.width) × \(layout.height) are larger than the ring's slots; raise `ring.largest_frame`")
    }
    if unsafe header.bytes.count < layout.headerBytes { header = AlignedBuffer(count: layout.headerBytes) }
    return layout
  }

  // MARK: Stop

  package func stop() throws(CameraError) {
    guard series != nil, series?.stopped == nil else { return }
    series?.stopped = .now
    if !sendStop() {
      series?.wantsStop = true
      events.append(.ignored(cause: "the emergency stop by UDP was not confirmed; the stop is asked for over TCP"))
    }
  }

  /// The emergency stop: a datagram, which does not wait behind pixels.
  /// - Returns: whether it was confirmed.
  private func sendStop() -> Bool {
    guard let socket = try? UDPSocket(connecting: address) else { return false }
    for _ in 0..<Self.stopAttempts {
      guard (try? socket.send(DEEmergencyStop.request)) != nil else { return false }
      let end = MonotonicTime.now + Self.stopPatience
      while let answer = try? socket.receive(within: max(end - .now, Seconds(0))) {
        if answer.bytes.firstRange(of: DEEmergencyStop.confirmation) != nil { return true }
      }
    }
    return false
  }

  func connected() throws(CameraError) -> DEConnection {
    guard let connection else { throw .disconnected(address: settings.url, reason: "not connected") }
    return connection
  }

  /// All frames that there are have been fetched, or time is over.
  func end(_ series: Series, isWhole: Bool) -> CameraEvent {
    self.series = nil
    if isWhole { ownsAcquisition = false }
    return .seriesEnded(series: series.number, triggered: series.triggered == 0 ? nil : series.triggered)
  }
}
