import ControlProtocol
import FrameRing
import Linux
import Pixels
import Quantities
import RunStore

/// Where the frames of one camera go in one run: the writer of its files, the memory of what is not written as it came, and
/// what is told of each frame that is on the file. Lives on the recorder's thread.
final class FrameOutput {
  /// Buffers for frames that are written otherwise than they came.
  private static let mostBuffers = 16
  /// Frames that wait for their compression are at most this part of the ring.
  private static let shareOfRing = 4

  let files: FrameFiles
  private let run: ActiveRun
  private let publisher: StreamPublisher
  private let writer: SegmentWriter
  private let stored: StoredFrames
  private let compression: FrameCompression?
  private let counted: (FrameHeader) -> StoredStatistics.Uncertain?
  /// Told of each frame, in the order in which they were given: it is on the file, or it will never be.
  private let settle: (StoredWork, _ isStored: Bool) -> Void

  /// What is under way to the file, in order; before `done` it is there.
  private var underWay: [StoredWork] = []
  private var done = 0
  private var statistics: [StoredStatistics] = []
  private var buffers: [FrameBuffer] = []
  private var meter: PixelMeter?
  /// Why nothing can be written any more.
  private(set) var failure: SegmentError?
  private var toldNotice = false

  /// What the writer's callback says, collected until the frame is dealt with.
  private final class StoredFrames {
    var frames: [StoredFrame] = []
  }

  /// - Parameters:
  ///   - slots: of the ring that the frames lie in.
  ///   - counted: electrons per Å² that a frame, or a sum of frames, counted; nil where that is not known.
  init(
    _ run: ActiveRun, _ camera: RunCamera, _ settings: RecorderSettings, _ publisher: StreamPublisher, slots: Int,
    counted: @escaping (FrameHeader) -> StoredStatistics.Uncertain?,
    settle: @escaping (StoredWork, _ isStored: Bool) -> Void
  ) {
    self.run = run
    self.publisher = publisher
    self.counted = counted
    self.settle = settle
    files = FrameFiles(run.directory, camera)
    var segments = SegmentSettings()
    segments.segmentBytes = settings.segmentBytes
    segments.note = run.id
    segments.freeBytesKept = settings.keepFree
    segments.compression = settings.compression
    // What waits to be compressed must never be what the camera lacks. Each takes a slot, however small it is.
    segments.compressionBacklogFrames = min(segments.compressionBacklogFrames, max(1, slots / Self.shareOfRing))
    segments.queue = settings.queue
    compression = settings.compression
    let stored = StoredFrames()
    self.stored = stored
    writer = SegmentWriter(files, segments) { stored.frames += $0 }
  }

  /// Frames whose memory was lent to the writer so far, and how many of them it needs no more.
  var lent: UInt64 { writer.framesHandedOver }
  var returned: UInt64 { writer.framesReleased }
  /// How many of them do not wait to be written together with others, or to be compressed.
  var begun: UInt64 { writer.framesBegun }
  var isWriting: Bool { writer.isWriting }
  /// The next frame would be waited with, for the disk.
  var mustWait: Bool { failure == nil && writer.mustWait }

  /// Writes pixels that are not those of the frame as it came.
  func write(
    _ work: StoredWork, _ buffer: FrameBuffer, _ shape: (type: PixelType, width: Int, height: Int)
  ) {
    var work = work
    work.header.pixelType = shape.type
    work.header.width = shape.width
    work.header.height = shape.height
    let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer.memory.bytes[..<work.header.bytes])
    let change = work.header.statistics?.change
    let meter = meter(atLeast: work.header.bytes)
    unsafe meter.begin(shape.type, width: shape.width, height: shape.height, in: bytes)
    meter.take(work.header.bytes)
    let (crc, statistics) = meter.finish()
    work.header.pixelCRC = crc
    work.header.statistics = statistics
    // Of the camera's frames; a reference for these there is not.
    work.header.statistics?.change = change
    unsafe put(work, UnsafeRawBufferPointer(bytes))
    buffer.lentUntil = writer.framesHandedOver
  }

  func put(_ work: StoredWork, _ pixels: UnsafeRawBufferPointer) {
    let frame = work.header
    var record = RecordedFrame(
      frameNumber: frame.frameNumber, deviceNanoseconds: frame.deviceNanoseconds,
      exposureNanoseconds: frame.exposureNanoseconds, arrival: frame.arrival, series: frame.series,
      flags: frame.flags.rawValue | IndexRecord.sumBits(of: work.frames), step: frame.step,
      shape: FrameShape(width: frame.width, height: frame.height, bytesPerPixel: frame.pixelType.bytesPerPixel))
    record.pixelCRC = frame.pixelCRC == 0 ? nil : frame.pixelCRC
    underWay.append(work)
    guard failure == nil else { return refuseLast() }
    do throws(SegmentError) {
      unsafe try writer.append(record, pixels, at: .now)
    } catch {
      if error.kind == .badFrame { refuseLast() } else { fail(error) }
    }
  }

  private func meter(atLeast bytes: Int) -> PixelMeter {
    if let meter, meter.largestFrameBytes >= bytes { return meter }
    let new = PixelMeter(largestFrameBytes: bytes)
    meter = new
    return new
  }

  /// Memory that nobody reads any more.
  /// - Parameter busy: in use although the writer does not have it.
  func buffer(
    of shape: (type: PixelType, width: Int, height: Int), zeroed: Bool, beside busy: FrameBuffer? = nil
  ) -> FrameBuffer {
    let count = shape.width * shape.height * shape.type.bytesPerPixel
    while true {
      let free = buffers.firstIndex { $0.lentUntil <= writer.framesReleased && $0 !== busy }
      if let free, buffers[free].count >= count {
        if zeroed {
          unsafe UnsafeMutableRawBufferPointer(rebasing: buffers[free].memory.bytes[..<count]).initializeMemory(
            as: UInt8.self, repeating: 0)
        }
        return buffers[free]
      }
      if let free {
        buffers.remove(at: free)
      } else if buffers.count >= Self.mostBuffers {
        do throws(SegmentError) { try writer.reap(waitingAtMost: Seconds(1)) } catch { fail(error) }
        continue
      }
      buffers.append(FrameBuffer(count: count))
    }
  }

  // MARK: What has been written

  /// Everything given is on the files, or has failed.
  func flush() { attempt { () throws(SegmentError) in try writer.flush() } }

  /// Takes in what was written meanwhile.
  func reap(waitingAtMost span: Seconds) { attempt { () throws(SegmentError) in try writer.reap(waitingAtMost: span) } }

  /// Begins to write the frames that wait to be written together with others.
  func writeGathered() { attempt { () throws(SegmentError) in try writer.writeGathered() } }

  func synchronize() { if failure == nil { writer.synchronize() } }

  func close() {
    do throws(SegmentError) { try writer.close() } catch { fail(error) }
    passOn()
  }

  private func attempt(_ work: () throws(SegmentError) -> Void) {
    guard failure == nil else { return }
    do throws(SegmentError) { try work() } catch { fail(error) }
    passOn()
  }

  /// Tells of what has been written.
  func passOn() {
    if let notice = writer.notice, !toldNotice {
      toldNotice = true
      run.writer.put(.event(kind: "storage", message: notice))
    }
    guard !stored.frames.isEmpty else { return }
    let frames = stored.frames
    stored.frames.removeAll(keepingCapacity: true)
    for item in frames {
      let work = underWay[done]
      done += 1
      settle(work, true)
      noteStatistics(work, position: item.record.position)
      publisher.publish(
        work.header,
        at: StreamReference(
          file: files.pixelsPath(item.segment, compression == nil ? .plain : .compressed), offset: item.offsetBytes,
          byteCount: Int64(item.storedBytes), encoding: item.encoding.method?.rawValue),
        of: files.camera)
    }
    if done >= 64 || done == underWay.count {
      underWay.removeFirst(done)
      done = 0
    }
    run.writer.put(.frames(frames, files.camera))
    if !statistics.isEmpty {
      run.writer.put(.statistics(statistics, files.camera))
      statistics.removeAll(keepingCapacity: true)
    }
  }

  private func noteStatistics(_ work: StoredWork, position: UInt64) {
    guard let found = work.header.statistics else { return }
    statistics.append(
      StoredStatistics(
        position: position, sum: found.sum, mean: found.mean(of: work.header.width * work.header.height),
        minimum: found.minimum, maximum: found.maximum, saturated: found.saturated,
        change: found.change.map(Double.init),
        regionMeans: (0..<found.regionCount).map { found[region: $0] },
        counted: work.header.flags.contains(.preview) ? nil : counted(work.header)))
  }

  /// A frame that can never be stored; the others are not touched.
  private func refuseLast() {
    guard let work = underWay.popLast() else { return }
    settle(work, false)
  }

  /// What was under way is not on the file; what comes from now on is refused too.
  private func fail(_ error: SegmentError) {
    passOn()
    for work in underWay[done...] { settle(work, false) }
    underWay = []
    done = 0
    guard failure == nil else { return }
    failure = error
    run.writer.put(.event(kind: "storage_failed", message: "\(files.camera.name): frames cannot be written: \(error)"))
    run.signals.push(.failed("frames cannot be written: \(error)"))
  }
}
