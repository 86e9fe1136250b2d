import Glibc
import Linux
import Quantities

/// The writes that a `SegmentWriter` has begun and that have not ended: taken out in the order in which they were begun,
/// whatever the order in which they end.
@safe
final class WritesUnderWay {
  /// What a write is for.
  enum Purpose {
    case header
    /// - Parameters:
    ///   - end: where in the file it ends, as far as frames go.
    ///   - buffer: the staging buffer it comes from.
    ///   - lender: the first of the frames in whose own memory it is.
    case pixels(end: Int64, buffer: Int?, lender: UInt64?)
  }

  @safe
  private struct Write {
    let tag: UInt64
    let file: Int32
    let purpose: Purpose
    /// What is not written yet.
    var parts: [UnsafeRawBufferPointer]
    var offset: Int64
    var tries = 0
    /// nil: under way; 0: written; else the error number.
    var outcome: Int32?
  }

  /// A transfer that the kernel interrupts is begun again at most so often.
  private static let mostTries = 16
  /// Files that may wait for their fdatasync(2) at a time.
  private static let mostSynchronizing = 8
  /// How long to wait before looking again, where there is nothing else to do.
  private static let patience = Seconds(1)

  /// Writes that may be under way at a time.
  let limit: Int
  private let queue: any FileQueue
  private var writes: [Write] = []
  private var synchronizing: [UInt64: AnyObject] = [:]
  private var synchronizeFailure: Int32?
  private var nextTag: UInt64 = 0

  init(_ settings: SegmentSettings) {
    limit = max(1, settings.writesUnderWay)
    let places = limit + 2 * Self.mostSynchronizing
    queue = settings.queue?(places) ?? makeFileQueue(limit: places)
    writes.reserveCapacity(limit)
  }

  var count: Int { writes.count }
  /// The first frame whose own memory a write still needs.
  var firstLender: UInt64? {
    for write in writes {
      if case .pixels(_, _, let lender?) = write.purpose { return lender }
    }
    return nil
  }

  /// Begins a write; there must be room for it.
  /// - Parameters:
  ///   - parts: one behind the other in the file.
  ///   - fault: it fails instead, after some of its bytes.
  func begin(
    _ parts: [UnsafeRawBufferPointer], in file: borrowing FileDescriptor, at offset: Int64, _ purpose: Purpose,
    fault: WriteFault? = nil
  ) {
    precondition(writes.count < limit, "more writes than may be under way")
    var write = unsafe Write(tag: takeTag(), file: file.number, purpose: purpose, parts: parts, offset: offset)
    if let fault {
      unsafe try? file.write(parts.prefix(bytes: fault.after), at: offset)
      write.outcome = fault.number
    }
    writes.append(write)
    if fault == nil { unsafe queue.write(parts, to: write.file, at: offset, tag: write.tag) }
  }

  /// Begins fdatasync(2) of pixels and index. `owner` of both descriptors is kept until that has ended.
  func synchronize(_ pixels: Int32, _ index: Int32, of owner: AnyObject) {
    while synchronizing.count > 2 * (Self.mostSynchronizing - 1) { take(atMost: Self.patience) }
    for file in [pixels, index] {
      let tag = takeTag()
      synchronizing[tag] = owner
      queue.synchronizeData(of: file, tag: tag)
    }
  }

  func isSynchronizing(_ owner: AnyObject) -> Bool { synchronizing.values.contains { $0 === owner } }

  /// Takes in what has ended; when nothing has, waits for something.
  func take(atMost span: Seconds) {
    var span = writes.isEmpty && synchronizing.isEmpty ? Seconds(0) : span
    while let completion = queue.next(atMost: span) {
      settle(completion)
      span = Seconds(0)
    }
  }

  /// The next write in order, when it has ended; an error when it has failed.
  func takeFirst() throws(LinuxError) -> Purpose? {
    if let number = synchronizeFailure {
      synchronizeFailure = nil
      throw LinuxError("fdatasync", number: number)
    }
    guard let outcome = writes.first?.outcome else { return nil }
    if outcome != 0 { throw LinuxError("pwrite", number: outcome) }
    return writes.removeFirst().purpose
  }

  /// Waits until nothing is under way any more, and forgets all writes, the failed ones too.
  func abandon() {
    while writes.contains(where: { $0.outcome == nil }) { take(atMost: Self.patience) }
    writes.removeAll(keepingCapacity: true)
  }

  /// Waits until all that was to be synchronized has been.
  func waitForSynchronizing() throws(LinuxError) {
    while !synchronizing.isEmpty { take(atMost: Self.patience) }
    if let number = synchronizeFailure {
      synchronizeFailure = nil
      throw LinuxError("fdatasync", number: number)
    }
  }

  private func takeTag() -> UInt64 {
    nextTag += 1
    return nextTag
  }

  private func settle(_ completion: FileCompletion) {
    if synchronizing.removeValue(forKey: completion.tag) != nil {
      if completion.result < 0 { synchronizeFailure = Int32(-completion.result) }
      return
    }
    guard let place = writes.firstIndex(where: { $0.tag == completion.tag }) else { return }
    var write = writes[place]
    switch completion.result {
    case -Int(EINTR), -Int(EAGAIN):
      write.tries += 1
      if write.tries > Self.mostTries { write.outcome = EAGAIN }
    case ..<0: write.outcome = Int32(-completion.result)
    case 0: write.outcome = EIO  // it would go on for ever
    default:
      unsafe write.parts = write.parts.dropping(first: completion.result)
      write.offset += Int64(completion.result)
      if unsafe write.parts.isEmpty { write.outcome = 0 }
    }
    writes[place] = write
    if write.outcome == nil {
      unsafe queue.write(write.parts, to: write.file, at: write.offset, tag: write.tag)
    }
  }
}
