import Pixels

/// Brings an image of the SIMPLON stream into a ring slot: as many bits as were sent, little-endian.
struct SimplonPixels: ~Copyable {
  private var blocks = BlockDecoder()

  /// Brings all pixels into their place, and the meter to the frame's end. What is compressed is measured block by block, while
  /// it is in the cache.
  /// - Parameter output: the image's `wireBytes`, aligned to a pixel.
  mutating func decode(
    _ blob: UnsafeRawBufferPointer, _ image: SimplonImageDescription, into output: UnsafeMutableRawBufferPointer,
    by meter: PixelMeter
  ) throws(DecodeError) {
    unsafe meter.begin(
      image.pixelType, width: image.width, height: image.height, isBigEndian: image.isBigEndian, in: output)
    switch image.compression {
    case .none:
      guard blob.count == output.count else {
        throw DecodeError("\(blob.count) bytes of pixels where the shape needs \(output.count)")
      }
      unsafe meter.copy(from: blob)
    case .bareLZ4:
      try unsafe BlockDecoder.decodeBare(blob, into: output)
      meter.take(output.count)
    case .framedLZ4:
      try unsafe blocks.decodeFramed(blob, .lz4, into: output) { meter.take($0) }
    case .bitShuffledLZ4:
      let bytes = image.pixelType.bytesPerPixel
      try unsafe blocks.decodeFramed(blob, .bitShuffledLZ4(elementBytes: bytes), into: output) { meter.take($0) }
    }
  }
}
