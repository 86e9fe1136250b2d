internal import CPixels
import Linux

/// Brings the pixels of a frame into their place and, in the same pass, has their checksum and statistics.
///
/// `begin`, then pieces one after the other until the frame is whole, then `finish`. Pieces may end anywhere, also within a
/// pixel: what cannot be computed yet waits in its place for what comes. Work is done a few rows at a time, while they are in
/// the cache. Allocates in `init` and never again; one thread.
@safe
package final class PixelMeter {
  /// Bytes that are copied before they are looked at: with their source they fit the first or second cache.
  private static let pieceBytes = 16384
  private static let bandRows = CPIXELS_BIN

  package let largestFrameBytes: Int
  private let settings: StatisticsSettings
  private let level: UInt64
  // Room for the bins of any shape of so many bytes; untouched, and so not in memory, where frames need less.
  private let means: UnsafeMutableBufferPointer<Float>
  private let reference: UnsafeMutableBufferPointer<Float>
  private var referenceShape: Shape?

  // The frame under way.
  private var shape = Shape(type: .u8, width: 0, height: 0)
  private var isSwapped = false
  private var room = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
  /// Bytes in their place, of these in the checksum, and rows in the statistics.
  private var arrived = 0
  private var checked = 0
  private var measuredRows = 0
  private var crc: UInt32 = 0
  private var totals = cpixels_totals()
  private var regionSums = InlineArray<16, UInt64>(repeating: 0)

  private struct Shape: Equatable {
    var type: PixelType
    var width: Int
    var height: Int

    var bytes: Int { width * height * type.bytesPerPixel }
    var rowBytes: Int { width * type.bytesPerPixel }
    var binsAcross: Int { (width + 7) / 8 }
    var bins: Int { binsAcross * ((height + 7) / 8) }
    /// Of so many bytes, those of whole pixels.
    func wholePixels(_ bytes: Int) -> Int { bytes & ~(type.bytesPerPixel - 1) }
  }

  /// - Parameter largestFrameBytes: of the pixels of one frame.
  package init(largestFrameBytes: Int, _ settings: StatisticsSettings = .plain) {
    self.largestFrameBytes = largestFrameBytes
    self.settings = settings
    level = settings.saturationLevel.map(UInt64.init) ?? .max
    // Of w · h pixels, ceil(w/8) · ceil(h/8) ≤ (w·h + 7(w+h) + 49)/64 ≤ w·h/8 + 1.
    let most = largestFrameBytes / 8 + 1
    unsafe means = .allocate(capacity: most)
    unsafe reference = .allocate(capacity: most)
  }

  deinit {
    unsafe means.deallocate()
    unsafe reference.deallocate()
  }

  /// The next frame becomes the reference of those after it.
  package func beginSeries() { referenceShape = nil }

  /// Begins a frame; one that was under way is forgotten, and leaves no trace in the reference.
  /// - Parameters:
  ///   - width, height: 1 or more, with at most `largestFrameBytes` bytes of pixels.
  ///   - isBigEndian: how the pixels come; in their place they are little-endian.
  ///   - room: where the pixels belong, with at least their bytes; it must be there until `finish`.
  package func begin(
    _ type: PixelType, width: Int, height: Int, isBigEndian: Bool = false, in room: UnsafeMutableRawBufferPointer
  ) {
    shape = Shape(type: type, width: width, height: height)
    precondition(width > 0 && height > 0 && shape.bytes <= largestFrameBytes, "a frame larger than the largest")
    precondition(room.count >= shape.bytes, "a frame larger than its room")
    isSwapped = isBigEndian && type != .u8
    unsafe self.room = unsafe UnsafeMutableRawBufferPointer(rebasing: room[..<shape.bytes])
    arrived = 0
    checked = 0
    measuredRows = 0
    crc = 0
    totals = cpixels_totals(sum: 0, saturated: 0, minimum: .max, maximum: 0)
    regionSums = InlineArray(repeating: 0)
  }

  /// Bytes of the frame that have not come.
  package var missingBytes: Int { shape.bytes - arrived }

  /// Copies the next bytes of the frame into their place.
  /// - Returns: how many were taken: all, or as many as were missing.
  @discardableResult
  package func copy(from source: UnsafeRawBufferPointer) -> Int {
    let count = min(source.count, missingBytes)
    var done = 0
    while done < count {
      let length = min(Self.pieceBytes, count - done)
      let piece = unsafe UnsafeRawBufferPointer(rebasing: source[done..<done + length])
      if isSwapped {
        unsafe place(swapped: piece)
      } else {
        unsafe UnsafeMutableRawBufferPointer(rebasing: room[arrived..<arrived + length]).copyMemory(from: piece)
      }
      arrived += length
      done += length
      look()
    }
    return count
  }

  /// Takes the next bytes of the frame, which are in their place already, in the byte order that `begin` was told.
  /// - Parameter count: at most `missingBytes`.
  package func take(_ count: Int) {
    precondition((0...missingBytes).contains(count), "more bytes than the frame has")
    let end = arrived + count
    while arrived < end {
      let next = min(arrived + Self.pieceBytes, end)
      if isSwapped {
        // Of pixels that become whole now: their first bytes may have been taken before.
        let first = shape.wholePixels(arrived)
        unsafe swap(room.baseAddress! + first, bytes: shape.wholePixels(next) - first)
      }
      arrived = next
      look()
    }
  }

  /// The frame's checksum (CRC-32C of the little-endian pixels) and statistics.
  /// - Precondition: no byte is missing.
  package func finish() -> (crc: UInt32, statistics: FrameStatistics) {
    precondition(shape.bytes > 0 && missingBytes == 0, "a frame that is not whole")
    var statistics = FrameStatistics(
      sum: totals.sum, minimum: totals.minimum, maximum: totals.maximum, saturated: totals.saturated, change: change(),
      regionCount: settings.regions.count)
    for (index, region) in settings.regions.enumerated() {
      let pixels = region.columns(of: shape.width).count * region.rows(0..<shape.height).count
      statistics[region: index] = pixels == 0 ? .nan : Float(Double(regionSums[index]) / Double(pixels))
    }
    shape.width = 0
    arrived = 0
    unsafe room = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
    return (crc, statistics)
  }
}

extension PixelMeter {
  /// Puts big-endian bytes in their place. A pixel that a piece splits stays as it came until it is whole.
  private func place(swapped piece: UnsafeRawBufferPointer) {
    guard let source = piece.baseAddress, let target = unsafe room.baseAddress else { return }
    let end = arrived + piece.count
    let whole = shape.wholePixels(end)
    // From the first pixel that begins in this piece.
    let first = min(shape.wholePixels(arrived + shape.type.bytesPerPixel - 1), end)
    unsafe (target + arrived).copyMemory(from: source, byteCount: first - arrived)
    if first <= whole {
      unsafe swap(target + shape.wholePixels(arrived), bytes: first - shape.wholePixels(arrived))
      unsafe swap(target + first, from: source + (first - arrived), bytes: whole - first)
      unsafe (target + whole).copyMemory(from: source + (whole - arrived), byteCount: end - whole)
    }
  }

  private func swap(_ target: UnsafeMutableRawPointer, from source: UnsafeRawPointer? = nil, bytes: Int) {
    let size = shape.type.bytesPerPixel
    unsafe cpixels_copy_swapped(target, source ?? UnsafeRawPointer(target), bytes / size, UInt32(size))
  }

  /// Checksums the whole pixels that have come, and measures the whole bands.
  private func look() {
    let whole = shape.wholePixels(arrived)
    let unchecked = unsafe UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(room)[checked..<whole])
    crc = unsafe crc32c(unchecked, continuing: crc)
    checked = whole
    while true {
      let rows = measuredRows..<min(measuredRows + Self.bandRows, shape.height)
      guard !rows.isEmpty && rows.upperBound * shape.rowBytes <= whole else { return }
      measure(rows)
      measuredRows = rows.upperBound
    }
  }

  private func measure(_ rows: Range<Int>) {
    let size = UInt32(shape.type.bytesPerPixel)
    let first = unsafe UnsafeRawPointer(room.baseAddress!) + rows.lowerBound * shape.rowBytes
    let bins = unsafe means.baseAddress! + rows.lowerBound / Self.bandRows * shape.binsAcross
    unsafe cpixels_measure_band(first, size, shape.width, rows.count, level, &totals, bins)
    for (index, region) in settings.regions.enumerated() {
      let columns = region.columns(of: shape.width)
      let shared = region.rows(rows)
      if columns.isEmpty || shared.isEmpty { continue }
      let offset = (shared.lowerBound * shape.width + columns.lowerBound) * Int(size)
      regionSums[index] += unsafe cpixels_sum(
        room.baseAddress! + offset, size, shape.width, columns.count, shared.count)
    }
  }

  /// The distance from the reference, which then follows.
  private func change() -> Float? {
    guard referenceShape == shape else {
      referenceShape = shape
      unsafe reference.baseAddress!.update(from: means.baseAddress!, count: shape.bins)
      return nil
    }
    let squares = unsafe cpixels_follow(
      reference.baseAddress!, means.baseAddress!, shape.bins, settings.referenceWeight)
    return Float((squares / Double(shape.bins)).squareRoot())
  }
}

extension PixelRegion {
  fileprivate func columns(of width: Int) -> Range<Int> { (left..<left + self.width).clamped(to: 0..<width) }
  fileprivate func rows(_ rows: Range<Int>) -> Range<Int> { (top..<top + height).clamped(to: rows) }
}
