import FrameIngest
import FrameRing
import Glibc
import Linux
import Pixels
import Quantities
import RunStore

/// The recorder's road inside one process: a source that fills the ring as the camera's thread does, and a reader that
/// writes each slot where it lies, as `FrameRecorder` does. No camera, no database.
struct RecordedFrames {
  struct Result {
    var framesPerSecond: Double
    var bytesPerSecond: Double
    /// CPU time of the recorder's thread for one frame, and of the source's.
    var recorderTime: Double
    var sourceTime: Double
  }

  let directory: String
  let ringPath: String
  let width: Int
  let height: Int
  let frames: Int
  let slots: Int

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
    let state = Monitor((problem: String?.none, recorder: 0.0, source: 0.0))
    let began = MonotonicTime.now
    let recorder = NamedThread("bench-recorder") {
      let problem = record(ring, run)
      state.update { $0 = (problem, threadCPUTime(), $0.source) }
    }
    let source = NamedThread("bench-source") {
      feed(ring)
      state.update { $0.source = threadCPUTime() }
    }
    recorder.join()
    let elapsed = (MonotonicTime.now - began).value
    source.join()
    let (problem, recorderTime, sourceTime) = state.read { $0 }
    if let problem { throw BenchmarkError(problem) }
    return Result(
      framesPerSecond: Double(frames) / elapsed, bytesPerSecond: Double(frames * frameBytes) / elapsed,
      recorderTime: recorderTime / Double(frames), sourceTime: sourceTime / Double(frames))
  }

  private func feed(_ ring: FrameRing) {
    let pixels = AlignedBuffer(count: frameBytes)
    var header = FrameHeader(exposureNanoseconds: 2_400_000, series: 1, pixelType: .u16, width: width, height: height)
    for number in 0..<frames {
      while ring.filled == slots { sleepThread(for: Seconds(0.0001)) }
      guard let room = unsafe ring.reserve() else { continue }
      header.frameNumber = UInt64(number)
      unsafe ring.meter.begin(.u16, width: width, height: height, in: room)
      unsafe ring.meter.copy(from: UnsafeRawBufferPointer(start: pixels.bytes.baseAddress, count: frameBytes))
      header.take(ring.meter.finish())
      header.arrival = .now
      header.deviceNanoseconds = header.arrival.nanoseconds
      ring.publish(header)
    }
  }

  /// Every frame of the ring is handed over, so that the slots in use are the last ones.
  private func release(_ next: UInt64, _ files: SegmentWriter, _ ring: FrameRing) {
    let free = next - (files.framesHandedOver - files.framesReleased)
    if free > 0 { ring.release(through: free - 1) }
  }

  /// Nil, or why it ended early.
  private func record(_ ring: FrameRing, _ run: RunDirectory) -> String? {
    let files = SegmentWriter(run.frames)
    var gaps = GapDetector(series: 1)
    var next: UInt64 = 0
    var problem: String?
    var lastSynchronized = MonotonicTime.now
    do throws(SegmentError) {
      while next < UInt64(frames) {
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
    // A source that waits for room must come to its end.
    if problem != nil {
      while next < UInt64(frames) {
        if ring.waitForPublished(beyond: next, atMost: Seconds(0.02)) { next = ring.published }
        if next > 0 { ring.release(through: next - 1) }
      }
    }
    if files.framesOnFile != UInt64(frames) && problem == nil {
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
