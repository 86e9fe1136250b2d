import Glibc
import Linux

/// One open segment: `frames-NNNN.mrc`, its index, and what is on the way to them.
///
/// Frames of whole pages are written straight from where they are. Others are gathered in an aligned staging buffer and
/// written in whole blocks, because `O_DIRECT` takes nothing else; `flush` writes the last, incomplete block padded, cuts
/// the file to its exact size and keeps the incomplete block to write it again when it is full. A frame gets its index
/// record when its last byte is on the file.
@safe
final class SegmentFile {
  private static let stagingBytes = 4 << 20
  /// From here on a write of its own costs less than gathering.
  private static let leastStraightBytes = 512 << 10
  private static let mostPending = 65536

  let number: Int
  let shape: FrameShape
  let path: String
  private let indexPath: String
  private let settings: SegmentSettings
  private let file: FileDescriptor
  private let index: FileDescriptor
  private let stored: (StoredFrame) -> Void
  private(set) var isDirect: Bool

  /// Frames taken in.
  private(set) var frames = 0
  /// Frames with an index record.
  private(set) var indexed = 0
  private var headerFrames = 0
  private var pending: [IndexRecord] = []

  private let header = AlignedBuffer(count: MRCHeader.byteCount)
  private let staging = AlignedBuffer(count: stagingBytes)
  /// Where the first byte of `staging` belongs in the file: a whole number of blocks.
  private var stagingOffset = Int64(MRCHeader.byteCount)
  private var staged = 0
  private var reserved: Int64 = 0
  private var records: [UInt8] = []

  init(
    _ files: FrameFiles, number: Int, shape: FrameShape, settings: SegmentSettings,
    stored: @escaping (StoredFrame) -> Void
  ) throws(LinuxError) {
    self.number = number
    self.shape = shape
    self.settings = settings
    self.stored = stored
    path = files.pixelsPath(number)
    indexPath = files.indexPath(number)
    if let fault = settings.fault?(path, 0) { throw LinuxError("open", path, number: fault.number) }
    var direct = settings.direct
    file = try Self.create(path, direct: &direct)
    isDirect = direct
    do throws(LinuxError) {
      index = try FileDescriptor.open(indexPath, O_WRONLY | O_CREAT | O_EXCL)
    } catch {
      FileSystem.remove(path)
      throw error
    }
  }

  /// A file system that cannot do `O_DIRECT` refuses it when the file is opened, after it has made the file.
  private static func create(_ path: String, direct: inout Bool) throws(LinuxError) -> FileDescriptor {
    let flags = O_RDWR | O_CREAT | O_EXCL
    if direct {
      do throws(LinuxError) {
        return try FileDescriptor.open(path, flags, direct: true)
      } catch {
        guard error.number == EINVAL else { throw error }
        FileSystem.remove(path)
        direct = false
      }
    }
    return try FileDescriptor.open(path, flags)
  }

  var bytesAfterNextFrame: Int64 { Int64(MRCHeader.byteCount) + Int64(frames + 1) * Int64(shape.bytes) }
  func offset(ofFrame ordinal: Int) -> Int64 { Int64(MRCHeader.byteCount) + Int64(ordinal) * Int64(shape.bytes) }

  /// Takes a frame in.
  func add(_ record: IndexRecord, _ pixels: UnsafeRawBufferPointer) throws(LinuxError) {
    reserve(through: bytesAfterNextFrame)
    frames += 1
    pending.append(record)
    if unsafe goesStraight(pixels) {
      try writeStaged(andTail: false)
      unsafe try write(pixels, at: offset(ofFrame: frames - 1), endsFrames: frames)
      stagingOffset = offset(ofFrame: frames)
    } else {
      unsafe try stage(pixels)
      if pending.count >= Self.mostPending { try writeStaged(andTail: false) }
    }
  }

  private func goesStraight(_ pixels: UnsafeRawBufferPointer) -> Bool {
    let block = AlignedBuffer.alignment
    return pixels.count >= Self.leastStraightBytes && pixels.count.isMultiple(of: block)
      && UInt(bitPattern: pixels.baseAddress).isMultiple(of: UInt(block)) && staged.isMultiple(of: block)
  }

  private func stage(_ pixels: UnsafeRawBufferPointer) throws(LinuxError) {
    var done = 0
    while done < pixels.count {
      let part = min(pixels.count - done, Self.stagingBytes - staged)
      let target = unsafe UnsafeMutableRawBufferPointer(rebasing: staging.bytes[staged..<staged + part])
      unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: pixels[done..<done + part]))
      done += part
      staged += part
      if staged == Self.stagingBytes { try writeStaged(andTail: false) }
    }
  }

  /// Writes the whole blocks of the staging buffer; with `andTail` the incomplete last one too.
  private func writeStaged(andTail: Bool) throws(LinuxError) {
    let block = AlignedBuffer.alignment
    let whole = staged / block * block
    let tail = staged - whole
    if whole > 0 {
      let bytes = unsafe UnsafeRawBufferPointer(rebasing: staging.bytes[..<whole])
      let offset = stagingOffset
      let end = offset + Int64(whole)
      unsafe try write(bytes, at: offset, endsFrames: wholeFrames(before: end))
      unsafe staging.bytes.baseAddress!.copyMemory(from: staging.bytes.baseAddress! + whole, byteCount: tail)
      staged = tail
      stagingOffset = end
    }
    guard andTail, tail > 0 else { return }
    unsafe UnsafeMutableRawBufferPointer(rebasing: staging.bytes[tail..<block]).initializeMemory(
      as: UInt8.self, repeating: 0)
    let padded = unsafe UnsafeRawBufferPointer(rebasing: staging.bytes[..<block])
    let end = stagingOffset + Int64(tail)
    unsafe try write(padded, at: stagingOffset, endsFrames: wholeFrames(before: end), cutTo: end)
  }

  private func wholeFrames(before end: Int64) -> Int { Int((end - Int64(MRCHeader.byteCount)) / Int64(shape.bytes)) }

  /// Writes pixels, then the index records of the frames that are complete with them.
  private func write(
    _ bytes: UnsafeRawBufferPointer, at offset: Int64, endsFrames complete: Int, cutTo end: Int64? = nil
  ) throws(LinuxError) {
    if indexed == 0 && headerFrames == 0 && complete > 0 && offset == Int64(MRCHeader.byteCount) {
      // The file begins with its first frames: header and pixels in one write, so that no reader meets nz = 0.
      fillHeader(complete)
      unsafe try put(UnsafeRawBufferPointer(header.bytes), bytes, at: 0)
      headerFrames = complete
    } else {
      unsafe try put(bytes, nil, at: offset)
    }
    if let end {
      try file.truncate(to: end)
      reserved = 0  // the cut gave the reservation back
    }
    try writeRecords(upTo: complete)
    if headerFrames == 0 && indexed > 0 { try writeHeader() }
  }

  private func writeRecords(upTo complete: Int) throws(LinuxError) {
    let count = complete - indexed
    guard count > 0 else { return }
    if records.count < count * IndexRecord.byteCount {
      records = [UInt8](repeating: 0, count: count * IndexRecord.byteCount)
    }
    let offset = Int64(indexed * IndexRecord.byteCount)
    let path = indexPath
    let fault = settings.fault
    let pending = self.pending
    let failure = unsafe records.withUnsafeMutableBytes { all -> LinuxError? in
      for k in 0..<count {
        let place = k * IndexRecord.byteCount
        unsafe pending[k].write(
          to: UnsafeMutableRawBufferPointer(rebasing: all[place..<place + IndexRecord.byteCount]))
      }
      let bytes = unsafe UnsafeRawBufferPointer(rebasing: all[..<(count * IndexRecord.byteCount)])
      do throws(LinuxError) {
        unsafe try Self.write(index, path, bytes, nil, at: offset, fault)
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
    for record in pending[..<count] {
      stored(
        StoredFrame(record: record, segment: number, offsetBytes: self.offset(ofFrame: Int(record.ordinal))))
    }
    self.pending.removeFirst(count)
    indexed = complete
  }

  /// Makes the header's frame count what is on the file.
  func writeHeader() throws(LinuxError) {
    guard headerFrames != indexed else { return }
    fillHeader(indexed)
    unsafe try put(UnsafeRawBufferPointer(header.bytes), nil, at: 0)
    headerFrames = indexed
  }

  private func fillHeader(_ frames: Int) {
    unsafe header.bytes.copyBytes(from: MRCHeader(shape: shape, frames: frames, note: settings.note).bytes)
  }

  /// Everything taken in is on the file, has its record, and is counted in the header.
  func flush() throws(LinuxError) {
    try writeStaged(andTail: true)
    try writeHeader()
  }

  func synchronize() throws(LinuxError) {
    try file.synchronizeData()
    try index.synchronizeData()
  }

  /// Ends the segment: everything is on the file, the reservation is given back.
  func close() throws(LinuxError) {
    try flush()
    try file.truncate(to: offset(ofFrame: indexed))
  }

  /// Ends the segment after a failure: cut to its last frame with an index record, removed when it has none.
  func seal() {
    guard indexed > 0 else {
      FileSystem.remove(path)
      FileSystem.remove(indexPath)
      return
    }
    try? index.truncate(to: Int64(indexed * IndexRecord.byteCount))
    try? file.truncate(to: offset(ofFrame: indexed))
    try? writeHeader()
  }

  private func reserve(through end: Int64) {
    guard end > reserved, settings.reservationBytes > 0 else { return }
    reserved = min(end + settings.reservationBytes, max(end, settings.segmentBytes))
    file.reserve(reserved)
  }

  private func put(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer?, at offset: Int64)
    throws(LinuxError)
  {
    do throws(LinuxError) {
      unsafe try Self.write(file, path, first, second, at: offset, settings.fault)
    } catch {
      // Some file systems take O_DIRECT when the file is opened and refuse it when it is written.
      guard isDirect, error.number == EINVAL, file.useCache() else { throw error }
      isDirect = false
      unsafe try Self.write(file, path, first, second, at: offset, settings.fault)
    }
  }

  private static func write(
    _ file: borrowing FileDescriptor, _ path: String, _ first: UnsafeRawBufferPointer,
    _ second: UnsafeRawBufferPointer?, at offset: Int64, _ fault: ((String, Int) -> WriteFault?)?
  ) throws(LinuxError) {
    if let fault = unsafe fault?(path, first.count + (second?.count ?? 0)) {
      unsafe try file.write(UnsafeRawBufferPointer(rebasing: first[..<min(fault.after, first.count)]), at: offset)
      throw LinuxError("pwrite", number: fault.number)
    }
    if let second = unsafe second {
      unsafe try file.write(first, second, at: offset)
    } else {
      unsafe try file.write(first, at: offset)
    }
  }
}
