import Quantities
import RunStore

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
    table.remark(
      "Of these recordings, complete segments (1 GiB) were removed while they ran, so that they need no more room than a few"
        + " of them; the CPU is that of the whole process, source included.")
  }

  private func sustained(_ source: RecordedFrames.Source) throws(BenchmarkError) -> RecordedFrames.Result {
    var settings = SegmentSettings()
    settings.segmentBytes = 1 << 30
    return try RecordedFrames(
      directory: options.work + "/frames", ringPath: ringPath, width: 1024, height: 1024, source: source, slots: 128,
      settings: settings, removesSegments: true
    ).measure()
  }
}
