import Linux
import Pixels

/// Copies unsigned pixels into a slot, piece after piece, little-endian whatever they were on the wire.
///
/// The checksum is taken of each piece while it is in the cache.
@safe
struct PixelCopy {
  private static let pieceBytes = 32768

  private let type: PixelType
  private let isSwapped: Bool
  private let target: UnsafeMutableRawBufferPointer
  private var done = 0
  /// CRC-32C of what was written.
  private(set) var crc: UInt32 = 0

  /// - Parameter target: it must outlive the copy.
  init(_ type: PixelType, isBigEndian: Bool, into target: UnsafeMutableRawBufferPointer) {
    self.type = type
    isSwapped = isBigEndian
    unsafe self.target = unsafe target
  }

  /// Takes whole pixels in; bytes that make no whole pixel, and pixels beyond the target, are left.
  /// - Returns: how many bytes were taken.
  mutating func append(_ source: UnsafeRawBufferPointer) -> Int {
    let count = unsafe min(source.count, target.count - done) / type.bytesPerPixel * type.bytesPerPixel
    let end = done + count
    var from = 0
    while done < end {
      let length = min(Self.pieceBytes, end - done)
      unsafe copy(UnsafeRawBufferPointer(rebasing: source[from..<(from + length)]))
      from += length
      done += length
    }
    return count
  }

  private mutating func copy(_ from: UnsafeRawBufferPointer) {
    let piece = unsafe UnsafeMutableRawBufferPointer(rebasing: target[done..<(done + from.count)])
    switch type {
    case .u16 where isSwapped: unsafe swap(from, piece, UInt16.self)
    case .u32 where isSwapped: unsafe swap(from, piece, UInt32.self)
    default: unsafe piece.copyMemory(from: from)
    }
    crc = unsafe crc32c(UnsafeRawBufferPointer(piece), continuing: crc)
  }

  private func swap<Word: FixedWidthInteger & BitwiseCopyable>(
    _ from: UnsafeRawBufferPointer, _ to: UnsafeMutableRawBufferPointer, _: Word.Type
  ) {
    guard let source = from.baseAddress, let sink = to.baseAddress else { return }
    // A piece of a stream may begin at any address. Without bounds checks, so that the loop is vectorised.
    let size = MemoryLayout<Word>.size
    for index in 0..<(from.count / size) {
      let word = unsafe source.loadUnaligned(fromByteOffset: index * size, as: Word.self)
      unsafe sink.storeBytes(of: word.byteSwapped, toByteOffset: index * size, as: Word.self)
    }
  }
}
