import Pixels

extension Benchmark {
  /// `runs verify` of compressed runs, and how fast one core decompresses such frames in memory.
  mutating func verifiedCompressedRuns() throws(BenchmarkError) {
    let frames = CompressionSpeed(.u16, dose: VerifiedRun.dose)
    for method in FrameCompression.allCases {
      say("verifying a run compressed with \(method.rawValue)")
      let core = frames.measure(method).decompression
      let results = try VerifiedRun(
        directory: options.work, frames: Self.yardstickBytes >> 21, repetitions: 3, fio: options.fio,
        compression: method
      ).measure()
      let rates = Spread(results.map(\.verified))
      let ratio = results[0].compressionRatio
      table.add(
        ResultRow(
          what: "runs verify, \(method.rawValue), pixels", figure: rate(rates.median),
          spread: "\(rate(rates.least)) … \(rate(rates.most))",
          yardstick: "decompressed in memory by one core \(rate(core.median))",
          ratio: plain(rates.median / core.median)))
      table.remark(
        "\(method.rawValue): \(rate(rates.median / ratio)) on the disk, which gives "
          + "\(rate(Spread(results.map(\.disk)).median)); CPU for 2 MiB of pixels "
          + "\(time(Spread(results.map(\.timePerByte)).median * Double(2 << 20))).")
    }
  }
}
