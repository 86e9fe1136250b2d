import CLinux
import Glibc
import Linux
import Pixels
import Quantities

/// Frames on their way to a compressed segment: threads in the background compress them, and they come out in the order in
/// which they came. A frame for which too many wait already goes through as it is.
///
/// `put` and all that takes frames out belong to one thread.
@safe
final class CompressionQueue: @unchecked Sendable {
  private static let mostThreads = 4
  private static let patience = Seconds(1)

  /// A frame as it is to be stored.
  @safe
  struct Frame {
    var frame: RecordedFrame
    var pixelCRC: UInt32
    /// Counts the frames given to the writer.
    var lender: UInt64
    var bytes: UnsafeRawBufferPointer
    var encoding: FrameEncoding
    /// CRC-32C of `bytes`.
    var storedCRC: UInt32
    /// Where `bytes` are when they are not the pixels; `returnBuffer` gives it back.
    fileprivate var buffer: Buffer?
  }

  /// Memory for one compressed frame.
  @safe
  fileprivate final class Buffer {
    private let memory: AlignedBuffer
    var bytes: UnsafeMutableRawBufferPointer { unsafe memory.bytes }
    init(_ count: Int) { memory = AlignedBuffer(count: count, onLargePages: true) }
  }

  private enum State { case waiting, compressing, ready }

  private struct Shared {
    /// In the order in which they came; `first` counts those that were taken out.
    var frames: [(state: State, frame: Frame)] = []
    var first: UInt64 = 0
    /// Buffers that may be taken, those that do not exist yet included.
    var buffers: [Buffer?]
    var isEnding = false

    var waiting: Int { frames.count { $0.state == .waiting } }
  }

  private let backlog: Int
  private let shared: Monitor<Shared>
  private var threads: [NamedThread] = []

  /// - Parameters:
  ///   - threads: nil: one less than there are processors.
  ///   - backlog: frames that may wait for a thread.
  init(_ method: FrameCompression, threads: Int?, backlog: Int) {
    let spare = min(Self.mostThreads, max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) - 1))
    let count = max(1, threads ?? spare)
    self.backlog = backlog
    let shared = Monitor(Shared(buffers: Array(repeating: nil, count: 2 * count)))
    self.shared = shared
    for _ in 0..<count {
      self.threads.append(NamedThread("compress") { Self.work(shared, method) })
    }
  }

  deinit { end() }

  /// The threads come to their end; what has not been taken out is forgotten.
  func end() {
    shared.update { $0.isEnding = true }
    for thread in threads { thread.join() }
  }

  var count: Int { shared.read { $0.frames.count } }
  /// The first frame whose pixels must stay where they are.
  var firstLender: UInt64? {
    shared.read { $0.frames.first { $0.frame.buffer == nil || $0.state != .ready }?.frame.lender }
  }

  func put(_ frame: RecordedFrame, _ pixelCRC: UInt32, _ pixels: UnsafeRawBufferPointer, lender: UInt64) {
    let frame = unsafe Frame(
      frame: frame, pixelCRC: pixelCRC, lender: lender, bytes: pixels, encoding: .raw, storedCRC: pixelCRC)
    shared.update { $0.frames.append(($0.waiting < backlog ? .waiting : .ready, frame)) }
  }

  /// Takes out the next frame when it is ready, waiting for that.
  func takeFirst(atMost span: Seconds) -> Frame? {
    if span.value <= 0 { return shared.update { Self.takeFirst(&$0) } }
    return shared.wait(atMost: span) { $0.frames.isEmpty ? .some(nil) : Self.takeFirst(&$0).map { .some($0) } } ?? nil
  }

  private static func takeFirst(_ state: inout Shared) -> Frame? {
    guard state.frames.first?.state == .ready else { return nil }
    state.first += 1
    return state.frames.removeFirst().frame
  }

  /// The bytes of a frame that was taken out are not needed any more.
  func returnBuffer(of frame: Frame) {
    if let buffer = frame.buffer { shared.update { $0.buffers.append(buffer) } }
  }

  /// Forgets all frames; no thread looks at their pixels any more.
  func abandon() {
    shared.update { state in
      for k in state.frames.indices where state.frames[k].state == .waiting { state.frames[k].state = .ready }
    }
    while shared.wait(
      atMost: Self.patience, for: { $0.frames.contains { $0.state == .compressing } ? nil : true }) == nil
    {}
    shared.update { state in
      state.buffers += state.frames.compactMap(\.frame.buffer)
      state.first += UInt64(state.frames.count)
      state.frames.removeAll(keepingCapacity: true)
    }
  }

  // MARK: The threads

  private struct Work {
    var number: UInt64
    var frame: Frame
    var buffer: Buffer?
  }

  private static func work(_ shared: Monitor<Shared>, _ method: FrameCompression) {
    // No nice value: on a busy machine the frame whose turn it is would wait for a thread that never runs, and all behind it.
    clinux_work_in_background()
    var compressor = FrameCompressor(method)
    while true {
      let next = shared.wait(atMost: patience) { state -> Work?? in
        if state.isEnding { return .some(nil) }
        guard !state.buffers.isEmpty, let place = state.frames.firstIndex(where: { $0.state == .waiting }) else {
          return nil
        }
        state.frames[place].state = .compressing
        return Work(
          number: state.first + UInt64(place), frame: state.frames[place].frame, buffer: state.buffers.removeLast())
      }
      guard let work = next else { continue }
      guard let work else { return }
      compress(work, &compressor, shared)
    }
  }

  private static func compress(_ work: Work, _ compressor: inout FrameCompressor, _ shared: Monitor<Shared>) {
    let pixels = unsafe work.frame.bytes
    var buffer = work.buffer
    if unsafe (buffer?.bytes.count ?? 0) < pixels.count { buffer = Buffer(pixels.count) }
    var result = work.frame
    if let buffer, let type = PixelType(rawValue: UInt32(work.frame.frame.shape.bytesPerPixel)),
      let count = unsafe compressor.compress(pixels, type, into: buffer.bytes)
    {
      unsafe result.bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer.bytes)[..<count])
      unsafe result.storedCRC = crc32c(result.bytes)
      result.encoding = FrameEncoding(compressor.method)
      result.buffer = buffer
    }
    shared.update { state in
      // It is still there: what is being compressed is not taken out.
      state.frames[Int(work.number - state.first)] = (.ready, result)
      if result.buffer == nil { state.buffers.append(buffer) }
    }
  }
}
