import FrameIngest
import FrameRing
import Glibc
import Linux
import Pixels
import Quantities
import RunStore
import Synchronization

/// The recorder's road inside one process: a source that fills the ring as the camera's thread does, and a reader that
/// writes each slot where it lies, as `FrameRecorder` does. No camera, no database.
struct RecordedFrames {
  struct Result {
    var framesPerSecond: Double
    var bytesPerSecond: Double
    /// CPU time of the recorder's thread for one frame, and of the source's.
    var recorderTime: Double
    var sourceTime: Double
    /// CPU time of the whole process, the kernel's work for it included, over the time it took.
    var share: Double
    /// Frames that found the ring full.
    var lost: Int
    var frames: Int
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

  let directory: String
  let ringPath: String
  let width: Int
  let height: Int
  let source: Source
  let slots: Int
  /// Segments that are complete are removed while it runs; the last ones stay.
  var settings = SegmentSettings()
  var removesSegments = false

  private var frameBytes: Int { width * height * 2 }

  func measure() throws(BenchmarkError) -> Result {
    let ring: FrameRing
    let run: RunDirectory
    do {
      ring = try FrameRing.create(ringPath, slots: slots, slotBytes: frameBytes)
      let data = try DataDirectory(creating: directory)
      run = try RunDirectory.create(in: data, id: ULID(unixNanoseconds: 0), name: "benchmark")
    } catch { throw BenchmarkError("\(error)") }
    defer {
      FileSystem.remove(ringPath)
      removeDirectory(run.path)
    }
    let state = State()
    let began = MonotonicTime.now
    let cpu = processCPUTime()
    let recorder = NamedThread("bench-recorder") {
      let problem = record(ring, run, state)
      state.times.update { $0.recorder = threadCPUTime() }
      state.problem.update { $0 = problem }
    }
    let source = NamedThread("bench-source") {
      feed(ring, state)
      state.times.update { $0.source = threadCPUTime() }
    }
    while removesSegments && state.end.load(ordering: .acquiring) == .max {
      sleepThread(for: Seconds(0.25))
      removeSegments(run.frames)
    }
    recorder.join()
    let elapsed = (MonotonicTime.now - began).value
    source.join()
    let used = processCPUTime() - cpu
    if let problem = state.problem.read({ $0 }) { throw BenchmarkError(problem) }
    let frames = Int(clamping: state.end.load(ordering: .acquiring))
    let times = state.times.read { $0 }
    return Result(
      framesPerSecond: Double(frames) / elapsed, bytesPerSecond: Double(frames) * Double(frameBytes) / elapsed,
      recorderTime: times.recorder / Double(frames), sourceTime: times.source / Double(frames),
      share: used.value / elapsed, lost: Int(clamping: ring.refused), frames: frames)
  }

  private final class State: Sendable {
    /// Frames in the ring when the source has ended; .max before.
    let end = Atomic(UInt64.max)
    let problem = Monitor(String?.none)
    let times = Monitor((recorder: 0.0, source: 0.0))
  }

  private func removeSegments(_ files: FrameFiles) {
    for segment in ((try? files.segments()) ?? []).dropLast(2) {
      FileSystem.remove(files.pixelsPath(segment))
      FileSystem.remove(files.indexPath(segment))
    }
  }

  private func feed(_ ring: FrameRing, _ state: State) {
    let pixels = AlignedBuffer(count: frameBytes)
    var header = FrameHeader(exposureNanoseconds: 2_400_000, series: 1, pixelType: .u16, width: width, height: height)
    let began = MonotonicTime.now
    // What is left when the recorder has failed is for nobody.
    for number in 0... where state.problem.read({ $0 == nil }) {
      guard waitForTurn(number, ring, since: began, state) else { break }
      guard let room = unsafe ring.reserve() else { continue }
      header.frameNumber = UInt64(number)
      unsafe ring.meter.begin(.u16, width: width, height: height, in: room)
      unsafe ring.meter.copy(from: UnsafeRawBufferPointer(start: pixels.bytes.baseAddress, count: frameBytes))
      header.take(ring.meter.finish())
      header.arrival = .now
      header.deviceNanoseconds = header.arrival.nanoseconds
      ring.publish(header)
    }
    // Releasing: with the number come the frames below it.
    state.end.store(ring.published, ordering: .releasing)
  }

  /// False when the source has come to its end.
  private func waitForTurn(_ number: Int, _ ring: FrameRing, since began: MonotonicTime, _ state: State) -> Bool {
    switch source {
    case .frames(let count): guard number < count else { return false }
    case .fullSpeed(let span): guard MonotonicTime.now - began < span else { return false }
    case .paced(let rate, let span):
      let due = Seconds(Double(number) / rate.value)
      sleepThread(for: due - (MonotonicTime.now - began))
      return due < span
    }
    while ring.filled == slots {
      guard state.problem.read({ $0 == nil }) else { return false }
      sleepThread(for: Seconds(0.0001))
    }
    return true
  }

  /// Every frame of the ring is handed over, so that the slots in use are the last ones.
  private func release(_ next: UInt64, _ files: SegmentWriter, _ ring: FrameRing) {
    let free = next - (files.framesHandedOver - files.framesReleased)
    if free > 0 { ring.release(through: free - 1) }
  }

  /// Nil, or why it ended early.
  private func record(_ ring: FrameRing, _ run: RunDirectory, _ state: State) -> String? {
    let files = SegmentWriter(run.frames, settings)
    var gaps = GapDetector(series: 1)
    var next: UInt64 = 0
    var problem: String?
    var lastSynchronized = MonotonicTime.now
    do throws(SegmentError) {
      while next < state.end.load(ordering: .acquiring) {
        if ring.published == next && files.isWriting {
          try files.reap(waitingAtMost: Seconds(0.02))
          release(next, files, ring)
          continue
        }
        guard ring.waitForPublished(beyond: next, atMost: Seconds(0.02)) else { continue }
        let published = ring.published
        while next < published {
          var failure: SegmentError?
          unsafe _ = ring.read(next) { frame, pixels in
            _ = gaps.observe(frame)
            var record = RecordedFrame(
              frameNumber: frame.frameNumber, deviceNanoseconds: frame.deviceNanoseconds,
              exposureNanoseconds: frame.exposureNanoseconds, arrival: frame.arrival, series: frame.series,
              shape: FrameShape(width: width, height: height, bytesPerPixel: 2))
            record.pixelCRC = frame.pixelCRC
            do throws(SegmentError) { unsafe try files.append(record, pixels, at: .now) } catch { failure = error }
          }
          if let failure { throw failure }
          next += 1
          release(next, files, ring)
        }
        if MonotonicTime.now - lastSynchronized > Seconds(2) {
          files.synchronize()
          lastSynchronized = .now
        }
      }
      try files.close()
    } catch { problem = "\(error)" }
    let frames = state.end.load(ordering: .acquiring)
    if files.framesOnFile != frames && problem == nil {
      problem = "\(files.framesOnFile) of \(frames) frames are on the file"
    }
    return problem
  }
}

/// Removes a directory and the files in it.
func removeDirectory(_ path: String) {
  for name in (try? FileSystem.list(path)) ?? [] { FileSystem.remove("\(path)/\(name)") }
  unsafe _ = rmdir(path)
}
