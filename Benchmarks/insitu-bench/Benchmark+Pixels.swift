import Pixels

extension Benchmark {
  mutating func pixels() throws(BenchmarkError) {
    say("statistics of pixels")
    let statistics = PixelSpeed.statistics()
    let bytes = Double(statistics.bytes)
    table.add(
      ResultRow(
        what: statistics.what, figure: rate(bytes / statistics.time.median),
        spread: "\(rate(bytes / statistics.time.most)) … \(rate(bytes / statistics.time.least))",
        yardstick: "memcpy of the bytes \(rate(bytes / statistics.yardstick.median))",
        ratio: plain(statistics.yardstick.median / statistics.time.median), budget: "≥ 8000 MB/s"))
    for (side, regions) in [(1024, 0), (1024, 16), (128, 0), (128, 16)] {
      let fused: PixelSpeed.Result
      do throws(StatisticsSettingsError) {
        fused = try PixelSpeed.fused(side: side, regions: regions)
      } catch { throw BenchmarkError("\(error)") }
      table.add(
        ResultRow(
          what: fused.what, figure: time(fused.time.median), spread: times(fused.time),
          yardstick: "copy and CRC-32C \(time(fused.yardstick.median))",
          ratio: plain(fused.time.median / fused.yardstick.median)))
    }
    say("lossless compression")
    for type in [PixelType.u8, .u16] {
      shuffle(CompressionSpeed(type, dose: 1))
      for dose in [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3] { compression(CompressionSpeed(type, dose: dose)) }
    }
  }

  private mutating func shuffle(_ speed: borrowing CompressionSpeed) {
    let (there, back, copy) = speed.shuffle()
    let bits = 8 * speed.type.bytesPerPixel
    for (what, spread) in [("bit shuffle", there), ("  undone", back)] {
      table.add(
        ResultRow(
          what: "\(what), \(bits) bit", figure: rate(spread.median),
          spread: "\(rate(spread.least)) … \(rate(spread.most))", yardstick: "memcpy of a frame \(rate(copy.median))",
          ratio: plain(spread.median / copy.median)))
    }
  }

  /// The ratio is that of the blob's size to what the entropy allows; the budget is LZ4's at the doses of the issue.
  private mutating func compression(_ speed: borrowing CompressionSpeed) {
    let bits = 8 * speed.type.bytesPerPixel
    let entropy = speed.entropyRatio
    for method in FrameCompression.allCases {
      let found = speed.measure(method)
      table.add(
        ResultRow(
          what: "\(method.rawValue), \(bits) bit, \(speed.dose) e/pixel",
          figure: "\(rate(found.compression.median)), undone \(rate(found.decompression.median))",
          spread: "\(rate(found.compression.least)) … \(rate(found.compression.most))",
          yardstick: "\(plain(found.ratio)) : 1 of the entropy's \(plain(entropy)) : 1",
          ratio: plain(found.ratio / entropy),
          budget: method == .bslz4 && bits == 16 && speed.dose >= 0.1 ? "≥ 839 MB/s" : ""))
    }
  }
}
