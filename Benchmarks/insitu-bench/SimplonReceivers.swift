import FrameIngest
import FrameRing
import Glibc
import Linux
import NanobatteryTwin
import Quantities
import RunControl
import RunStore

/// A stream of SIMPLON version 1 as fast as it is taken, from the public simulator (PyPI's `libertem-dectris`): received,
/// decoded and recorded as the daemon does it, and received and decoded by the simulator's own receiver, one after the other.
struct SimplonReceivers {
  struct Cost {
    /// Seconds for a frame, from the first to the last.
    var time: Double
    /// CPU seconds for a frame, of the whole receiving process.
    var cpu: Double
  }

  static let (width, height) = (1024, 1024)
  private static let patience = Seconds(120)
  /// Enough that a disk slower than the sender, which waits for nobody, loses no frame.
  private static let slots = 640
  /// Of the fifty pictures of the file, which are sent again and again.
  private static let pictures = 50

  let python: String
  let script: String
  let directory: String
  /// In memory: the kernel would write a ring on the disk as well.
  let ringPath: String
  let frames: Int
  /// Electrons per pixel and frame.
  let dose: Double

  private var file: String { directory + "/stream.raw" }

  /// Writes what is sent: parts as they go over the wire, each behind its length (i64, little-endian).
  func prepare() throws(BenchmarkError) {
    let wire = SimplonWire(.legacy)
    let series = SimplonWire.Series(
      number: 7, images: UInt64(frames), period_ns: 2_500_000, exposure_ns: 2_400_000, width: Self.width,
      height: Self.height)
    var random = SeededRandom(seed: 1, stream: 1)
    let count = Self.width * Self.height
    let pool = PoissonPool(mean: dose, count: count + 65536, random: &random)
    var pictures: [[[UInt8]]] = []
    for number in 0..<Self.pictures {
      let start = Int(random.next() % 65536)
      let pixels = (0..<count).map { pool[start + $0] }
      pictures.append(
        wire.image(
          series.number, UInt64(number), pixels, width: Self.width, height: Self.height, start_ns: 0,
          exposure_ns: series.exposure_ns))
    }
    do throws(LinuxError) {
      let output = try FileDescriptor.open(file, O_WRONLY | O_CREAT | O_TRUNC)
      var offset: Int64 = 0
      for part in wire.start(series) { try append(part, to: output, &offset) }
      for number in 0..<frames {
        let parts = pictures[number % Self.pictures]
        // The public receiver wants a hash and does not check it.
        let head =
          #"{"frame":\#(number),"hash":"d41d8cd98f00b204e9800998ecf8427e","htype":"dimage-1.0","series":\#(series.number)}"#
        let start = Int64(number) * series.period_ns
        let times =
          #"{"htype":"dconfig-1.0","real_time":\#(series.exposure_ns),"start_time":\#(start),"#
          + #""stop_time":\#(start + series.exposure_ns)}"#
        for part in [Array(head.utf8), parts[1], parts[2], Array(times.utf8)] {
          try append(part, to: output, &offset)
        }
      }
      for part in wire.end(series.number) { try append(part, to: output, &offset) }
    } catch { throw BenchmarkError("\(error)") }
  }

  private func append(
    _ part: [UInt8], to output: borrowing FileDescriptor, _ offset: inout Int64
  ) throws(LinuxError) {
    let length = Int64(part.count)
    let bytes = (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + part
    var failure: LinuxError?
    unsafe bytes.withUnsafeBytes { buffer in
      do throws(LinuxError) { unsafe try output.write(buffer, at: offset) } catch { failure = error }
    }
    if let failure { throw failure }
    offset += Int64(bytes.count)
  }

  // MARK: The two receivers

  /// - Parameter isRecorded: the time ends when all frames are on the disk and in the run's database; else when the last one
  ///   is in the ring.
  func ours(isRecorded: Bool) throws(BenchmarkError) -> Cost {
    let (sender, url) = try startSender()
    defer { sender.end(patience: Seconds(3)) }
    let ring: FrameRing
    let camera: any Camera
    let run: RecordedRun?
    do {
      ring = try FrameRing.create(ringPath, slots: Self.slots, slotBytes: 2 * Self.width * Self.height)
      camera = try CameraModels.make(CameraSettings(model: "simplon", url: url))
      run = isRecorded ? try RecordedRun(directory + "/frames", ring) : nil
    } catch { throw BenchmarkError("\(error)") }
    defer {
      FrameRing.remove(ringPath)
      if let run { removeDirectory(run.directory.path) }
    }
    let hasEnded = Monitor(false)
    let thread = CameraThread(camera, ring: ring) { report in
      switch report {
      case .seriesStarted(let series): run?.recorder.seriesStarted(series)
      case .seriesEnded(let series, let triggered, _, let refused, let unusable):
        run?.recorder.seriesEnded(
          EndedSeries(series: series, triggered: triggered, refusedByRing: refused, unusable: unusable))
        hasEnded.update { $0 = true }
      default: break
      }
    }
    thread.send(.record(ExposureRequest(series: 1, framePeriod: Seconds(1), exposure: Seconds(1)), step: 0))
    let came = ring.waitForPublished(beyond: 0, atMost: Self.patience)
    let first = Instant.now
    if run == nil && came { releaseAll(of: ring) }
    _ = hasEnded.wait(atMost: came ? Self.patience : Seconds(0)) { $0 ? true : nil }
    try run?.finish(within: Self.patience)
    let last = Instant.now
    thread.send(.close)
    thread.join()
    let stored = try run?.close().frames ?? Int(clamping: ring.published)
    guard stored == frames, ring.refused == 0 else {
      throw BenchmarkError("\(stored) of \(frames) frames came, and \(ring.refused) found the ring full")
    }
    return Cost(
      time: (last.time - first.time).value / Double(frames), cpu: (last.cpu - first.cpu) / Double(frames))
  }

  /// The ring's reader where nothing is recorded.
  private func releaseAll(of ring: FrameRing) {
    var next: UInt64 = 0
    while next < UInt64(frames), ring.waitForPublished(beyond: next, atMost: Seconds(5)) {
      next = ring.published
      ring.release(through: next - 1)
    }
  }

  func theirs() throws(BenchmarkError) -> Cost {
    let (sender, url) = try startSender()
    defer { sender.end(patience: Seconds(3)) }
    let output = directory + "/receiver.txt"
    let receiver = try ChildProcess(
      python, [script, "receive", url, "\(frames)", "\(Self.width)", "\(Self.height)"], output: output)
    guard let status = receiver.ended(within: Self.patience) else {
      receiver.end()
      throw BenchmarkError("the receiver of libertem-dectris did not come to its end")
    }
    let said = (try? FileSystem.read(output)).map(text) ?? ""
    let numbers = said.split(whereSeparator: { " \n".contains($0) }).compactMap { Double($0) }
    guard status == 0, numbers.count == 4, Int(numbers[0]) == frames else {
      throw BenchmarkError("the receiver of libertem-dectris failed: \(said)")
    }
    return Cost(time: numbers[1] / numbers[0], cpu: numbers[2] / numbers[0])
  }

  private struct Instant {
    var time: MonotonicTime
    var cpu: Double
    static var now: Instant { Instant(time: .now, cpu: processCPUTime().value) }
  }

  /// The simulator, and the address it prints.
  private func startSender() throws(BenchmarkError) -> (ChildProcess, String) {
    let output = directory + "/sender.txt"
    FileSystem.remove(output)
    let sender = try ChildProcess(python, [script, "send", file], output: output)
    let end = MonotonicTime.now + Seconds(30)
    while MonotonicTime.now < end {
      let said = (try? FileSystem.read(output)).map { String(decoding: $0, as: UTF8.self) } ?? ""
      if let line = said.split(separator: "\n").first, line.hasPrefix("tcp://"), said.contains("\n") {
        return (sender, String(line))
      }
      if sender.ended(within: Seconds(0.02)) != nil { throw BenchmarkError("the simulator of SIMPLON failed: \(said)") }
    }
    sender.end()
    throw BenchmarkError("the simulator of SIMPLON printed no address")
  }
}
