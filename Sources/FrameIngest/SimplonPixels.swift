import FrameRing
import Linux

/// Brings an image of the SIMPLON stream into a ring slot as little-endian 16-bit pixels.
///
/// `uint8` is widened: MRC, the format of the segments, has no unsigned 8-bit mode. `uint32` is narrowed only when
/// every pixel fits, so that nothing is lost silently. 16-bit images are decompressed straight into the slot.
struct SimplonPixels: ~Copyable {
  private var blocks = BlockDecoder()
  private var wide = AlignedBuffer(count: AlignedBuffer.alignment)

  /// - Parameter output: width · height · 2 bytes.
  mutating func decode(
    _ blob: UnsafeRawBufferPointer, _ image: SimplonImageDescription, into output: UnsafeMutableRawBufferPointer
  ) throws(DecodeError) {
    if image.pixelType == .u16 {
      try unsafe expand(blob, image, into: output)
      if image.isBigEndian { unsafe swapBytes(output.bindMemory(to: UInt16.self)) }
      return
    }
    if unsafe wide.bytes.count < image.wireBytes { wide = AlignedBuffer(count: image.wireBytes) }
    let raw = unsafe UnsafeMutableRawBufferPointer(rebasing: wide.bytes[..<image.wireBytes])
    try unsafe expand(blob, image, into: raw)
    let pixels = unsafe output.bindMemory(to: UInt16.self)
    if image.pixelType == .u8 {
      for index in 0..<raw.count { unsafe pixels[index] = UInt16(raw[index]) }
      return
    }
    let words = unsafe raw.bindMemory(to: UInt32.self)
    if image.isBigEndian { unsafe swapBytes(words) }
    var all: UInt32 = 0
    for index in 0..<words.count {
      let word = unsafe words[index]
      all |= word
      unsafe pixels[index] = UInt16(truncatingIfNeeded: word)
    }
    guard all <= UInt32(UInt16.max) else {
      throw DecodeError("32-bit pixels above 65535, which 16-bit segments cannot hold; set the detector to 16 bit")
    }
  }

  private mutating func expand(
    _ blob: UnsafeRawBufferPointer, _ image: SimplonImageDescription, into output: UnsafeMutableRawBufferPointer
  ) throws(DecodeError) {
    switch image.compression {
    case .none:
      guard blob.count == output.count else {
        throw DecodeError("\(blob.count) bytes of pixels where the shape needs \(output.count)")
      }
      unsafe output.copyMemory(from: blob)
    case .lz4:
      try unsafe BlockDecoder.decodeBare(blob, into: output)
    case .bitShuffledLZ4:
      let bytes = image.pixelType.bytesPerPixel
      try unsafe blocks.decodeFramed(blob, .bitShuffledLZ4(elementBytes: bytes), into: output)
    }
  }

  private func swapBytes<Word: FixedWidthInteger>(_ words: UnsafeMutableBufferPointer<Word>) {
    for index in words.indices { unsafe words[index] = words[index].byteSwapped }
  }
}
