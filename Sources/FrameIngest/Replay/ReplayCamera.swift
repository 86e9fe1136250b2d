package import FrameRing
import Glibc
import Linux
import Pixels
package import Quantities

/// Plays frames that are on files: of a recorded run, of an MRC file or of a raw file. The same frames with the same
/// numbers come every time; each series that is asked for plays the next that was recorded, and after the last the first.
package final class ReplayCamera: Camera {
  package private(set) var identity: CameraIdentity
  package let canBeCommanded = true
  private let settings: CameraSettings
  private let place: String
  private var frames: ReplayFrames?
  private var files: [OpenFile] = []
  private var following = 0
  private var playing: Playing?
  private var events: [CameraEvent] = []
  private var decompressor = FrameDecompressor()
  private var blob = AlignedBuffer(count: 0)

  private final class OpenFile {
    let descriptor: FileDescriptor
    init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
  }

  private struct Playing {
    var series: UInt64
    var recorded: Int
    var request: ExposureRequest
    var began: MonotonicTime
    var current = 0
    var due = Seconds(0)
    var triggered: UInt64 = 0
    var isStopped = false
  }

  package init(_ settings: CameraSettings) throws(CameraError) {
    guard settings.url.hasPrefix("file:///") else {
      throw .badSetting(
        "`url: \(settings.url)` is no file; write for example file:///data/runs/NAME or file:///data/movie.mrc")
    }
    self.settings = settings
    place = String(settings.url.dropFirst(7))
    identity = CameraIdentity(model: "replay", serial: "", address: settings.url, clock: "")
  }

  package func connect() throws(CameraError) {
    close()
    let frames: ReplayFrames
    do throws(DecodeError) { frames = try ReplayFrames(place) } catch {
      throw .unreachable(address: settings.url, reason: error.description)
    }
    for (path, _) in frames.files {
      do throws(LinuxError) { files.append(OpenFile(try FileDescriptor.open(path, O_RDONLY))) } catch {
        throw .unreachable(address: settings.url, reason: "\(error)")
      }
    }
    let shape = frames.files[0].shape
    (identity.width, identity.height, identity.pixelType) = (shape.width, shape.height, shape.pixelType)
    let hasTimes = frames.series[0][0].recorded != nil
    identity.clock =
      switch settings.replayRate {
      case .recorded where hasTimes: "as it was recorded, on the clock of the camera that was recorded"
      case .full: "none: frames come as fast as they are read"
      default: "start of exposure: frame index times frame period; anew in each series"
      }
    self.frames = frames
  }

  package func start(_ request: ExposureRequest, into ring: FrameRing) throws(CameraError) {
    guard let frames else { throw .disconnected(address: settings.url, reason: "not connected") }
    playing = Playing(series: request.series, recorded: following, request: request, began: .now)
    // What comes between series is thrown away; each run is to hear of it.
    events = frames.notes.map { .ignored(cause: $0) }
    ring.beginSeries()
  }

  package func stop() throws(CameraError) { playing?.isStopped = true }
  package func probeClock() throws(CameraError) -> ClockPair? { nil }

  package func close() {
    frames = nil
    files = []
    playing = nil
    events = []
  }

  package func next(into ring: FrameRing, step: UInt32, atMost span: Seconds) throws(CameraError) -> CameraEvent {
    if !events.isEmpty { return events.removeFirst() }
    guard let playing else {
      sleepThread(for: span)
      return .nothing
    }
    guard let frame = frame(playing), !playing.isStopped else { return end(playing) }
    let now = MonotonicTime.now
    let due = playing.began + max(playing.due, offset(of: frame, playing))
    guard due <= now else {
      sleepThread(for: min(span, due - now))
      return .nothing
    }
    // At full speed a file waits for room; a camera would not, and neither do the other speeds.
    if settings.replayRate == .full, ring.filled >= ring.slotCount {
      sleepThread(for: min(span, Seconds(0.001)))
      return .nothing
    }
    self.playing?.due = due - playing.began
    self.playing?.current += 1
    self.playing?.triggered = max(playing.triggered, frame.number + 1)
    return try take(frame, playing, ring, step)
  }

  private func frame(_ playing: Playing) -> ReplayFrame? {
    guard let all = frames?.series[playing.recorded], playing.current < all.count else { return nil }
    return all[playing.current]
  }

  private func end(_ playing: Playing) -> CameraEvent {
    self.playing = nil
    following = (playing.recorded + 1) % (frames?.series.count ?? 1)
    return .seriesEnded(series: playing.series, triggered: playing.triggered == 0 ? nil : playing.triggered)
  }

  /// When a frame is due, from the beginning of its series.
  private func offset(of frame: ReplayFrame, _ playing: Playing) -> Seconds {
    switch settings.replayRate {
    case .full: return Seconds(0)
    case .chosen(let rate): return Seconds(Double(playing.current + 1) / rate.value)
    case .recorded:
      guard let this = frame.recorded, let first = frames?.series[playing.recorded].first?.recorded else {
        return playing.request.framePeriod * Double(playing.current + 1)
      }
      return Seconds(nanoseconds: this.arrival.subtractingReportingOverflow(first.arrival).partialValue)
    }
  }

  private func take(
    _ frame: ReplayFrame, _ playing: Playing, _ ring: FrameRing, _ step: UInt32
  ) throws(CameraError) -> CameraEvent {
    guard let shape = frames?.files[frame.file].shape else { return .nothing }
    guard shape.bytes <= min(ring.slotBytes, settings.maximumFrameBytes) else {
      return refuse("a frame larger than the ring's slots", ring)
    }
    guard let slot = unsafe ring.reserve() else { return .ringFull }
    let room = unsafe UnsafeMutableRawBufferPointer(rebasing: slot[..<shape.bytes])
    do throws(LinuxError) {
      if let cause = unsafe try read(frame, shape, into: room) { return refuse(cause, ring) }
    } catch {
      throw .disconnected(address: settings.url, reason: "\(error)")
    }
    if shape.isSigned, unsafe room.bindMemory(to: Int16.self).contains(where: { Int16(littleEndian: $0) < 0 }) {
      return refuse("a frame with negative pixels", ring)
    }
    unsafe ring.meter.begin(shape.pixelType, width: shape.width, height: shape.height, in: room)
    ring.meter.take(shape.bytes)
    let found = ring.meter.finish()
    if let recorded = frame.recorded?.pixelCRC, recorded != 0, recorded != found.crc {
      return refuse("pixels that do not match the checksum of their record", ring)
    }
    var header = FrameHeader(
      frameNumber: frame.number, arrival: .now, series: playing.series, pixelType: shape.pixelType, width: shape.width,
      height: shape.height, step: step)
    header.take(found)
    stamp(&header, frame, playing)
    header.dropImplausibleStamps()
    ring.publish(header)
    return .frame
  }

  /// Brings the pixels of a frame into their place.
  /// - Returns: why they cannot be had; nil when they are there.
  private func read(
    _ frame: ReplayFrame, _ shape: ReplayShape, into room: UnsafeMutableRawBufferPointer
  ) throws(LinuxError) -> String? {
    let file = files[frame.file]
    let gone = "a frame whose pixels are no longer on the file"
    guard let stored = frame.blob, let method = stored.method else {
      return unsafe try file.descriptor.read(into: room, at: frame.offset) == shape.bytes ? nil : gone
    }
    if unsafe blob.bytes.count < stored.bytes { blob = AlignedBuffer(count: shape.bytes) }
    let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: blob.bytes[..<stored.bytes])
    guard unsafe try file.descriptor.read(into: bytes, at: frame.offset) == stored.bytes else { return gone }
    guard unsafe crc32c(UnsafeRawBufferPointer(bytes)) == stored.crc else {
      return "a compressed frame that has changed on the file; `insituctl runs verify` says which"
    }
    do throws(FrameDecompressionError) {
      unsafe try decompressor.decompress(UnsafeRawBufferPointer(bytes), method, shape.pixelType, into: room)
      return nil
    } catch {
      return "a frame that cannot be decompressed (\(error)); `insituctl runs verify` says which"
    }
  }

  private func stamp(_ header: inout FrameHeader, _ frame: ReplayFrame, _ playing: Playing) {
    header.exposureNanoseconds = frame.recorded?.exposure ?? playing.request.exposure.nanoseconds
    switch (settings.replayRate, frame.recorded) {
    case (.recorded, let recorded?):
      header.deviceNanoseconds = recorded.device
      header.flags = recorded.flags.intersection(.noDeviceTime)
    case (.full, _): header.flags = .noDeviceTime
    case (.chosen(let rate), _):
      header.deviceNanoseconds = Int64((Double(playing.current) * 1e9 / rate.value).rounded())
      header.exposureNanoseconds = min(header.exposureNanoseconds, Int64(1e9 / rate.value))
    case (.recorded, nil):
      header.deviceNanoseconds = (playing.request.framePeriod * Double(playing.current)).nanoseconds
    }
  }
}
