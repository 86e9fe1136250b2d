import Glibc
import Linux
import Quantities

/// One open segment: the file of its frames, its index, and what is on the way to them. A frame gets its index record when
/// its last byte is on the file.
@safe
final class SegmentFile {
  /// Frames that may wait for others before they are written.
  private static let mostPending = 65536

  let number: Int
  let format: SegmentFormat
  let shape: FrameShape
  let path: String
  private let indexPath: String
  private let settings: SegmentSettings
  private let blocks: BlockFile
  private let writes: WritesUnderWay
  private let index: FileDescriptor
  private let stored: ([StoredFrame]) -> Void

  /// Frames taken in.
  private(set) var frames = 0
  /// Frames with an index record.
  private(set) var indexed = 0
  /// Where the last of them ends.
  private var indexedEnd = Int64(SegmentHeader.byteCount)
  private var headerFrames = 0
  /// Frames without an index record: those from `firstPending` on.
  private var pending: [StoredFrame] = []
  private var firstPending = 0
  private var records: [UInt8] = []

  init(
    _ files: FrameFiles, number: Int, shape: FrameShape, settings: SegmentSettings, _ writes: WritesUnderWay,
    stored: @escaping ([StoredFrame]) -> Void
  ) throws(LinuxError) {
    self.number = number
    self.shape = shape
    self.settings = settings
    self.writes = writes
    self.stored = stored
    format = settings.compression == nil ? .plain : .compressed
    path = files.pixelsPath(number, format)
    indexPath = files.indexPath(number)
    blocks = try BlockFile(path, settings, writes)
    do throws(LinuxError) {
      index = try FileDescriptor.open(indexPath, O_WRONLY | O_CREAT | O_EXCL)
    } catch {
      FileSystem.remove(path)
      throw error
    }
  }

  var isDirect: Bool { blocks.isDirect }
  /// Where what is being gathered belongs in the file; nil when everything taken in is written or being written.
  var gatheringFrom: Int64? { blocks.waiting > 0 && frames > indexed ? blocks.stagingOffset : nil }
  /// The first frame in whose own memory is what is being gathered.
  var firstLender: UInt64? { blocks.firstLender }
  /// All memory for gathering is being written from.
  var mustWait: Bool { blocks.mustWait }
  /// Bytes of the file with all frames taken in.
  var length: Int64 { blocks.length }

  /// Takes a frame in.
  /// - Parameter lender: named by `firstLender`, and then by that of `WritesUnderWay`, as long as the bytes must stay where they
  ///   are; nil: they need not stay.
  func add(
    _ record: IndexRecord, _ bytes: UnsafeRawBufferPointer, _ encoding: FrameEncoding, _ storedCRC: UInt32,
    lender: UInt64?
  ) throws(LinuxError) {
    pending.append(
      StoredFrame(
        record: record, segment: number, offsetBytes: blocks.length, storedBytes: bytes.count, encoding: encoding,
        storedCRC: storedCRC))
    frames += 1
    unsafe try blocks.append(bytes, lender: lender, head: header)
    if frames - indexed >= Self.mostPending { try blocks.writeWaiting(header) }
  }

  /// Begins to write what waits in memory that was lent.
  func writeLent() throws(LinuxError) { try keepingRecords { () throws(LinuxError) in try blocks.writeLent(header) } }

  /// Takes in what has been written meanwhile and indexes it; when nothing has, waits for something. Who waits for memory that
  /// was lent gets it without waiting for more frames.
  func reap(atMost span: Seconds) throws(LinuxError) {
    try keepingRecords { () throws(LinuxError) in
      if span.value > 0 && writes.count == 0 { try blocks.writeLent(header) }
      try blocks.reap(atMost: span)
    }
    if headerFrames == 0 && indexed > 0 { try writeHeader() }
  }

  /// Writes the records of what has come onto the file meanwhile; also when `body` fails: what came before is there.
  private func keepingRecords(_ body: () throws(LinuxError) -> Void) throws(LinuxError) {
    do throws(LinuxError) { try body() } catch {
      try? writeRecords()
      throw error
    }
    try writeRecords()
  }

  /// Records of the frames that are complete on the file.
  private func writeRecords() throws(LinuxError) {
    var count = 0
    while firstPending + count < pending.count, pending[firstPending + count].end <= blocks.written { count += 1 }
    guard count > 0 else { return }
    let each = format.recordBytes
    if records.count < count * each { records = [UInt8](repeating: 0, count: count * each) }
    let frames = pending[firstPending..<firstPending + count]
    let place = Int64(indexed * each)
    let failure = unsafe records.withUnsafeMutableBytes { all -> LinuxError? in
      for (k, frame) in frames.enumerated() {
        unsafe frame.write(
          to: UnsafeMutableRawBufferPointer(rebasing: all[k * each..<(k + 1) * each]), as: format)
      }
      let bytes = unsafe UnsafeRawBufferPointer(rebasing: all[..<(count * each)])
      do throws(LinuxError) {
        unsafe try index.write([bytes], at: place, indexPath, settings.fault)
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
    indexed += count
    indexedEnd = pending[firstPending + count - 1].end
    firstPending += count
    stored(Array(frames))
    if firstPending == pending.count {
      pending.removeAll(keepingCapacity: true)
      firstPending = 0
    } else if firstPending > Self.mostPending {
      pending.removeFirst(firstPending)
      firstPending = 0
    }
  }

  /// Begins to make the header's frame count what is on the file.
  func writeHeader() throws(LinuxError) {
    guard headerFrames != indexed, indexed > 0 else { return }
    _ = try blocks.writeHeader(header)
  }

  /// The header never counts more than what is indexed, but for the first write, which brings header and frames at once.
  private func header(_ end: Int64) -> [UInt8]? {
    let frames = indexed > 0 ? indexed : pending.count { $0.end <= end }
    guard frames > 0 else { return nil }
    headerFrames = frames
    return SegmentHeader(format: format, shape: shape, frames: frames, note: settings.note).bytes
  }

  /// Everything taken in is on the file and has its record, or is on its way there.
  func gather() throws(LinuxError) {
    // Whole blocks need nobody to wait for them.
    if blocks.firstLender != nil { try writeLent() } else { try settle(exactly: false) }
  }

  /// Everything taken in is on the file, has its record, and is counted in the header; the file holds nothing else.
  func flush() throws(LinuxError) {
    try settle(exactly: true)
    if headerFrames != indexed { try blocks.writeHeaderNow(header) }
  }

  private func settle(exactly: Bool) throws(LinuxError) {
    try keepingRecords { () throws(LinuxError) in try blocks.settle(exactly: exactly, header) }
  }

  /// Begins fdatasync(2) of what has its record, unless the last is still under way.
  func synchronize() {
    if !writes.isSynchronizing(self) { writes.synchronize(blocks.descriptor, index.number, of: self) }
  }

  /// Ends the segment: everything is on the file, the reservation is given back.
  func close() throws(LinuxError) {
    try flush()
    try blocks.cut(to: indexedEnd)
    writes.synchronize(blocks.descriptor, index.number, of: self)
  }

  /// Ends the segment after a failure: cut to its last frame with an index record, removed when it has none.
  func seal() {
    writes.abandon()
    guard indexed > 0 else {
      FileSystem.remove(path)
      FileSystem.remove(indexPath)
      return
    }
    try? index.truncate(to: Int64(indexed * format.recordBytes))
    try? blocks.cut(to: indexedEnd)
    try? blocks.writeHeaderNow(header)
  }
}
