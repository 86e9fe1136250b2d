import CPixels
import Linux
import Pixels
import Testing

// One after the other: the choice of instructions is the process's.
@Suite("Pixel meter", .serialized)
struct PixelMeterTests {
  private static let every: [cpixels_instructions] = [CPIXELS_PORTABLE, CPIXELS_AVX2, CPIXELS_AVX512]

  @Test(
    "Whatever the shape, the type, the pieces and the instructions, the meter gives what plain loops give",
    arguments: [PixelType.u8, .u16, .u32], 0..<3)
  func random(type: PixelType, instructions: Int) throws {
    cpixels_use_at_most(Self.every[instructions])
    defer { cpixels_use_at_most(CPIXELS_AVX512) }
    for seed in 0..<24 as Range<UInt64> {
      var numbers = Numbers(seed: seed * 3 + UInt64(type.rawValue))
      let (width, height) = (Int.random(in: 1...150, using: &numbers), Int.random(in: 1...40, using: &numbers))
      let regions = try (0..<Int.random(in: 0...16, using: &numbers)).map { _ in
        try #require(
          PixelRegion(
            width: .random(in: 1...200, using: &numbers), height: .random(in: 1...50, using: &numbers),
            left: .random(in: 0...160, using: &numbers), top: .random(in: 0...45, using: &numbers)))
      }
      let most = UInt32.max >> (32 - 8 * type.rawValue)
      let level: UInt32? = Bool.random(using: &numbers) ? .random(in: 0...most, using: &numbers) : nil
      let weight: Float = [1, 0.5, 1.0 / 16].randomElement(using: &numbers)!
      let settings = try StatisticsSettings(saturationLevel: level, regions: regions, referenceWeight: weight)
      let meter = PixelMeter(largestFrameBytes: width * height * type.bytesPerPixel, settings)
      var plain = PlainStatistics(settings)
      for frame in 0..<4 {
        // Faint, bright and constant frames.
        let span = [most, min(most, 3), 0, most][frame]
        let pixels = (0..<width * height).map { _ in most - .random(in: 0...span, using: &numbers) }
        let isBigEndian = Bool.random(using: &numbers)
        let result = measure(pixels, type, width, isBigEndian: isBigEndian, by: meter, &numbers)
        let expected = plain.of(pixels, width)
        #expect(
          result.statistics.isClose(to: expected, scale: Float(most)),
          "seed \(seed), frame \(frame), \(width) x \(height): \(result.statistics) for \(expected)")
        let bytes = wire(pixels, type, isBigEndian: false)
        let isPlaced = result.placed == bytes
        #expect(isPlaced, "seed \(seed), frame \(frame)")
        let crc = bytes.withUnsafeBytes { crc32c($0) }
        #expect(result.crc == crc, "seed \(seed), frame \(frame)")
      }
    }
  }

  /// Gives the frame in pieces of random length, some copied from an odd address, some written in place.
  private func measure(
    _ pixels: [UInt32], _ type: PixelType, _ width: Int, isBigEndian: Bool, by meter: PixelMeter,
    _ numbers: inout Numbers
  ) -> (crc: UInt32, statistics: FrameStatistics, placed: [UInt8]) {
    let bytes = wire(pixels, type, isBigEndian: isBigEndian)
    var room = [UInt8](repeating: 0xAA, count: bytes.count + 1)
    let (crc, statistics) = room.withUnsafeMutableBytes { room in
      meter.begin(type, width: width, height: pixels.count / width, isBigEndian: isBigEndian, in: room)
      var at = 0
      while at < bytes.count {
        let length = Int.random(in: 0...max(1, bytes.count / Int.random(in: 1...9, using: &numbers)), using: &numbers)
        if Bool.random(using: &numbers) {
          let piece = bytes[at..<min(at + length, bytes.count)]
          let taken = ([0] + piece).withUnsafeBytes { meter.copy(from: UnsafeRawBufferPointer(rebasing: $0[1...])) }
          #expect(taken == piece.count)
          at += taken
        } else {
          let count = min(length, meter.missingBytes)
          for index in at..<at + count { room[index] = bytes[index] }
          meter.take(count)
          at += count
        }
      }
      return meter.finish()
    }
    #expect(room.last == 0xAA)
    return (crc, statistics, Array(room.dropLast()))
  }

  @Test("Nothing is taken beyond the frame")
  func surplus() {
    let meter = PixelMeter(largestFrameBytes: 64)
    var room = [UInt8](repeating: 7, count: 64)
    let (taken, statistics) = room.withUnsafeMutableBytes { room in
      meter.begin(.u16, width: 3, height: 2, in: room)
      let taken = [UInt8](repeating: 1, count: 40).withUnsafeBytes { meter.copy(from: $0) }
      return (taken, meter.finish().statistics)
    }
    #expect(taken == 12)
    #expect(room == [UInt8](repeating: 1, count: 12) + [UInt8](repeating: 7, count: 52))
    #expect(statistics == FrameStatistics(sum: 6 * 257, minimum: 257, maximum: 257))
  }

  @Test("The largest frame of the largest pixels does not overflow", arguments: 0..<3)
  func largest(instructions: Int) throws {
    cpixels_use_at_most(Self.every[instructions])
    defer { cpixels_use_at_most(CPIXELS_AVX512) }
    // The same row 16384 times over: through the band itself, because the frame would need a gigabyte.
    let side = 16384
    let rows = [UInt32](repeating: .max, count: 8 * side)
    var means = [Float](repeating: 0, count: side / 8)
    var totals = cpixels_totals(sum: 0, saturated: 0, minimum: .max, maximum: 0)
    for _ in 0..<side / 8 { cpixels_measure_band(rows, 4, side, 8, UInt64(UInt32.max), &totals, &means) }
    #expect(totals.sum == UInt64(side * side) * UInt64(UInt32.max))
    #expect(totals.saturated == UInt64(side * side))
    #expect([totals.minimum, totals.maximum] == [.max, .max])
    #expect(means.allSatisfy { $0 == Float(UInt32.max) })
    #expect(cpixels_sum(rows, 4, side, side, 8) == UInt64(8 * side) * UInt64(UInt32.max))
    // 16-bit pixels in a row that is longer than a 32-bit sum of them.
    let long = [UInt16](repeating: .max, count: 1 << 20)
    #expect(cpixels_sum(long, 2, 1 << 20, 1 << 20, 1) == UInt64(1 << 20) * UInt64(UInt16.max))
  }

  @Test("The change is that of 8 x 8 bins against a reference that follows with its weight")
  func change() throws {
    let meter = PixelMeter(largestFrameBytes: 256, try StatisticsSettings(referenceWeight: 0.25))
    func frame(_ left: UInt8, _ right: UInt8, width: Int = 16) -> Float? {
      var pixels = (0..<width * 8).map { $0 % width < 8 ? left : right }
      return pixels.withUnsafeMutableBytes { pixels in
        meter.begin(.u8, width: width, height: 8, in: pixels)
        meter.take(meter.missingBytes)
        return meter.finish().statistics.change
      }
    }
    #expect(frame(10, 10) == nil)
    #expect(frame(10, 10) == 0)
    // Of two bins one is 4 away: √(16 / 2).
    #expect(frame(14, 10) == Float(8).squareRoot())
    // The reference is at 11 and 10 now.
    #expect(frame(11, 10) == 0)
    #expect(frame(15, 12) == Float((16.0 + 4) / 2).squareRoot())
    // Another shape, and a new series: nothing to compare with.
    #expect(frame(1, 1, width: 17) == nil)
    #expect(frame(1, 1, width: 17) == 0)
    meter.beginSeries()
    #expect(frame(1, 1, width: 17) == nil)
  }

  @Test("A frame that was given up leaves no trace")
  func abandoned() {
    let meter = PixelMeter(largestFrameBytes: 256)
    var room = [UInt8](repeating: 0, count: 256)
    room.withUnsafeMutableBytes { room in
      for value in [5, 5] as [UInt8] {
        meter.begin(.u8, width: 16, height: 16, in: room)
        _ = [UInt8](repeating: 200, count: 255).withUnsafeBytes { meter.copy(from: $0) }
        meter.begin(.u8, width: 16, height: 16, in: room)
        _ = [UInt8](repeating: value, count: 256).withUnsafeBytes { meter.copy(from: $0) }
        let statistics = meter.finish().statistics
        #expect(statistics.sum == 5 * 256)
        #expect(statistics.maximum == 5)
        #expect(statistics.change == nil || statistics.change == 0)
      }
    }
  }
}
