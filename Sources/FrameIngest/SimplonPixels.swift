import FrameRing
import Linux

/// Brings an image of the SIMPLON stream into a ring slot: as many bits as were sent, little-endian.
struct SimplonPixels: ~Copyable {
  private var blocks = BlockDecoder()

  /// - Parameter output: the image's `wireBytes`, aligned to a pixel.
  /// - Returns: CRC-32C of the pixels.
  mutating func decode(
    _ blob: UnsafeRawBufferPointer, _ image: SimplonImageDescription, into output: UnsafeMutableRawBufferPointer
  ) throws(DecodeError) -> UInt32 {
    switch image.compression {
    case .none:
      guard blob.count == output.count else {
        throw DecodeError("\(blob.count) bytes of pixels where the shape needs \(output.count)")
      }
      var copy = unsafe PixelCopy(image.pixelType, isBigEndian: image.isBigEndian, into: output)
      unsafe _ = copy.append(blob)
      return copy.crc
    case .bareLZ4:
      try unsafe BlockDecoder.decodeBare(blob, into: output)
    case .framedLZ4:
      try unsafe blocks.decodeFramed(blob, .lz4, into: output)
    case .bitShuffledLZ4:
      let bytes = image.pixelType.bytesPerPixel
      try unsafe blocks.decodeFramed(blob, .bitShuffledLZ4(elementBytes: bytes), into: output)
    }
    switch image.pixelType {
    case .u16 where image.isBigEndian: unsafe swapBytes(output.bindMemory(to: UInt16.self))
    case .u32 where image.isBigEndian: unsafe swapBytes(output.bindMemory(to: UInt32.self))
    default: break
    }
    return unsafe crc32c(UnsafeRawBufferPointer(output))
  }

  private func swapBytes<Word: FixedWidthInteger>(_ words: UnsafeMutableBufferPointer<Word>) {
    for index in words.indices { unsafe words[index] = words[index].byteSwapped }
  }
}
