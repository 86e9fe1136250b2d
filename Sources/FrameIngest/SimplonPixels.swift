import Pixels

/// Brings an image of the SIMPLON stream into a ring slot: as many bits as were sent, little-endian.
struct SimplonPixels: ~Copyable {
  private var blocks = BlockDecoder()

  /// - Parameter output: the image's `wireBytes`, aligned to a pixel.
  mutating func decode(
    _ blob: UnsafeRawBufferPointer, _ image: SimplonImageDescription, into output: UnsafeMutableRawBufferPointer
  ) throws(DecodeError) {
    switch image.compression {
    case .none:
      guard blob.count == output.count else {
        throw DecodeError("\(blob.count) bytes of pixels where the shape needs \(output.count)")
      }
      unsafe output.copyMemory(from: blob)
    case .bareLZ4:
      try unsafe BlockDecoder.decodeBare(blob, into: output)
    case .framedLZ4:
      try unsafe blocks.decodeFramed(blob, .lz4, into: output)
    case .bitShuffledLZ4:
      let bytes = image.pixelType.bytesPerPixel
      try unsafe blocks.decodeFramed(blob, .bitShuffledLZ4(elementBytes: bytes), into: output)
    }
    guard image.isBigEndian else { return }
    switch image.pixelType {
    case .u8: break
    case .u16: unsafe swapBytes(output.bindMemory(to: UInt16.self))
    case .u32: unsafe swapBytes(output.bindMemory(to: UInt32.self))
    }
  }

  private func swapBytes<Word: FixedWidthInteger>(_ words: UnsafeMutableBufferPointer<Word>) {
    for index in words.indices { unsafe words[index] = words[index].byteSwapped }
  }
}
