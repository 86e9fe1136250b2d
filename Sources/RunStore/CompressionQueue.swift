import Glibc
import Linux
import Pixels
import Quantities

/// Frames on their way to a compressed segment: threads in the background compress them, and they come out in the order in
/// which they came. A frame for which too much waits already goes through as it is.
///
/// All members belong to one thread, which deals jobs to the threads of the background (`CompressionWorker`).
@safe
final class CompressionQueue {
  private static let mostThreads = 4
  /// Jobs there may be, each with room for one compressed frame; of frames that are not small, two for each thread.
  private static let mostJobs = 64
  /// More are not given to a thread: another may be done sooner.
  private static let mostJobsEach = 4
  private static let roomForSmallFrames = 16 << 20
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
    /// The job in whose room `bytes` are when they are not the pixels; `returnRoom` gives it back.
    fileprivate var job: Int?
  }

  private enum State { case waiting, compressing, ready }

  private let method: FrameCompression
  private let backlogFrames: Int
  private let backlogBytes: Int
  private let workers: [CompressionWorker]
  private let jobs: CompressionJobs
  private let bell = Doorbell()

  /// In the order in which they came; those before `head` have been taken out.
  private var frames: [(state: State, frame: Frame)] = []
  private var head = 0
  /// The first that no thread has been given, and that waits for one.
  private var undealt = 0
  /// How many frames were removed from the front of `frames` so far.
  private var removed = 0
  /// Frames that wait to be compressed, or are being compressed, and the bytes of their pixels.
  private var waitingFrames = 0
  private var waitingBytes = 0
  private var freeJobs: [Int] = []

  /// - Parameters:
  ///   - threads: nil: one less than there are processors.
  ///   - backlogFrames: that may wait for a thread, or be with one.
  ///   - backlogBytes: the same in pixels; one frame may in any case, but for 0.
  init(_ method: FrameCompression, threads: Int?, backlogFrames: Int, backlogBytes: Int) {
    let spare = min(Self.mostThreads, max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) - 1))
    self.method = method
    self.backlogFrames = backlogFrames
    self.backlogBytes = backlogBytes
    let jobs = CompressionJobs(Self.mostJobs)
    self.jobs = jobs
    let bell = bell
    workers = (0..<max(1, threads ?? spare)).map { _ in CompressionWorker(method, jobs, tellsEnd: bell) }
  }

  deinit { end() }

  /// The threads come to their end; what has not been taken out is forgotten.
  func end() { for worker in workers { worker.end() } }

  /// The first frame whose pixels must stay where they are.
  var firstLender: UInt64? {
    frames[head...].first { $0.state != .ready || $0.frame.job == nil }?.frame.lender
  }

  func put(_ frame: RecordedFrame, _ pixelCRC: UInt32, _ pixels: UnsafeRawBufferPointer, lender: UInt64) {
    let hasRoom = waitingBytes == 0 ? backlogBytes > 0 : waitingBytes + pixels.count <= backlogBytes
    let isWanted = hasRoom && waitingFrames < backlogFrames
    if isWanted {
      waitingFrames += 1
      waitingBytes += pixels.count
    }
    frames.append(
      unsafe (
        isWanted ? .waiting : .ready,
        Frame(
          frame: frame, pixelCRC: pixelCRC, lender: lender, bytes: pixels, encoding: .raw, storedCRC: pixelCRC)
      ))
    deal()
  }

  /// Takes out the next frame when it is ready, waiting for that.
  func takeFirst(atMost span: Seconds) -> Frame? {
    collect()
    if head == frames.count || frames[head].state == .ready || span.value <= 0 { return takeReady() }
    return bell.wait(atMost: span) {
      collect()
      return takeReady()
    }
  }

  private func takeReady() -> Frame? {
    guard head < frames.count, frames[head].state == .ready else { return nil }
    defer {
      head += 1
      if head == frames.count || head >= 1024 {
        frames.removeFirst(head)
        removed += head
        undealt -= min(undealt, head)
        head = 0
      }
    }
    return frames[head].frame
  }

  /// The bytes of a frame that was taken out are not needed any more.
  func returnRoom(of frame: Frame) {
    guard let job = frame.job else { return }
    freeJobs.append(job)
    deal()
  }

  /// Forgets all frames; no thread looks at their pixels any more.
  func abandon() {
    for k in frames.indices where frames[k].state == .waiting { frames[k].state = .ready }
    while bell.wait(
      atMost: Self.patience,
      for: { () -> Bool? in
        collect()
        return workers.contains { $0.jobsUnderWay > 0 } ? nil : true
      }) == nil
    {}
    freeJobs += frames[head...].compactMap(\.frame.job)
    removed += frames.count
    frames.removeAll(keepingCapacity: true)
    head = 0
    undealt = 0
    waitingFrames = 0
    waitingBytes = 0
  }

  // MARK: The threads

  /// Gives frames to the threads as long as there is room for what comes of them.
  private func deal() {
    undealt = max(undealt, head)
    while undealt < frames.count {
      guard frames[undealt].state == .waiting else {
        undealt += 1
        continue
      }
      let frame = frames[undealt].frame
      guard let worker = workers.min(by: { $0.jobsUnderWay < $1.jobsUnderWay }), worker.jobsUnderWay < Self.mostJobsEach
      else { return }
      guard let job = unsafe freeJob(for: frame.bytes.count) else { return }
      unsafe jobs[job].frame = removed + undealt
      unsafe jobs[job].pixels = frame.bytes
      unsafe jobs[job].type = PixelType(rawValue: UInt32(frame.frame.shape.bytesPerPixel))
      frames[undealt].state = .compressing
      undealt += 1
      worker.begin(job)
    }
  }

  /// A job that no thread has, with room for so many bytes.
  private func freeJob(for bytes: Int) -> Int? {
    let most = min(Self.mostJobs, max(2 * workers.count, Self.roomForSmallFrames / max(1, bytes)))
    // After frames that were smaller there are more: those that are not used keep the little room they have.
    guard jobs.made - freeJobs.count < most else { return nil }
    if freeJobs.isEmpty { freeJobs.append(jobs.make()) }
    guard let job = freeJobs.popLast() else { return nil }
    jobs.makeRoom(bytes, in: job)
    return job
  }

  /// Takes in what the threads have done.
  private func collect() {
    for worker in workers {
      while let job = worker.takeEnded() {
        let place = unsafe jobs[job].frame - removed
        let stored = unsafe jobs[job].stored
        waitingFrames -= 1
        unsafe waitingBytes -= jobs[job].pixels.count
        frames[place].state = .ready
        if unsafe stored.isEmpty {
          freeJobs.append(job)
        } else {
          unsafe frames[place].frame.bytes = stored
          unsafe frames[place].frame.storedCRC = jobs[job].storedCRC
          frames[place].frame.encoding = FrameEncoding(method)
          frames[place].frame.job = job
        }
      }
    }
    deal()
  }
}
