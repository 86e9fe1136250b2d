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

  /// A frame that was recorded before.
  package init(_ record: IndexRecord, _ shape: FrameShape) {
    self.init(
      frameNumber: record.frameNumber, deviceNanoseconds: record.deviceNanoseconds,
      exposureNanoseconds: record.exposureNanoseconds, arrival: MonotonicTime(nanoseconds: record.arrivalNanoseconds),
      series: UInt64(record.series), flags: record.flags, step: record.step, shape: shape, pixelCRC: record.pixelCRC)
  }
}

/// Writes the frames of a run into segments (design §5): `frames-NNNN.mrc`, 4096 bytes of header and then raw frames, or
/// `frames-NNNN.bsf` with compressed ones, and `frames-NNNN.idx`. Used by one thread at a time.
///
/// Several writes are under way at a time (docs/decisions/0011). The records of a segment are written after the pixels they
/// describe, the header's frame count after both. What a killed process wrote stays in the kernel; against a power cut,
/// `synchronize` about every 2 s bounds what may be missing.
package final class SegmentWriter: @unchecked Sendable {
  private static let mostSide = 1 << 20
  static let mostFrameBytes = 1 << 30
  private static let patience = Seconds(1)

  private let files: FrameFiles
  private let settings: SegmentSettings
  private let stored: ([StoredFrame]) -> Void
  private let writes: WritesUnderWay
  private let compression: CompressionQueue?
  private var segment: SegmentFile?
  private var nextSegment = 0
  private var headerDue = MonotonicTime(nanoseconds: .min)
  /// When the last frame came.
  private var now = MonotonicTime(nanoseconds: 0)
  private var gathering: (from: Int64, since: MonotonicTime)?

  /// Position of the next frame: frames taken in so far.
  package private(set) var position: UInt64 = 0
  /// Frames that have been put into a file so far; the others of `position` are being compressed.
  private var placed: UInt64 = 0
  /// Frames given to `append`, the refused ones included.
  package private(set) var framesHandedOver: UInt64 = 0
  /// Frames that are on the file and have their index record.
  package private(set) var framesOnFile: UInt64 = 0
  /// Bytes of the frames on the file.
  package private(set) var bytesOnFile: UInt64 = 0
  /// What the operator should know, such as a file system without `O_DIRECT`.
  package private(set) var notice: String?

  /// - Parameter stored: called on the writer's thread with frames whose index records have been written: each once and in
  ///   order, from within `append`, `reap`, `flush` and `close`.
  package init(
    _ files: FrameFiles, _ settings: SegmentSettings = SegmentSettings(),
    stored: @escaping ([StoredFrame]) -> Void = { _ in }
  ) {
    self.files = files
    self.settings = settings
    self.stored = stored
    writes = WritesUnderWay(settings)
    compression = settings.compression.map {
      CompressionQueue(
        $0, threads: settings.compressionThreads, backlogFrames: settings.compressionBacklogFrames,
        backlogBytes: settings.compressionBacklogBytes)
    }
  }

  /// The kernel must not go on writing from memory that others have by then.
  deinit {
    compression?.abandon()
    writes.abandon()
    try? writes.waitForSynchronizing()
  }

  /// Of the frames given to `append`, the memory of the first so many is not needed any more. Grows within `append`, `reap`,
  /// `flush` and `close`, and is `framesHandedOver` after the last two, and after a segment has failed.
  package var framesReleased: UInt64 {
    min(writes.firstLender ?? framesHandedOver, framesBegun)
  }

  /// Of the frames given to `append`, the first so many do not wait where they are: neither to be written together with others
  /// nor for a thread that compresses.
  package var framesBegun: UInt64 {
    min(segment?.firstLender ?? framesHandedOver, compression?.firstLender ?? framesHandedOver)
  }

  /// Whether `append` may wait for the disk: as much as may be is under way.
  package var mustWait: Bool { writes.count >= writes.limit || segment?.mustWait == true }

  /// Whether something has been begun that `reap` can wait for.
  package var isWriting: Bool { writes.count > 0 || position > placed }

  /// Takes a frame in and begins to write it; waits only when too much is under way already. After a `SegmentError` the frame
  /// is not taken in, the segment is valid and ended, and the next frame begins a new one.
  /// - Parameter pixels: `frame.shape.bytes` bytes; 4096-aligned ones of whole pages are written from where they are, and must
  ///   stay there until `framesReleased` has counted them.
  package func append(_ frame: RecordedFrame, _ pixels: UnsafeRawBufferPointer, at now: MonotonicTime)
    throws(SegmentError)
  {
    let lender = framesHandedOver
    framesHandedOver += 1
    try check(frame, pixels.count)
    try reap(waitingAtMost: Seconds(0))
    let crc = unsafe frame.pixelCRC ?? crc32c(pixels)
    position += 1
    self.now = now
    do throws(SegmentFault) {
      if let compression {
        unsafe compression.put(frame, crc, pixels, lender: lender)
        try takeCompressed(atMost: Seconds(0))
      } else {
        unsafe try place(frame, crc, pixels, .raw, crc, lender: lender)
      }
    } catch {
      let failure = fail(error)
      // The frame and its record were on the file before something else failed: the next frame begins a new segment.
      guard failure.lostFrames > 0 else { return }
      throw failure.refusingOne
    }
  }

  /// Takes in what has been written meanwhile; when nothing has, waits for something, if there is something to wait for.
  package func reap(waitingAtMost span: Seconds) throws(SegmentError) {
    do throws(SegmentFault) {
      if position > placed {
        try takeCompressed(atMost: span)
        try onFile { (file) throws(LinuxError) in try file.reap(atMost: Seconds(0)) }
      } else {
        try onFile { (file) throws(LinuxError) in try file.reap(atMost: span) }
      }
    } catch { throw fail(error) }
  }

  /// Begins to write the frames that wait, where they are, to be written together with others.
  package func writeGathered() throws(SegmentError) {
    do throws(SegmentFault) {
      try onFile { (file) throws(LinuxError) in try file.writeLent() }
    } catch { throw fail(error) }
  }

  /// Everything taken in is on the files, indexed and counted in the header. To be called when no frame has come for a
  /// moment, so that small frames do not wait in memory.
  package func flush() throws(SegmentError) {
    do throws(SegmentFault) {
      while position > placed { try takeCompressed(atMost: Self.patience) }
      try onFile { (file) throws(LinuxError) in try file.flush() }
    } catch { throw fail(error) }
  }

  /// Begins fdatasync(2) of pixels and index, and does not wait for it: what is indexed now is safe from a power cut soon.
  /// Once in about 2 s. A segment that ends is synchronized as well, and `close` waits until all are.
  package func synchronize() { segment?.synchronize() }

  /// Ends the last segment: exact size, exact frame count, safe from a power cut.
  package func close() throws(SegmentError) {
    try flush()
    do throws(SegmentFault) { try endSegment() } catch { throw fail(error) }
    compression?.end()
    do throws(LinuxError) {
      try writes.waitForSynchronizing()
    } catch {
      throw SegmentError(error, path: files.directory, lostFrames: 0)
    }
  }

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

  /// What failed, and where.
  private struct SegmentFault: Error {
    var error: LinuxError
    var path: String
  }

  private func onFile(_ body: (SegmentFile) throws(LinuxError) -> Void) throws(SegmentFault) {
    guard let file = segment else { return }
    do throws(LinuxError) { try body(file) } catch { throw SegmentFault(error: error, path: file.path) }
  }

  /// Puts frames into the file that have been compressed, or that nobody had time to compress.
  private func takeCompressed(atMost span: Seconds) throws(SegmentFault) {
    var span = span
    while let next = compression?.takeFirst(atMost: span) {
      defer { compression?.returnRoom(of: next) }
      span = Seconds(0)
      let lender = next.encoding == .raw ? next.lender : nil
      unsafe try place(next.frame, next.pixelCRC, next.bytes, next.encoding, next.storedCRC, lender: lender)
    }
  }

  /// Puts the next frame in order into the file, and begins to write it when there is enough.
  private func place(
    _ frame: RecordedFrame, _ crc: UInt32, _ bytes: UnsafeRawBufferPointer, _ encoding: FrameEncoding,
    _ storedCRC: UInt32,
    lender: UInt64?
  ) throws(SegmentFault) {
    if let open = segment,
      open.shape != frame.shape || open.length + Int64(bytes.count) > settings.segmentBytes
        || open.frames >= Int(Int32.max)
    {
      try endSegment()
    }
    let file = try openSegment(frame.shape)
    let record = IndexRecord(
      frameNumber: frame.frameNumber, deviceNanoseconds: frame.deviceNanoseconds,
      arrivalNanoseconds: frame.arrival.nanoseconds, exposureNanoseconds: frame.exposureNanoseconds,
      series: UInt32(frame.series), flags: frame.flags, position: placed, step: frame.step, pixelCRC: crc,
      ordinal: UInt32(file.frames))
    placed += 1
    let isHeaderDue = now >= headerDue
    if isHeaderDue { headerDue = now + settings.headerInterval }
    try onFile { (file) throws(LinuxError) in
      if isHeaderDue { try file.writeHeader() }
      unsafe try file.add(record, bytes, encoding, storedCRC, lender: lender)
      try file.reap(atMost: Seconds(0))
      try gather(file)
    }
    noticeCache(file)
  }

  /// Frames that wait for others do so for a limited time.
  private func gather(_ file: SegmentFile) throws(LinuxError) {
    guard let from = file.gatheringFrom else {
      gathering = nil
      return
    }
    if gathering?.from != from { gathering = (from, now) }
    guard let since = gathering?.since, now - since >= settings.gatherInterval else { return }
    try file.gather()
    gathering = nil
  }

  private func openSegment(_ shape: FrameShape) throws(SegmentFault) -> SegmentFile {
    if let open = segment { return open }
    do throws(LinuxError) {
      let file = try SegmentFile(files, number: nextSegment, shape: shape, settings: settings, writes) {
        [unowned self] frames in
        framesOnFile += UInt64(frames.count)
        bytesOnFile += frames.reduce(0) { $0 + UInt64($1.storedBytes) }
        stored(frames)
      }
      nextSegment += 1
      segment = file
      noticeCache(file)
      return file
    } catch {
      let format: SegmentFormat = settings.compression == nil ? .plain : .compressed
      throw SegmentFault(error: error, path: files.pixelsPath(nextSegment, format))
    }
  }

  private func endSegment() throws(SegmentFault) {
    try onFile { (file) throws(LinuxError) in try file.close() }
    segment = nil
    gathering = nil
  }

  /// Ends a segment that could not be written on, and goes back to the last frame that is on it.
  private func fail(_ fault: SegmentFault) -> SegmentError {
    if let file = segment {
      file.seal()
      if file.indexed == 0 { nextSegment = file.number }
    }
    compression?.abandon()
    segment = nil
    gathering = nil
    let lost = position - framesOnFile
    position = framesOnFile
    placed = framesOnFile
    return SegmentError(fault.error, path: fault.path, lostFrames: lost)
  }

  private func noticeCache(_ file: SegmentFile) {
    guard notice == nil, settings.direct, !file.isDirect else { return }
    notice = "the file system of \(file.path) refuses O_DIRECT; frames go through the page cache"
  }
}
