import FrameRing
import Glibc
import Linux
import Pixels
import Quantities
import RunControl
import RunStore
import Synchronization

/// The recorder's road inside one process: a source that fills the ring as a camera's thread does, and the daemon's own
/// recorder, which writes each slot where it lies and puts a row for each frame into the run's database. No camera.
struct RecordedFrames {
  struct Result {
    var framesPerSecond: Double
    var bytesPerSecond: Double
    /// CPU time for one frame by thread.
    var threads: [String: Double]
    /// CPU time of the whole process, the kernel's work for it included, over the time it took.
    var share: Double
    /// Frames that found the ring full.
    var lost: Int
    var frames: Int
    /// Of them, those that were not stored as they came.
    var compressed: Int
    /// Bytes of all frames in the files.
    var storedBytes: Int
  }

  /// How the source sends its frames.
  enum Source {
    /// So many, as fast as there is room for them.
    case frames(Int)
    /// As fast as there is room for them, until the time is over.
    case fullSpeed(Seconds)
    /// At the pace of a camera, which waits for nobody.
    case paced(Hertz, Seconds)
  }

  private static let series: UInt64 = 1
  private static let patience = Seconds(60)

  let directory: String
  let ringPath: String
  let width: Int
  let height: Int
  let source: Source
  let slots: Int
  var settings = RecordedRun.settings()
  /// Pixels of all frames, one after the other; none: zeros.
  var pictures: [[UInt16]] = []
  /// Segments that are complete are removed while it runs; the last ones stay.
  var removesSegments = false

  private var frameBytes: Int { width * height * 2 }

  func measure() throws(BenchmarkError) -> Result {
    let ring: FrameRing
    let run: RecordedRun
    do {
      ring = try FrameRing.create(ringPath, slots: slots, slotBytes: frameBytes)
      run = try RecordedRun(directory, ring, settings)
    } catch { throw BenchmarkError("\(error)") }
    defer {
      FileSystem.remove(ringPath)
      removeDirectory(run.directory.path)
    }
    let state = State()
    run.recorder.seriesStarted(Self.series)
    let began = MonotonicTime.now
    let cpu = processCPUTime()
    let before = ChildProcess.cpuTimeOfThreads(of: getpid())
    let source = NamedThread("bench-source") {
      feed(ring, state)
      state.sourceTime.update { $0 = threadCPUTime() }
      run.recorder.seriesEnded(
        EndedSeries(series: Self.series, triggered: nil, refusedByRing: ring.refused, unusable: [:]))
    }
    while removesSegments && state.isFeeding.load(ordering: .acquiring) {
      sleepThread(for: Seconds(0.25))
      removeSegments(run.directory.frames)
    }
    source.join()
    // Threads that compress come to their end with the files.
    let meanwhile = ChildProcess.cpuTimeOfThreads(of: getpid())
    try run.finish(within: Self.patience)
    let elapsed = (MonotonicTime.now - began).value
    let used = processCPUTime() - cpu
    var threads = ChildProcess.cpuTimeOfThreads(of: getpid()).merging(meanwhile) { max($0, $1) }
    for (name, time) in before { threads[name]? -= time }
    threads["source"] = state.sourceTime.read { $0 }
    let stored = try run.close()
    let frames = Int(clamping: ring.published)
    guard stored.frames == frames else { throw BenchmarkError("\(stored.frames) of \(frames) frames are stored") }
    return Result(
      framesPerSecond: Double(frames) / elapsed, bytesPerSecond: Double(frames) * Double(frameBytes) / elapsed,
      threads: threads.filter { $0.value > 0.001 * elapsed }.mapValues { $0 / Double(frames) },
      share: used.value / elapsed, lost: Int(clamping: ring.refused), frames: frames, compressed: stored.compressed,
      storedBytes: stored.bytes)
  }

  private final class State: Sendable {
    let isFeeding = Atomic(true)
    let sourceTime = Monitor(0.0)
  }

  private func removeSegments(_ files: FrameFiles) {
    for segment in ((try? files.segments()) ?? []).dropLast(2) {
      FileSystem.remove(files.pixelsPath(segment, settings.compression == nil ? .plain : .compressed))
      FileSystem.remove(files.indexPath(segment))
    }
  }

  private func feed(_ ring: FrameRing, _ state: State) {
    let zeros = AlignedBuffer(count: frameBytes)
    var header = FrameHeader(
      exposureNanoseconds: 2_400_000, series: Self.series, pixelType: .u16, width: width, height: height)
    header.step = 0
    let began = MonotonicTime.now
    for number in 0... {
      guard waitForTurn(number, ring, since: began) else { break }
      guard let room = unsafe ring.reserve() else { continue }
      header.frameNumber = UInt64(number)
      unsafe ring.meter.begin(.u16, width: width, height: height, in: room)
      if pictures.isEmpty {
        unsafe ring.meter.copy(from: UnsafeRawBufferPointer(start: zeros.bytes.baseAddress, count: frameBytes))
      } else {
        unsafe pictures[number % pictures.count].withUnsafeBytes { unsafe _ = ring.meter.copy(from: $0) }
      }
      header.take(ring.meter.finish())
      header.arrival = .now
      header.deviceNanoseconds = header.arrival.nanoseconds
      ring.publish(header)
    }
    state.isFeeding.store(false, ordering: .releasing)
  }

  /// False when the source has come to its end.
  private func waitForTurn(_ number: Int, _ ring: FrameRing, since began: MonotonicTime) -> Bool {
    switch source {
    case .frames(let count): guard number < count else { return false }
    case .fullSpeed(let span): guard MonotonicTime.now - began < span else { return false }
    case .paced(let rate, let span):
      let due = Seconds(Double(number) / rate.value)
      sleepThread(for: due - (MonotonicTime.now - began))
      return due < span
    }
    let end = MonotonicTime.now + Self.patience
    while ring.filled == slots {
      // The recorder stands still, and will say why.
      guard MonotonicTime.now < end else { return false }
      sleepThread(for: Seconds(0.0001))
    }
    return true
  }
}
