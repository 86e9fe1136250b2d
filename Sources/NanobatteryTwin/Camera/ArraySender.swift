internal import FrameRing
internal import JSON
internal import Linux
internal import Quantities
package import ZeroMQ

/// The twin's camera as a sender of frames over ZeroMQ that nobody commands: `array-1.0`, or the JSON of slsDetectorPackage
/// (camera-streams.md §7). It exposes from the beginning to the end; what nobody takes is lost.
package final class ArraySender: CameraOutlet, Sendable {
  package enum Format: Sendable {
    case array
    /// ADZMQ before 1.4: a list for the type, the sides in the order x, y.
    case oldArray
    case slsDetector
  }

  package struct Settings: Sendable {
    package var endpoint = "tcp://127.0.0.1:9999"
    package var format = Format.array
    /// PUB to all, not PUSH to one.
    package var publishes = false
    package var period_ns: Int64 = 10_000_000
    package var exposure_ns: Int64 = 9_600_000
    /// Pixels are sent big-endian (array-1.0 says so).
    package var isBigEndian = false
    /// The detector's header goes out as a message of its own.
    package var splitsMessages = false
    /// A series ends after so many exposures, and the next begins at once.
    package var framesPerSeries: UInt64?
    /// Called for each frame that was given to ZeroMQ, on the sender's thread.
    package var sent: @Sendable (SentFrame) -> Void = { _ in }
    package init() {}
  }

  private let wire: ArrayWire
  private let tap: CameraTap
  /// With the port the system chose.
  package var endpoint: String { wire.endpoint }

  package init(
    _ camera: TwinCamera, _ settings: Settings, report: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(ZeroMQError) {
    wire = try ArrayWire(camera, settings, report)
    wire.begin()
    tap = CameraTap(camera, wire)
  }

  package var isConnected: Bool { wire.taken.read { $0.isTaken } }
  package var connections: UInt64 { wire.taken.read { $0.times } }

  package func close() {
    tap.close()
    wire.end()
  }
}

private final class ArrayWire: FrameWire, @unchecked Sendable {
  /// Messages that may wait for a receiver.
  private static let mostWaiting: Int32 = 64

  /// Whether the last frame found a taker, and how often one came after none.
  let taken = Monitor((isTaken: false, times: UInt64(0)))
  let endpoint: String
  private let camera: TwinCamera
  private let settings: ArraySender.Settings
  private let report: @Sendable (String) -> Void
  private let context = ZeroMQContext()
  // The tap's thread only, once it runs.
  private var socket: ZeroMQSocket
  private var series: UInt64 = 0
  private var pixels: [UInt8] = []

  init(
    _ camera: TwinCamera, _ settings: ArraySender.Settings, _ report: @escaping @Sendable (String) -> Void
  ) throws(ZeroMQError) {
    let socket = try Self.open(context, settings, settings.endpoint)
    endpoint = socket.lastEndpoint
    self.socket = socket
    self.camera = camera
    self.settings = settings
    self.report = report
  }

  private static func open(
    _ context: ZeroMQContext, _ settings: ArraySender.Settings, _ endpoint: String
  ) throws(ZeroMQError) -> ZeroMQSocket {
    let socket = try ZeroMQSocket(context, settings.publishes ? .publish : .push)
    socket.setHighWaterMark(send: mostWaiting, receive: 1)
    try socket.bind(endpoint)
    return socket
  }

  func begin() {
    do throws(TwinCameraError) {
      try camera.start(
        TwinCamera.Request(series: series, period_ns: settings.period_ns, exposure_ns: settings.exposure_ns))
    } catch {
      report("array: \(error)")
    }
  }

  func end() { _ = try? camera.stop() }
  func turn() {}

  func send(_ frame: FrameHeader, _ bytes: UnsafeRawBufferPointer) {
    if let most = settings.framesPerSeries {
      if frame.frameNumber + 1 == most { _ = try? camera.stop() }
      if frame.frameNumber >= most { return }
    }
    let crc = unsafe fill(bytes)
    let header = settings.format == .slsDetector ? slsHeader(frame, hasData: true) : arrayHeader(frame)
    guard send(settings.splitsMessages ? [[header], [pixels]] : [[header, pixels]]) else { return }
    settings.sent(
      SentFrame(
        series: frame.series, frame: frame.frameNumber, deviceNanoseconds: frame.deviceNanoseconds, pixelCRC: crc))
  }

  /// Sends all or, when there is no room for the first, nothing.
  private func send(_ messages: [[[UInt8]]]) -> Bool {
    do throws(ZeroMQError) {
      for (index, message) in messages.enumerated() { try socket.send(message, waiting: index > 0) }
    } catch {
      taken.update { $0.isTaken = false }
      return false
    }
    taken.update {
      if !$0.isTaken { $0.times += 1 }
      $0.isTaken = true
    }
    return true
  }

  private func fill(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    pixels = unsafe Array(bytes)
    if settings.isBigEndian {
      for index in stride(from: 0, to: pixels.count, by: 2) { pixels.swapAt(index, index + 1) }
    }
    return unsafe crc32c(bytes)
  }

  private func arrayHeader(_ frame: FrameHeader) -> [UInt8] {
    let (width, height) = (JSONValue.integer(Int64(frame.width)), JSONValue.integer(Int64(frame.height)))
    let isOld = settings.format == .oldArray
    return JSONValue.object([
      "htype": isOld ? .array(["array-1.0"]) : "array-1.0", "type": "uint16",
      "shape": .array(isOld ? [width, height] : [height, width]), "frame": .integer(Int64(frame.frameNumber)),
      "endianess": settings.isBigEndian ? "big" : "little", "encoding": "", "source": "twin", "tag": "",
      "timestamp": .array([
        .integer(frame.deviceNanoseconds / 1_000_000_000), .integer(frame.deviceNanoseconds % 1_000_000_000),
      ]),
    ]).bytes
  }

  private func slsHeader(_ frame: FrameHeader, hasData: Bool) -> [UInt8] {
    let shape = JSONValue.array([.integer(Int64(frame.width)), .integer(Int64(frame.height))])
    return JSONValue.object([
      "jsonversion": 4, "bitmode": 16, "fileIndex": .integer(Int64(frame.series)), "detshape": [1, 1], "shape": shape,
      "size": .integer(Int64(frame.bytes)), "acqIndex": .integer(Int64(frame.frameNumber) + 1),
      "frameIndex": .integer(Int64(frame.frameNumber)), "progress": 0, "fname": "twin", "data": hasData ? 1 : 0,
      "completeImage": 1, "frameNumber": .integer(Int64(frame.frameNumber) + 1),
      "expLength": .integer(frame.exposureNanoseconds / 100), "packetNumber": 128,
      "timestamp": .integer(frame.deviceNanoseconds / 100), "modId": 0, "row": 0, "column": 0, "detType": 3,
      "version": 2, "flipRows": 0, "quad": 0, "addJsonHeader": .object([:]),
    ]).bytes
  }

  func sendGarbage(_ bytes: [UInt8]) { _ = send([[bytes]]) }

  func breakOff() {
    let endpoint = endpoint
    socket.setLinger(milliseconds: 0)
    // Another port is of no use to who is connected: the old socket must be gone before the new one is bound.
    guard let spare = try? ZeroMQSocket(context, .push) else { return }
    socket = spare
    let end = MonotonicTime.now + Seconds(2)
    while MonotonicTime.now < end {
      if let next = try? Self.open(context, settings, endpoint) {
        socket = next
        return
      }
      sleepThread(for: Seconds(0.005))
    }
    report("array: \(endpoint) could not be bound again")
  }

  func endSeries(_ exposures: UInt64) {
    if settings.format == .slsDetector {
      _ = send([[slsHeader(FrameHeader(frameNumber: exposures, series: series), hasData: false)]])
    }
    guard settings.framesPerSeries != nil else { return }
    series += 1
    begin()
  }
}
