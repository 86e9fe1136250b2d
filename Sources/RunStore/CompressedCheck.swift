import CLinux
import Linux
import Quantities

/// Finds out the checksums of the pixels of a compressed segment: reads the file from end to end at the speed of the disk, and
/// has threads in the background decompress what has been read. What it finds comes in the order of the frames.
@safe
final class CompressedCheck {
  enum Finding: Sendable {
    /// CRC-32C of the pixels.
    case pixels(UInt32)
    case damaged(String)
  }

  private static let mostThreads = 4
  /// What a thread takes at a time: frames that have at least so many stored bytes, or one that has more.
  private static let batchBytes = 512 << 10
  /// Threads are fewer where their pixels would take more memory.
  private static let mostPixelBytes = 1 << 30
  private static let patience = Seconds(1)

  /// Frames of which somebody finds out the checksums; belongs to one thread at a time.
  @safe
  private final class Batch: @unchecked Sendable {
    struct Item {
      var frame: StoredFrame
      var place: Range<Int>
      var finding: Finding?
    }

    var items: [Item] = []
    private(set) var used = 0
    private var memory = AlignedBuffer(count: batchBytes)

    var isFull: Bool { used >= batchBytes }
    var bytes: UnsafeMutableRawBufferPointer { unsafe memory.bytes }

    /// Room for the stored bytes of one more frame; nil where there is none behind those that are there.
    func room(for count: Int) -> Range<Int>? {
      if unsafe used + count > memory.bytes.count {
        guard used == 0 else { return nil }
        memory = AlignedBuffer(count: count, onLargePages: true)
      }
      defer { used += count }
      return used..<used + count
    }

    func clear() {
      items.removeAll(keepingCapacity: true)
      used = 0
    }
  }

  private enum State { case waiting, checking, ready }

  private struct Shared {
    /// In the order of the file.
    var batches: [(state: State, batch: Batch)] = []
    var isEnding = false
  }

  private let contents: SegmentContents
  private let shape: FrameShape
  private let file: SequentialReader
  /// What of the file was read last, and where it begins.
  private var piece = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
  private var pieceStart: Int64 = 0
  /// For frames that do not stand where those before them end.
  private var others: (reader: SegmentReader, pixels: UnsafeMutableRawBufferPointer)?

  private let shared = Monitor(Shared())
  private var threads: [NamedThread] = []
  private var free: [Batch]

  init(_ contents: SegmentContents, _ shape: FrameShape) throws(LinuxError) {
    self.contents = contents
    self.shape = shape
    file = try SequentialReader(contents.path)
    let count = max(
      1, min(Self.mostThreads, Processors.usable.count, Self.mostPixelBytes / max(1, shape.bytes)))
    free = (0..<2 * count).map { _ in Batch() }
    let (shared, path) = (shared, contents.path)
    for _ in 0..<count { threads.append(NamedThread("verify") { Self.work(shared, shape, path) }) }
  }

  deinit {
    shared.update { $0.isEnding = true }
    for thread in threads { thread.join() }
    unsafe others?.pixels.deallocate()
  }

  /// - Parameter tell: called on this thread, once for each frame, in their order.
  func check(_ frames: [StoredFrame], _ tell: (StoredFrame, Finding) -> Void) throws(LinuxError) {
    var failure: LinuxError?
    do throws(LinuxError) { try handAll(frames, tell) } catch { failure = error }
    // What was read before the disk failed is told of as well.
    while let ended = takeFirst() { give(ended, tell) }
    if let failure { throw failure }
  }

  private func handAll(_ frames: [StoredFrame], _ tell: (StoredFrame, Finding) -> Void) throws(LinuxError) {
    var batch = takeFree(tell)
    defer { hand(batch) }
    for frame in frames {
      var finding = misfit(of: frame)
      if finding == nil, frame.offsetBytes < pieceStart { finding = checkAlone(frame) }
      var place = 0..<0
      if finding == nil {
        while true {
          if let room = batch.room(for: frame.storedBytes) {
            place = room
            break
          }
          hand(batch)
          batch = takeFree(tell)
        }
        let room = unsafe UnsafeMutableRawBufferPointer(rebasing: batch.bytes[place])
        let count = unsafe try copy(from: frame.offsetBytes, room)
        if count < place.count {
          finding = .damaged(StoredFrameDecoder.cutShort(frame, after: count, in: contents.path).description)
        }
      }
      batch.items.append(Batch.Item(frame: frame, place: place, finding: finding))
      guard batch.isFull else { continue }
      hand(batch)
      batch = takeFree(tell)
    }
  }

  private func misfit(of frame: StoredFrame) -> Finding? {
    do throws(RunStoreError) {
      try StoredFrameDecoder.checkSize(of: frame, shape, in: contents.path)
      guard frame.end <= file.size else {
        throw StoredFrameDecoder.cutShort(
          frame, after: Int(max(0, file.size - frame.offsetBytes)), in: contents.path)
      }
      return nil
    } catch { return .damaged(error.description) }
  }

  // MARK: The file

  /// Copies bytes that are not before those of the last call.
  /// - Returns: how many there were.
  private func copy(from offset: Int64, _ target: UnsafeMutableRawBufferPointer) throws(LinuxError) -> Int {
    var done = 0
    while done < target.count {
      let behind = unsafe pieceStart + Int64(piece.count)
      let place = offset + Int64(done)
      guard place < behind else {
        pieceStart = behind
        unsafe piece = try file.next()
        if unsafe piece.isEmpty { break }
        continue
      }
      let count = min(Int(behind - place), target.count - done)
      let first = Int(place - pieceStart)
      unsafe UnsafeMutableRawBufferPointer(rebasing: target[done..<done + count]).copyMemory(
        from: UnsafeRawBufferPointer(rebasing: piece[first..<first + count]))
      done += count
    }
    return done
  }

  private func checkAlone(_ frame: StoredFrame) -> Finding {
    do throws(RunStoreError) {
      if unsafe others == nil {
        let reader = try SegmentReader(contents)
        unsafe others = (reader, .allocate(byteCount: shape.bytes, alignment: AlignedBuffer.alignment))
      }
      let (reader, pixels) = unsafe others!
      unsafe try reader.read(frame, into: pixels)
      return unsafe .pixels(crc32c(UnsafeRawBufferPointer(pixels)))
    } catch { return .damaged(error.description) }
  }

  // MARK: Batches

  private func hand(_ batch: Batch) { shared.update { $0.batches.append((.waiting, batch)) } }

  private func takeFree(_ tell: (StoredFrame, Finding) -> Void) -> Batch {
    while free.isEmpty { if let ended = takeFirst() { give(ended, tell) } }
    return free.removeLast()
  }

  /// The first that was handed over and not taken back, when it is ready; nil where there is none.
  private func takeFirst() -> Batch? {
    while true {
      let answer = shared.wait(atMost: Self.patience) { state -> Batch?? in
        guard let first = state.batches.first else { return .some(nil) }
        guard first.state == .ready else { return nil }
        return state.batches.removeFirst().batch
      }
      if let answer { return answer }
    }
  }

  private func give(_ batch: Batch, _ tell: (StoredFrame, Finding) -> Void) {
    for item in batch.items { if let finding = item.finding { tell(item.frame, finding) } }
    batch.clear()
    free.append(batch)
  }

  // MARK: The threads

  private static func work(_ shared: Monitor<Shared>, _ shape: FrameShape, _ path: String) {
    // The daemon may be recording.
    clinux_work_in_background()
    var decoder = StoredFrameDecoder(shape, from: path)
    let memory = AlignedBuffer(count: shape.bytes, onLargePages: true)
    let pixels = unsafe UnsafeMutableRawBufferPointer(rebasing: memory.bytes[..<shape.bytes])
    while true {
      let next = shared.wait(atMost: patience) { state -> Batch?? in
        if state.isEnding { return .some(nil) }
        guard let place = state.batches.firstIndex(where: { $0.state == .waiting }) else { return nil }
        state.batches[place].state = .checking
        return state.batches[place].batch
      }
      guard let next else { continue }
      guard let batch = next else { return }
      for k in batch.items.indices where batch.items[k].finding == nil {
        let item = batch.items[k]
        let stored = unsafe UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(batch.bytes)[item.place])
        batch.items[k].finding = unsafe find(item.frame, stored, &decoder, pixels)
      }
      shared.update { state in
        guard let place = state.batches.firstIndex(where: { $0.batch === batch }) else { return }
        state.batches[place].state = .ready
      }
    }
  }

  private static func find(
    _ frame: StoredFrame, _ stored: UnsafeRawBufferPointer, _ decoder: inout StoredFrameDecoder,
    _ pixels: UnsafeMutableRawBufferPointer
  ) -> Finding {
    guard let method = frame.encoding.method else { return unsafe .pixels(crc32c(stored)) }
    do throws(RunStoreError) {
      unsafe try decoder.decode(stored, of: frame, method, into: pixels)
      return unsafe .pixels(crc32c(UnsafeRawBufferPointer(pixels)))
    } catch { return .damaged(error.description) }
  }
}
