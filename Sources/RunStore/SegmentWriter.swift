import Linux
package import Quantities

/// What the recorder knows of a frame whose pixels it hands over.
package struct RecordedFrame: Sendable {
  package var frameNumber: UInt64
  package var deviceNanoseconds: Int64
  package var exposureNanoseconds: Int64
  package var arrival: MonotonicTime
  package var series: UInt64
  package var flags: UInt32
  /// `IndexRecord.noStep` when no protocol step asked for it.
  package var step: UInt32
  package var shape: FrameShape
  /// nil: computed from the pixels.
  package var pixelCRC: UInt32?

  package init(
    frameNumber: UInt64, deviceNanoseconds: Int64, exposureNanoseconds: Int64, arrival: MonotonicTime, series: UInt64,
    flags: UInt32 = 0, step: UInt32 = IndexRecord.noStep, shape: FrameShape, pixelCRC: UInt32? = nil
  ) {
    self.frameNumber = frameNumber
    self.deviceNanoseconds = deviceNanoseconds
    self.exposureNanoseconds = exposureNanoseconds
    self.arrival = arrival
    self.series = series
    self.flags = flags
    self.step = step
    self.shape = shape
    self.pixelCRC = pixelCRC
  }
}

/// Where a frame is, or will be when it was small enough to be gathered first.
package struct WrittenFrame: Hashable, Sendable {
  /// Index in the run, from 0.
  package var position: UInt64
  package var segment: Int
  package var offsetBytes: Int64

  package init(position: UInt64, segment: Int, offsetBytes: Int64) {
    self.position = position
    self.segment = segment
    self.offsetBytes = offsetBytes
  }
}

/// Writes the frames of a run into segments (design §5): `frames-NNNN.mrc`, 4096 bytes of header and then raw frames, and
/// `frames-NNNN.idx`. Used by one thread at a time.
///
/// The records of a segment are written after the pixels they describe, the header's frame count after both. What a killed
/// process wrote stays in the kernel; against a power cut, `synchronize` about every 2 s bounds what may be missing.
package final class SegmentWriter: @unchecked Sendable {
  private static let mostSide = 1 << 20
  private static let mostFrameBytes = 1 << 30

  private let files: FrameFiles
  private let settings: SegmentSettings
  private let stored: (StoredFrame) -> Void
  private var segment: SegmentFile?
  private var nextSegment = 0
  private var headerDue = MonotonicTime(nanoseconds: .min)
  private var gatheringSince = MonotonicTime(nanoseconds: 0)

  /// Position of the next frame: frames taken in so far.
  package private(set) var position: UInt64 = 0
  /// Frames that are on the file and have their index record.
  package private(set) var framesOnFile: UInt64 = 0
  /// Bytes of the frames on the file.
  package private(set) var bytesOnFile: UInt64 = 0
  /// What the operator should know, such as a file system without `O_DIRECT`.
  package private(set) var notice: String?

  /// - Parameter stored: called on the writer's thread for each frame as its index record has been written: in order,
  ///   at once for frames of 512 KiB and more in whole pages, at the latest in `flush` for others.
  package init(
    _ files: FrameFiles, _ settings: SegmentSettings = SegmentSettings(),
    stored: @escaping (StoredFrame) -> Void = { _ in }
  ) {
    self.files = files
    self.settings = settings
    self.stored = stored
  }

  /// Takes a frame in. After a `SegmentError` the frame is not taken in, the segment is valid and ended, and the next
  /// frame begins a new one.
  /// - Parameter pixels: `frame.shape.bytes` bytes; 4096-aligned ones of whole pages are written from where they are.
  package func append(_ frame: RecordedFrame, _ pixels: UnsafeRawBufferPointer, at now: MonotonicTime)
    throws(SegmentError) -> WrittenFrame
  {
    try check(frame, pixels.count)
    if let open = segment,
      open.shape != frame.shape || open.bytesAfterNextFrame > settings.segmentBytes || open.frames >= Int(Int32.max)
    {
      try endSegment()
    }
    let file = try openSegment(frame.shape)
    if now >= headerDue {
      do throws(LinuxError) { try file.writeHeader() } catch { throw fail(file, error, refusing: 0) }
      headerDue = now + settings.headerInterval
    }
    let ordinal = file.frames
    let crc = unsafe frame.pixelCRC ?? crc32c(pixels)
    let record = IndexRecord(
      frameNumber: frame.frameNumber, deviceNanoseconds: frame.deviceNanoseconds,
      arrivalNanoseconds: frame.arrival.nanoseconds, exposureNanoseconds: frame.exposureNanoseconds,
      series: UInt32(frame.series), flags: frame.flags, position: position, step: frame.step, pixelCRC: crc,
      ordinal: UInt32(ordinal))
    position += 1
    do throws(LinuxError) {
      if file.frames == file.indexed { gatheringSince = now }
      unsafe try file.add(record, pixels)
      if file.frames > file.indexed, now - gatheringSince >= settings.gatherInterval { try file.flush() }
    } catch {
      let isStored = file.indexed > ordinal
      let failure = fail(file, error, refusing: 1)
      // The frame and its record were on the file before something else failed: the next frame begins a new segment.
      if !isStored { throw failure }
    }
    noticeCache(file)
    return WrittenFrame(position: record.position, segment: file.number, offsetBytes: file.offset(ofFrame: ordinal))
  }

  /// Everything taken in is on the files, indexed and counted in the header. To be called when no frame has come for a
  /// moment, so that small frames do not wait in memory.
  package func flush() throws(SegmentError) {
    guard let file = segment else { return }
    do throws(LinuxError) { try file.flush() } catch { throw fail(file, error, refusing: 0) }
  }

  /// fdatasync(2) of pixels and index: what was written before is safe from a power cut. Once in about 2 s.
  package func synchronize() throws(SegmentError) {
    guard let file = segment else { return }
    do throws(LinuxError) { try file.synchronize() } catch { throw fail(file, error, refusing: 0) }
  }

  /// Ends the last segment: exact size, exact frame count.
  package func close() throws(SegmentError) { try endSegment() }

  private func check(_ frame: RecordedFrame, _ count: Int) throws(SegmentError) {
    let shape = frame.shape
    guard (1...Self.mostSide).contains(shape.width), (1...Self.mostSide).contains(shape.height),
      [1, 2, 4].contains(shape.bytesPerPixel), shape.bytes <= Self.mostFrameBytes
    else {
      throw SegmentError(
        badFrame:
          "a frame of \(shape) cannot be stored: 1, 2 or 4 bytes per pixel, at most \(Self.mostFrameBytes) bytes")
    }
    guard count == shape.bytes else {
      throw SegmentError(badFrame: "a frame of \(shape) came with \(count) instead of \(shape.bytes) bytes")
    }
    guard frame.series <= UInt64(UInt32.max) else {
      throw SegmentError(badFrame: "series \(frame.series) does not fit the index (32 bits)")
    }
  }

  private func openSegment(_ shape: FrameShape) throws(SegmentError) -> SegmentFile {
    if let open = segment { return open }
    do throws(LinuxError) {
      let file = try SegmentFile(files, number: nextSegment, shape: shape, settings: settings) { [unowned self] in
        framesOnFile += 1
        bytesOnFile += UInt64(shape.bytes)
        stored($0)
      }
      nextSegment += 1
      segment = file
      noticeCache(file)
      return file
    } catch {
      throw SegmentError(error, path: files.pixelsPath(nextSegment), lostFrames: 0)
    }
  }

  private func endSegment() throws(SegmentError) {
    guard let file = segment else { return }
    do throws(LinuxError) { try file.close() } catch { throw fail(file, error, refusing: 0) }
    segment = nil
  }

  /// Ends a segment that could not be written on, and goes back to the last frame that is on it.
  private func fail(_ file: SegmentFile, _ error: LinuxError, refusing: Int) -> SegmentError {
    let lost = file.frames - file.indexed
    file.seal()
    if file.indexed == 0 { nextSegment = file.number }
    segment = nil
    position -= UInt64(lost)
    return SegmentError(error, path: file.path, lostFrames: UInt64(max(0, lost - refusing)))
  }

  private func noticeCache(_ file: SegmentFile) {
    guard notice == nil, settings.direct, !file.isDirect else { return }
    notice = "the file system of \(file.path) refuses O_DIRECT; frames go through the page cache"
  }
}
