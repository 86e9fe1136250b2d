import Glibc
import Linux
import Quantities

/// A page of header and then bytes in their order, written in whole blocks with `O_DIRECT`, several writes under way at a
/// time (docs/decisions/0011).
///
/// Bytes of whole blocks in aligned memory are written from where they are, those of several frames in one write when they are
/// small. Others are gathered in aligned staging buffers, because `O_DIRECT` takes nothing else; `settle` writes the last,
/// incomplete block padded and keeps it, to write it again when it is full.
@safe
final class BlockFile {
  static let headerBytes = 4096
  /// One is filled while the others are written.
  private static let stagingBuffers = 3
  /// Parts of one write at most.
  private static let mostParts = 256
  /// How far the file's size goes ahead of its bytes: writes beyond the end of a file exclude each other.
  private static let aheadBytes: Int64 = 64 << 20
  private static let patience = Seconds(1)

  @safe
  private final class StagingBuffer {
    private let memory: AlignedBuffer
    var isFree = true
    var bytes: UnsafeMutableRawBufferPointer { unsafe memory.bytes }
    init(_ count: Int) { memory = AlignedBuffer(count: count, onLargePages: true) }
  }

  let path: String
  private let settings: SegmentSettings
  private let file: FileDescriptor
  private let writes: WritesUnderWay
  private(set) var isDirect: Bool

  /// Bytes taken in, the header included.
  private(set) var length = Int64(headerBytes)
  /// Bytes from the beginning that are on the file without a hole, as far as is known.
  private(set) var written = Int64(headerBytes)
  private var hasHeader = false
  private var isHeaderUnderWay = false

  private let header = AlignedBuffer(count: headerBytes)
  private var staging: [StagingBuffer] = []
  /// The buffer that is being filled.
  private var filling: Int?
  private(set) var staged = 0
  /// What waits, where it is, to be written together; then nothing is staged.
  private var lent: [UnsafeRawBufferPointer] = unsafe []
  private var lentBytes = 0
  /// The first in whose own memory it is.
  private(set) var firstLender: UInt64?
  /// Where the first staged or lent byte belongs in the file: a whole number of blocks.
  private(set) var stagingOffset = Int64(headerBytes)
  private var reserved: Int64 = 0
  /// The file's size, as far as it went ahead of its bytes.
  private var size: Int64 = 0

  init(_ path: String, _ settings: SegmentSettings, _ writes: WritesUnderWay) throws(LinuxError) {
    self.path = path
    self.settings = settings
    self.writes = writes
    if let fault = settings.fault?(path, 0) { throw LinuxError("open", path, number: fault.number) }
    var direct = settings.direct
    file = try Self.create(path, direct: &direct)
    isDirect = direct
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

  var descriptor: Int32 { file.number }

  /// Takes bytes in.
  /// - Parameters:
  ///   - lender: who is named in `firstLender`, and then in that of `WritesUnderWay`, as long as the bytes are needed where
  ///     they are; nil: they are not there any more when this returns.
  ///   - head: the header of a file that is written up to this offset; nil when that is too soon for one.
  func append(_ bytes: UnsafeRawBufferPointer, lender: UInt64?, head: Head) throws(LinuxError) {
    reserve(through: length + Int64(bytes.count))
    length += Int64(bytes.count)
    guard let lender, unsafe canBeLent(bytes) else {
      try writeLent(head)
      return unsafe try stage(bytes, head)
    }
    try writeStaged(head)
    firstLender = firstLender ?? lender
    unsafe lent.append(bytes)
    lentBytes += bytes.count
    // The file begins with its first frame.
    let isEnough = unsafe lentBytes >= settings.leastWriteBytes || lent.count == Self.mostParts
    if isEnough || !hasHeader { try writeLent(head) }
  }

  /// All memory for gathering is being written from.
  var mustWait: Bool {
    filling == nil && staging.count == Self.stagingBuffers && !staging.contains(where: \.isFree)
  }

  /// Bytes that have been taken in, and that no write has been begun for.
  var waiting: Int { staged + lentBytes }

  typealias Head = (_ end: Int64) -> [UInt8]?

  private func canBeLent(_ bytes: UnsafeRawBufferPointer) -> Bool {
    let block = AlignedBuffer.alignment
    return bytes.count.isMultiple(of: block) && UInt(bitPattern: bytes.baseAddress).isMultiple(of: UInt(block))
      && staged.isMultiple(of: block)
  }

  /// Begins to write what waits where it is.
  func writeLent(_ head: Head) throws(LinuxError) {
    guard let lender = firstLender else { return }
    let (parts, end) = unsafe (lent, stagingOffset + Int64(lentBytes))
    unsafe lent.removeAll()
    lentBytes = 0
    // From here on the write has it.
    firstLender = nil
    unsafe try write(parts, at: stagingOffset, .pixels(end: end, buffer: nil, lender: lender), end, head)
    stagingOffset = end
  }

  /// Begins to write all whole blocks that have been taken in.
  func writeWaiting(_ head: Head) throws(LinuxError) {
    try writeLent(head)
    try writeStaged(head)
  }

  private func stage(_ bytes: UnsafeRawBufferPointer, _ head: Head) throws(LinuxError) {
    var done = 0
    while done < bytes.count {
      let part = min(bytes.count - done, settings.gatherBytes - staged)
      let buffer = staging[try bufferToFill()]
      let target = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[staged..<staged + part])
      unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[done..<done + part]))
      done += part
      staged += part
      if staged == settings.gatherBytes { try writeStaged(head) }
    }
  }

  private func bufferToFill() throws(LinuxError) -> Int {
    if let filling { return filling }
    if staging.count < Self.stagingBuffers && !staging.contains(where: \.isFree) {
      staging.append(StagingBuffer(settings.gatherBytes))
    }
    while true {
      if let free = staging.firstIndex(where: \.isFree) {
        staging[free].isFree = false
        filling = free
        return free
      }
      try reap(atMost: Self.patience)
    }
  }

  /// Begins to write the whole blocks of the buffer that is being filled.
  private func writeStaged(_ head: Head) throws(LinuxError) {
    let whole = staged / AlignedBuffer.alignment * AlignedBuffer.alignment
    guard whole > 0, let buffer = filling else { return }
    let tail = staged - whole
    let bytes = unsafe UnsafeRawBufferPointer(rebasing: staging[buffer].bytes[..<staged])
    let end = stagingOffset + Int64(whole)
    filling = nil
    staged = tail
    if tail > 0 {
      let next = staging[try bufferToFill()]
      unsafe next.bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[whole...]))
    }
    unsafe try write(
      [UnsafeRawBufferPointer(rebasing: bytes[..<whole])], at: stagingOffset,
      .pixels(end: end, buffer: buffer, lender: nil), end, head)
    stagingOffset = end
  }

  /// Everything taken in is on the file.
  /// - Parameter exactly: nothing else is: the file's size is that of its bytes.
  func settle(exactly: Bool, _ head: Head) throws(LinuxError) {
    try writeWaiting(head)
    while writes.count > 0 { try reap(atMost: Self.patience) }
    if staged > 0, let filling {
      let block = AlignedBuffer.alignment
      let bytes = unsafe staging[filling].bytes
      unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[staged..<block]).initializeMemory(
        as: UInt8.self, repeating: 0)
      unsafe try writeNow([UnsafeRawBufferPointer(rebasing: bytes[..<block])], at: stagingOffset, length, head)
      size = max(size, stagingOffset + Int64(block))
    }
    if exactly && size != length { try cut(to: length) }
  }

  /// Cuts the file; what was reserved beyond is given back.
  func cut(to end: Int64) throws(LinuxError) {
    try file.truncate(to: end)
    size = end
    reserved = 0
  }

  /// Takes in what has been written meanwhile; when nothing has, waits for something.
  func reap(atMost span: Seconds) throws(LinuxError) {
    writes.take(atMost: span)
    while let purpose = try writes.takeFirst() {
      switch purpose {
      case .header: isHeaderUnderWay = false
      case .pixels(let end, let buffer, _):
        written = end
        if let buffer { staging[buffer].isFree = true }
      }
    }
  }

  /// Begins to write the header again; false when the last one is still under way.
  func writeHeader(_ head: Head) throws(LinuxError) -> Bool {
    guard hasHeader else {
      try writeHeaderNow(head)
      return true
    }
    if isHeaderUnderWay { return false }
    try waitForRoom()
    guard fill(head(written)) else { return true }
    isHeaderUnderWay = true
    unsafe writes.begin(
      [UnsafeRawBufferPointer(header.bytes)], in: file, at: 0, .header,
      fault: settings.fault?(path, Self.headerBytes))
    return true
  }

  /// Writes the header and waits for it. Nothing may be under way.
  func writeHeaderNow(_ head: Head) throws(LinuxError) {
    guard fill(head(written)) else { return }
    unsafe try put([UnsafeRawBufferPointer(header.bytes)], at: 0)
    hasHeader = true
  }

  private func fill(_ bytes: [UInt8]?) -> Bool {
    guard let bytes else { return false }
    unsafe header.bytes.copyBytes(from: bytes)
    return true
  }

  private func waitForRoom() throws(LinuxError) {
    while writes.count >= writes.limit { try reap(atMost: Self.patience) }
  }

  private func write(
    _ parts: [UnsafeRawBufferPointer], at offset: Int64, _ purpose: WritesUnderWay.Purpose, _ end: Int64, _ head: Head
  ) throws(LinuxError) {
    guard hasHeader else {
      unsafe try writeNow(parts, at: offset, end, head)
      if case .pixels(_, let buffer?, _) = purpose { staging[buffer].isFree = true }
      return
    }
    try waitForRoom()
    if end > size {
      size = isDirect ? min(end + Self.aheadBytes, max(end, settings.segmentBytes)) : end
      // Where the file system does not want it, the writes themselves make the file longer.
      if isDirect { try? file.truncate(to: size) }
    }
    unsafe writes.begin(parts, in: file, at: offset, purpose, fault: settings.fault?(path, parts.byteCount))
  }

  /// Writes and waits. The file begins with its first frames: header and pixels in one write, so that no reader meets a
  /// header that counts none.
  private func writeNow(_ parts: [UnsafeRawBufferPointer], at offset: Int64, _ end: Int64, _ head: Head)
    throws(LinuxError)
  {
    if !hasHeader && offset == Int64(Self.headerBytes) && fill(head(end)) {
      unsafe try put([UnsafeRawBufferPointer(header.bytes)] + parts, at: 0)
      hasHeader = true
    } else {
      unsafe try put(parts, at: offset)
    }
    written = end
    size = max(size, offset + Int64(unsafe parts.byteCount))
  }

  private func put(_ parts: [UnsafeRawBufferPointer], at offset: Int64) throws(LinuxError) {
    do throws(LinuxError) {
      unsafe try file.write(parts, at: offset, path, settings.fault)
    } catch {
      // Some file systems take O_DIRECT when the file is opened and refuse it when it is written.
      guard isDirect, error.number == EINVAL, file.useCache() else { throw error }
      isDirect = false
      unsafe try file.write(parts, at: offset, path, settings.fault)
    }
  }

  private func reserve(through end: Int64) {
    guard end > reserved, settings.reservationBytes > 0 else { return }
    let next = min(end + settings.reservationBytes, max(end, settings.segmentBytes))
    // Asked once for each step, granted or not.
    defer { reserved = next }
    if let free = FileSystem.freeBytes(at: path), free < settings.freeBytesKept + 2 * settings.reservationBytes {
      return
    }
    file.reserve(next)
  }
}

extension FileDescriptor {
  /// Writes and waits, or fails as `fault` says.
  borrowing func write(
    _ parts: [UnsafeRawBufferPointer], at offset: Int64, _ path: String, _ fault: ((String, Int) -> WriteFault?)?
  ) throws(LinuxError) {
    if let fault = unsafe fault?(path, parts.byteCount) {
      unsafe try write(parts.prefix(bytes: fault.after), at: offset)
      throw LinuxError("pwrite", number: fault.number)
    }
    unsafe try write(parts, at: offset)
  }
}
