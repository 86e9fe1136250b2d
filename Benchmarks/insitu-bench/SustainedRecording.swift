import NanobatteryTwin
import Pixels
import Quantities
import RunControl

extension Benchmark {
  private static let cameraRate = Hertz(400)

  /// Frames of 1024 x 1024 x 16 bit for as long as the options say: at the pace of a camera, and as fast as the disk goes.
  mutating func sustainedRecording() throws(BenchmarkError) {
    let span = Seconds(options.seconds)
    let disk = DiskRate(directory: options.work, bytes: Self.yardstickBytes, fio: options.fio)
    say("recording at 400 fps for \(span.exactText)")
    let paced = try sustained(.paced(Self.cameraRate, span))
    table.add(
      ResultRow(
        what: "recorded at 400 fps for \(span.exactText), CPU", figure: share(paced.share), yardstick: "one core",
        ratio: plain(paced.share), budget: "≤ 50 %"))
    table.add(
      ResultRow(
        what: "  frames lost", figure: "\(paced.lost)", yardstick: "\(paced.frames) recorded",
        ratio: plain(Double(paced.lost) / Double(max(1, paced.frames))), budget: "0"))
    say("recording at full speed for \(span.exactText)")
    let before = try disk.measure()
    let fast = try sustained(.fullSpeed(span))
    let yardstick = (before + (try disk.measure())) / 2
    table.add(
      ResultRow(
        what: "recorded at full speed for \(span.exactText)",
        figure: "\(plain(fast.framesPerSecond)) /s, \(rate(fast.bytesPerSecond))",
        spread: "\(fast.frames) frames, \(fast.lost) lost", yardstick: "\(disk.name), O_DIRECT: \(rate(yardstick))",
        ratio: plain(fast.bytesPerSecond / yardstick), budget: "≥ 0.8"))
    for method in FrameCompression.allCases { try compressed(method, span) }
    table.remark(
      "Of these recordings, complete segments (1 GiB) were removed while they ran, so that they need no more room than a few"
        + " of them; the CPU is that of the whole process, source included.")
  }

  /// The same at the pace of a camera, compressed on the way: as many frames as there is time for.
  private mutating func compressed(_ method: FrameCompression, _ span: Seconds) throws(BenchmarkError) {
    let span = min(span, Self.compressedSpan)
    say("recording at 400 fps with \(method.rawValue) for \(span.exactText)")
    let found = try sustained(.paced(Self.cameraRate, span), method, pictures: Self.pictures)
    let pixels = Double(found.frames) * Double(2 << 20)
    table.add(
      ResultRow(
        what: "recorded at 400 fps, \(method.rawValue), \(plain(Self.dose)) e/px, CPU", figure: share(found.share),
        spread: "\(share(Double(found.compressed) / Double(found.frames))) of \(found.frames) frames compressed, "
          + "\(found.lost) lost; \(plain(pixels / Double(found.storedBytes))) : 1",
        yardstick: "one core", ratio: plain(found.share)))
    table.remark("CPU for one frame with \(method.rawValue) by thread: \(byThread([found.threads])).")
  }

  private static let compressedSpan = Seconds(20)
  /// Electrons per pixel and frame.
  private static let dose = 1.0

  private static let pictures: [[UInt16]] = {
    let count = 1 << 20
    var random = SeededRandom(seed: 1, stream: 1)
    let pool = PoissonPool(mean: dose, count: count + 65536, random: &random)
    return (0..<16).map { _ in
      let start = Int(random.next() % 65536)
      return (0..<count).map { pool[start + $0] }
    }
  }()

  private func sustained(
    _ source: RecordedFrames.Source, _ compression: FrameCompression? = nil, pictures: [[UInt16]] = []
  ) throws(BenchmarkError) -> RecordedFrames.Result {
    var settings = RecordedRun.settings(segmentBytes: 1 << 30)
    settings.compression = compression
    return try RecordedFrames(
      directory: options.work + "/frames", ringPath: ringPath, width: 1024, height: 1024, source: source, slots: 128,
      settings: settings, pictures: pictures, removesSegments: true
    ).measure()
  }
}
