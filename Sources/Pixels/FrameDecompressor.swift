internal import CBitshuffle
internal import CLZ4
internal import CPixels
internal import CZstd
import Linux

/// Why compressed pixels could not be had.
package struct FrameDecompressionError: Error, Equatable, CustomStringConvertible {
  package let description: String
  init(_ description: String) { self.description = description }
}

/// Decompresses frames, whoever compressed them. Every output is capped, every count is checked against what is left.
///
/// Keeps one block of scratch memory between frames; one thread.
@safe
package struct FrameDecompressor: ~Copyable {
  /// bitshuffle's own block size.
  private static let usualBlockBytes = 8192

  private var planes = AlignedBuffer(count: usualBlockBytes)
  private let zstd: OpaquePointer

  package init() {
    guard let context = unsafe ZSTD_createDCtx() else { preconditionFailure("no memory for a decompressor") }
    unsafe zstd = context
  }

  deinit { unsafe ZSTD_freeDCtx(zstd) }

  /// Decompresses a blob into exactly `output.count` bytes of pixels.
  package mutating func decompress(
    _ blob: UnsafeRawBufferPointer, _ method: FrameCompression, _ type: PixelType,
    into output: UnsafeMutableRawBufferPointer
  ) throws(FrameDecompressionError) {
    guard blob.count >= FrameBlob.headerBytes else {
      throw FrameDecompressionError("compressed data shorter than its own header")
    }
    let total = unsafe UInt64(bigEndian: blob.loadUnaligned(as: UInt64.self))
    let blockBytes = unsafe UInt32(bigEndian: blob.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
    guard total == UInt64(output.count) else {
      throw FrameDecompressionError("compressed data of \(total) bytes where the image has \(output.count)")
    }
    try unsafe decompressBlocks(
      UnsafeRawBufferPointer(rebasing: blob[FrameBlob.headerBytes...]), method, blockBytes: Int(blockBytes),
      elementBytes: type.bytesPerPixel, into: output)
  }

  /// Decompresses what follows a blob's header.
  /// - Parameter placed: told of each block that is in its place how many bytes it has; the blocks come in order.
  package mutating func decompressBlocks(
    _ blocks: UnsafeRawBufferPointer, _ method: FrameCompression, blockBytes: Int, elementBytes: Int,
    into output: UnsafeMutableRawBufferPointer, _ placed: (Int) -> Void = { _ in }
  ) throws(FrameDecompressionError) {
    let unit = 8 * elementBytes
    guard blockBytes > 0 && blockBytes % unit == 0 else {
      throw FrameDecompressionError("a bit-shuffle block of \(blockBytes) bytes for elements of \(elementBytes)")
    }
    var source = unsafe BlobReader(blocks)
    let shuffled = output.count / unit * unit
    var done = 0
    while done < shuffled {
      let length = min(blockBytes, shuffled - done)
      if unsafe planes.bytes.count < length { planes = AlignedBuffer(count: length) }
      try unsafe decode(source.nextBlock(), method, length, elementBytes)
      unsafe cbitshuffle_undo(
        planes.bytes.baseAddress!, length / elementBytes, elementBytes, output.baseAddress! + done)
      placed(length)
      done += length
    }
    let rest = output.count - shuffled
    if rest > 0 {
      try unsafe UnsafeMutableRawBufferPointer(rebasing: output[shuffled...]).copyMemory(from: source.take(rest))
      placed(rest)
    }
    guard source.left == 0 else {
      throw FrameDecompressionError("bytes left over behind the last compressed block")
    }
  }

  /// Decompresses one block into `length` bytes of planes.
  private func decode(
    _ data: UnsafeRawBufferPointer, _ method: FrameCompression, _ length: Int, _ elementBytes: Int
  ) throws(FrameDecompressionError) {
    guard let from = data.baseAddress else { throw FrameDecompressionError("an empty compressed block") }
    let to = unsafe planes.bytes.baseAddress!
    switch method {
    case .bslz4:
      guard data.count <= Int(Int32.max), length <= Int(Int32.max) else {
        throw FrameDecompressionError("an oversized LZ4 block")
      }
      let count = unsafe LZ4_decompress_safe(
        from.assumingMemoryBound(to: CChar.self), to.assumingMemoryBound(to: CChar.self), Int32(data.count),
        Int32(length))
      guard count >= 0 else { throw FrameDecompressionError("damaged LZ4 block") }
      guard Int(count) == length else { throw FrameDecompressionError("LZ4 block of the wrong length") }
    case .bszstd:
      let count = unsafe ZSTD_decompressDCtx(zstd, to, length, from, data.count)
      guard ZSTD_isError(count) == 0 else { throw FrameDecompressionError("damaged Zstandard block") }
      guard count == length else { throw FrameDecompressionError("Zstandard block of the wrong length") }
    case .bsgaps:
      guard unsafe cpixels_get_planes(from, data.count, to, length / 8 / elementBytes, 8 * elementBytes) == 0 else {
        throw FrameDecompressionError("damaged block of gaps")
      }
    }
  }
}

/// Bytes read one count after the other; never beyond their end.
@safe
private struct BlobReader {
  private let bytes: UnsafeRawBufferPointer
  private var position = 0

  @unsafe
  init(_ bytes: UnsafeRawBufferPointer) { unsafe self.bytes = unsafe bytes }

  var left: Int { unsafe bytes.count - position }

  mutating func take(_ count: Int) throws(FrameDecompressionError) -> UnsafeRawBufferPointer {
    guard count <= left else { throw FrameDecompressionError("compressed data ends too early") }
    defer { position += count }
    return unsafe UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
  }

  mutating func nextBlock() throws(FrameDecompressionError) -> UnsafeRawBufferPointer {
    let count = try unsafe UInt32(bigEndian: take(4).loadUnaligned(as: UInt32.self))
    return try unsafe take(Int(count))
  }
}
