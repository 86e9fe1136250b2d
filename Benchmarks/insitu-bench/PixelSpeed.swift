import CPixels
import FrameIngest
import Glibc
import Linux
import Pixels
import Quantities

/// What is computed of pixels on one core, beside the copy of their bytes and beside copy and checksum alone.
struct PixelSpeed {
  static let rounds = 15
  /// Much more than the second cache holds.
  private static let streamedBytes = 64 << 20

  struct Result {
    var what: String
    var time: Spread
    var yardstick: Spread
    /// Of pixels, in one repetition.
    var bytes: Int
  }

  /// Sum, extremes, saturated pixels and means of bins of 16-bit pixels that are in memory, beside their memcpy.
  static func statistics() -> Result {
    let side = 4096
    let rows = streamedBytes / (2 * side)
    let pixels = poisson(count: side * rows, seed: 1)
    let target = AlignedBuffer(count: streamedBytes)
    var means = [Float](repeating: 0, count: side / 8)
    var times: [Double] = []
    var copies: [Double] = []
    for _ in 0..<rounds {
      var totals = cpixels_totals(sum: 0, saturated: 0, minimum: .max, maximum: 0)
      times.append(
        measured {
          for row in stride(from: 0, to: rows, by: 8) {
            unsafe cpixels_measure_band(
              pixels.bytes.baseAddress! + row * side * 2, 2, side, 8, 100, &totals, &means)
          }
        })
      precondition(totals.sum > 0 && totals.saturated > 0)
      copies.append(
        measured { unsafe memcpy(target.bytes.baseAddress!, pixels.bytes.baseAddress!, streamedBytes) })
    }
    return Result(
      what: "statistics of 16-bit pixels", time: Spread(times), yardstick: Spread(copies), bytes: streamedBytes)
  }

  /// A frame brought into a ring's slot with checksum and statistics, beside copy and checksum alone.
  ///
  /// Sources and slots go round, so that neither is in the cache but for what the frame before left there.
  static func fused(side: Int, regions: Int) throws(StatisticsSettingsError) -> Result {
    let bytes = side * side * 2
    let places = max(2, streamedBytes / bytes)
    let sources = poisson(count: places * side * side, seed: 2)
    let slots = AlignedBuffer(count: places * bytes)
    let quarter = PixelRegion(width: side / 2, height: side / 2, left: side / 4, top: side / 4)
    let meter = PixelMeter(
      largestFrameBytes: bytes,
      try StatisticsSettings(saturationLevel: 100, regions: Array(repeating: quarter, count: regions).compactMap { $0 })
    )
    func slot(_ place: Int) -> UnsafeMutableRawBufferPointer {
      unsafe UnsafeMutableRawBufferPointer(rebasing: slots.bytes[place * bytes..<(place + 1) * bytes])
    }
    func source(_ place: Int) -> UnsafeRawBufferPointer {
      unsafe UnsafeRawBufferPointer(rebasing: sources.bytes[place * bytes..<(place + 1) * bytes])
    }
    var times: [Double] = []
    var plain: [Double] = []
    for _ in 0..<rounds {
      var sums: [UInt32] = [0, 0]
      times.append(
        measured {
          for place in 0..<places {
            unsafe meter.begin(.u16, width: side, height: side, in: slot(place))
            unsafe meter.copy(from: source(place))
            sums[0] ^= meter.finish().crc
          }
        } / Double(places))
      plain.append(
        measured {
          for place in 0..<places { sums[1] ^= unsafe copyWithChecksum(source(place), to: slot(place)) }
        } / Double(places))
      precondition(sums[0] == sums[1])
    }
    return Result(
      what: "copy, CRC-32C and statistics, \(side) x \(side) x 16 bit, \(regions) regions", time: Spread(times),
      yardstick: Spread(plain), bytes: bytes)
  }

  /// CPU time of this thread: what else the machine does is not counted, but for what it takes of the memory's speed.
  private static func measured(_ body: () -> Void) -> Double {
    let began = threadCPUTime()
    body()
    return threadCPUTime() - began
  }

  /// Pixels of a camera: 30 counts an electron, one electron a pixel.
  private static func poisson(count: Int, seed: UInt64) -> AlignedBuffer {
    let buffer = AlignedBuffer(count: count * 2)
    var state = seed
    let pixels = unsafe buffer.bytes.bindMemory(to: UInt16.self)
    for index in 0..<count {
      // Electrons by the inverse of Poisson's distribution at λ = 1.
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      var left = Double(state >> 33) / Double(1 << 31)
      var electrons = 0
      var share = 0.36787944117144233
      while left >= share && electrons < 20 {
        left -= share
        electrons += 1
        share /= Double(electrons)
      }
      unsafe pixels[index] = UInt16(electrons * 30)
    }
    return buffer
  }
}
