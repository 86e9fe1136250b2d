internal import FrameRing
internal import Linux
import Pixels
internal import Quantities

/// What the Merlin software does behind its two ports.
final class MerlinEngine: FrameWire, @unchecked Sendable {
  struct State {
    var values = [
      "SOFTWAREVERSION": MerlinSender.softwareVersion, "ACQUISITIONTIME": "10", "ACQUISITIONPERIOD": "10",
      "NUMFRAMESTOACQUIRE": "1", "NUMFRAMESPERTRIGGER": "1", "COUNTERDEPTH": "12", "FILEFORMAT": "0",
      "TRIGGERSTART": "0", "CONTINUOUSRW": "0",
    ]
    var running: Acquisition?
    var nextSeries: UInt64 = 0
    var controlClients = 0
    var hasDataClient = false
    var connections: UInt64 = 0
  }

  struct Acquisition {
    var series: UInt64
    var frames: UInt64
    var depth: Int
    var isRaw: Bool
    var hasAnnounced = false
  }

  let state = Monitor(State())
  let report: @Sendable (String) -> Void
  private let camera: TwinCamera
  private let settings: MerlinSender.Settings
  private let listener: TCPListener

  // The tap's thread only.
  private var client: UnixStream?
  private var message: [UInt8] = []

  private static let writePatience = Seconds(5)

  init(
    _ camera: TwinCamera, _ settings: MerlinSender.Settings, _ listener: TCPListener,
    _ report: @escaping @Sendable (String) -> Void
  ) {
    self.camera = camera
    self.settings = settings
    self.listener = listener
    self.report = report
  }

  // MARK: Commands

  private static let ok = 0
  private static let busy = 1
  private static let unknown = 2
  private static let outOfRange = 3

  /// The answer to `GET,name,0`, `SET,name,value` or `CMD,name,0`.
  func reply(_ request: String) -> String {
    let fields = request.split(separator: ",", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
    guard fields.count >= 2 else { return "\(request),\(Self.unknown)" }
    let name = fields[1]
    switch fields[0] {
    case "GET":
      let value =
        name == "DETECTORSTATUS" ? state.read { $0.running == nil ? "0" : "1" } : state.read { $0.values[name] }
      return "GET,\(name),\(value ?? "0"),\(value == nil ? Self.unknown : Self.ok)"
    case "SET": return "SET,\(name),\(set(name, fields.count > 2 ? fields[2] : ""))"
    case "CMD": return "CMD,\(name),\(command(name))"
    default: return "\(fields[0]),\(name),\(Self.unknown)"
    }
  }

  private func set(_ name: String, _ value: String) -> Int {
    let mostFrames = settings.mostFrames
    return state.update { state in
      guard state.values[name] != nil, name != "SOFTWAREVERSION" else { return Self.unknown }
      guard state.running == nil else { return Self.busy }
      let isGood: Bool =
        switch name {
        case "ACQUISITIONTIME", "ACQUISITIONPERIOD": Double(value).map { $0 > 0 && $0 < 1e7 } ?? false
        case "NUMFRAMESTOACQUIRE": UInt64(value).map { (1...mostFrames).contains($0) } ?? false
        case "COUNTERDEPTH": ["1", "6", "12", "24"].contains(value)
        default: Int(value) != nil
        }
      guard isGood else { return Self.outOfRange }
      state.values[name] = value
      return Self.ok
    }
  }

  private func command(_ name: String) -> Int {
    switch name {
    case "STARTACQUISITION": return start()
    case "STOPACQUISITION":
      _ = try? camera.stop()
      return Self.ok
    default: return Self.unknown
    }
  }

  private func start() -> Int {
    let request = state.update { state -> TwinCamera.Request? in
      guard state.running == nil else { return nil }
      func nanoseconds(_ key: String) -> Int64 { Int64((Double(state.values[key] ?? "") ?? 0) * 1e6) }
      let exposure = nanoseconds("ACQUISITIONTIME")
      state.running = Acquisition(
        series: state.nextSeries, frames: UInt64(state.values["NUMFRAMESTOACQUIRE"] ?? "") ?? 1,
        depth: Int(state.values["COUNTERDEPTH"] ?? "") ?? 12, isRaw: state.values["FILEFORMAT"] == "2")
      state.nextSeries += 1
      return TwinCamera.Request(
        series: state.nextSeries - 1, period_ns: max(nanoseconds("ACQUISITIONPERIOD"), exposure), exposure_ns: exposure)
    }
    guard let request else { return Self.busy }
    do throws(TwinCameraError) { try camera.start(request) } catch {
      report("merlin: \(error)")
      state.update { $0.running = nil }
      return Self.outOfRange
    }
    report("merlin: acquisition \(request.series) started")
    return Self.ok
  }

  // MARK: Data

  func turn() {
    if let client {
      // A client never sends: readable means that it has gone.
      if client.isReadable(within: Seconds(0)) { drop() }
    } else if let next = try? listener.accept(within: Seconds(0)) {
      client = next
      state.update {
        $0.hasDataClient = true
        $0.connections += 1
      }
      if settings.staleBytes > 0 { write((0..<settings.staleBytes).map { UInt8(truncatingIfNeeded: $0 &* 31) }) }
    }
    announce()
  }

  /// The acquisition header goes out as soon as it is known that there will be frames.
  private func announce() {
    let header = state.update { state -> [UInt8]? in
      guard let running = state.running, !running.hasAnnounced else { return nil }
      state.running?.hasAnnounced = true
      return MerlinText.acquisitionHeader(running, camera.settings)
    }
    if let header { write(MerlinText.message(header)) }
  }

  func send(_ frame: FrameHeader, _ pixels: UnsafeRawBufferPointer) {
    announce()
    guard let running = state.read({ $0.running }), frame.series == running.series, frame.frameNumber < running.frames
    else { return }
    if frame.frameNumber + 1 == running.frames { _ = try? camera.stop() }
    guard client != nil else { return }
    let type: PixelType = running.depth <= 6 ? .u8 : running.depth <= 12 ? .u16 : .u32
    let header = MerlinText.frameHeader(frame, running, type)
    let payload = header.count + frame.width * frame.height * type.bytesPerPixel
    message.removeAll(keepingCapacity: true)
    message += MerlinText.prefix(payload)
    message += header
    let crc = unsafe MerlinText.appendPixels(pixels, as: type, to: &message)
    guard write(message) else { return }
    settings.sent(
      SentFrame(
        series: frame.series, frame: frame.frameNumber, deviceNanoseconds: frame.deviceNanoseconds, pixelCRC: crc))
  }

  func sendGarbage(_ bytes: [UInt8]) { write(bytes) }
  func breakOff() { drop() }

  func endSeries(_ exposures: UInt64) {
    state.update { $0.running = nil }
    if settings.closesBehindAcquisition { drop() }
  }

  @discardableResult
  private func write(_ bytes: [UInt8]) -> Bool {
    guard let client else { return false }
    do throws(LinuxError) {
      try client.write(bytes, within: Self.writePatience)
      return true
    } catch {
      report("merlin: data client gone (\(error.reason))")
      drop()
      return false
    }
  }

  private func drop() {
    client?.shutdown()
    client = nil
    state.update { $0.hasDataClient = false }
  }
}
