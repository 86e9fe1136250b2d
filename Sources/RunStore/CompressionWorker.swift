import CLinux
import Linux
import Pixels
import Quantities
import Synchronization

/// What a thread of the background is to do, and what came of it.
@unsafe
struct CompressionJob {
  /// Counts the frames of the queue.
  var frame = 0
  var pixels = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
  var type: PixelType?
  var room = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
  /// Empty when the frame did not become smaller.
  var stored = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
  var storedCRC: UInt32 = 0
}

/// The memory of all jobs. Each is touched by one thread at a time: whoever has its number.
@safe
final class CompressionJobs: @unchecked Sendable {
  private final class Room {
    let memory: AlignedBuffer
    init(_ count: Int) { memory = AlignedBuffer(count: count, onLargePages: true) }
  }

  private let places: UnsafeMutablePointer<CompressionJob>
  let count: Int
  private(set) var made = 0
  private var rooms: [Room?] = []

  init(_ count: Int) {
    self.count = count
    unsafe places = .allocate(capacity: count)
    unsafe places.initialize(repeating: CompressionJob(), count: count)
  }

  deinit { unsafe places.deallocate() }

  @unsafe
  subscript(_ job: Int) -> CompressionJob {
    _read { yield unsafe places[job] }
    _modify { yield unsafe &places[job] }
  }

  func make() -> Int {
    rooms.append(nil)
    defer { made += 1 }
    return made
  }

  func makeRoom(_ bytes: Int, in job: Int) {
    let old = rooms[job]
    if unsafe (old?.memory.bytes.count ?? 0) >= bytes { return }
    let new = Room(bytes)
    unsafe places[job].room = new.memory.bytes
    rooms[job] = new
  }
}

/// A thread of the background. It is given numbers of jobs through one ring and gives them back through another; a job is the
/// thread's as long as its number is with it. Nobody locks, and only who sleeps is woken. The rings have room for all jobs there
/// are, so that they are never full.
@safe
final class CompressionWorker: @unchecked Sendable {
  private static let patience = Seconds(1)

  private let todo: HandoverRing
  private let done: HandoverRing
  private let bell = Doorbell()
  private let isEnding = Atomic(false)
  private var thread: NamedThread?
  /// Belongs to the thread of the queue.
  private(set) var jobsUnderWay = 0

  init(_ method: FrameCompression, _ jobs: CompressionJobs, tellsEnd: Doorbell) {
    todo = HandoverRing(capacity: jobs.count)
    done = HandoverRing(capacity: jobs.count)
    thread = NamedThread("compress") { [unowned self] in work(method, jobs, tellsEnd) }
  }

  func begin(_ job: Int) {
    precondition(todo.push(UInt64(job)), "more jobs than there are")
    jobsUnderWay += 1
    bell.ring()
  }

  func takeEnded() -> Int? {
    guard let job = done.pop() else { return nil }
    jobsUnderWay -= 1
    return Int(job)
  }

  func end() {
    isEnding.store(true, ordering: .relaxed)
    bell.ring()
    thread?.join()
    thread = nil
  }

  private func work(_ method: FrameCompression, _ jobs: CompressionJobs, _ tellsEnd: Doorbell) {
    // No nice value: on a busy machine the frame whose turn it is would wait for a thread that never runs, and all behind it.
    clinux_work_in_background()
    var compressor = FrameCompressor(method)
    while !isEnding.load(ordering: .relaxed) {
      guard let job = nextJob() else { continue }
      unsafe compress(&jobs[Int(job)], &compressor)
      precondition(done.push(job), "more jobs than there are")
      tellsEnd.ring()
    }
  }

  /// Nil when none came for a while, or the end did.
  private func nextJob() -> UInt64? {
    let next = bell.wait(atMost: Self.patience) { () -> UInt64?? in
      if isEnding.load(ordering: .relaxed) { return .some(nil) }
      return todo.pop().map { .some($0) }
    }
    return next ?? nil
  }

  private func compress(_ job: inout CompressionJob, _ compressor: inout FrameCompressor) {
    unsafe job.stored = UnsafeRawBufferPointer(start: nil, count: 0)
    guard let type = unsafe job.type,
      let count = unsafe compressor.compress(job.pixels, type, into: job.room)
    else { return }
    unsafe job.stored = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(job.room)[..<count])
    unsafe job.storedCRC = crc32c(job.stored)
  }
}
