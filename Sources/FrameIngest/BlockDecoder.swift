internal import CLZ4
import Pixels

/// Why compressed pixels could not be had.
struct DecodeError: Error, Equatable, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Decompresses what HDF5's LZ4 and bitshuffle filters frame (camera-streams.md §1.2). Every LZ4 output is capped, every
/// count is checked against what is left.
///
/// What is shuffled goes to `FrameDecompressor`, which keeps a block of scratch memory between frames; one thread.
struct BlockDecoder: ~Copyable {
  enum Method: Equatable {
    case lz4
    /// LZ4 behind a bit shuffle of elements of so many bytes.
    case bitShuffledLZ4(elementBytes: Int)
  }

  /// Where the sender leaves the block size out: bitshuffle's own default.
  static let defaultBlockBytes = 8192
  private static let headerBytes = 12

  private var shuffled = FrameDecompressor()

  /// Decompresses exactly `output.count` bytes from a framed blob: u64 byte count, u32 block size, then u32 count and
  /// data for each block, all big-endian.
  /// - Parameter placed: told of each block that is in its place how many bytes it has; the blocks come in order.
  mutating func decodeFramed(
    _ blob: UnsafeRawBufferPointer, _ method: Method, into output: UnsafeMutableRawBufferPointer,
    _ placed: (Int) -> Void = { _ in }
  ) throws(DecodeError) {
    guard blob.count >= Self.headerBytes else { throw DecodeError("compressed data shorter than its own header") }
    var total = unsafe UInt64(bigEndian: blob.loadUnaligned(as: UInt64.self))
    var blockBytes = unsafe Int(UInt32(bigEndian: blob.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
    // Some senders leave the header zeroed (the public SIMPLON simulator does): the blocks are there all the same.
    if total == 0 && blob.count > Self.headerBytes { total = UInt64(output.count) }
    if blockBytes == 0 { blockBytes = Self.defaultBlockBytes }
    guard total == UInt64(output.count) else {
      throw DecodeError("compressed data of \(total) bytes where the image has \(output.count)")
    }
    var source = unsafe Source(bytes: blob, position: Self.headerBytes)
    switch method {
    case .lz4:
      try unsafe decodeBlocks(&source, blockBytes, output, placed)
    case .bitShuffledLZ4(let elementBytes):
      let blocks = try unsafe source.take(source.left)
      do throws(FrameDecompressionError) {
        try unsafe shuffled.decompressBlocks(
          blocks, .bslz4, blockBytes: blockBytes, elementBytes: elementBytes, into: output, placed)
      } catch { throw DecodeError(error.description) }
    }
    guard unsafe source.left == 0 else { throw DecodeError("bytes left over behind the last compressed block") }
  }

  /// Decompresses one bare LZ4 block, which must give exactly `output.count` bytes.
  static func decodeBare(_ block: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer)
    throws(DecodeError)
  {
    guard let source = block.baseAddress, let target = output.baseAddress, block.count <= Int(Int32.max),
      output.count <= Int(Int32.max)
    else { throw DecodeError("an empty or oversized LZ4 block") }
    let count = unsafe LZ4_decompress_safe(
      source.assumingMemoryBound(to: CChar.self), target.assumingMemoryBound(to: CChar.self), Int32(block.count),
      Int32(output.count))
    guard count >= 0 else { throw DecodeError("damaged LZ4 block") }
    guard Int(count) == output.count else { throw DecodeError("LZ4 block of the wrong length") }
  }

  private func decodeBlocks(
    _ source: inout Source, _ blockBytes: Int, _ output: UnsafeMutableRawBufferPointer, _ placed: (Int) -> Void
  ) throws(DecodeError) {
    var done = 0
    while done < output.count {
      let length = min(blockBytes, output.count - done)
      let target = unsafe UnsafeMutableRawBufferPointer(rebasing: output[done..<done + length])
      let block = try unsafe source.nextBlock()
      if block.count == length {
        unsafe target.copyMemory(from: block)  // stored raw
      } else {
        try unsafe Self.decodeBare(block, into: target)
      }
      placed(length)
      done += length
    }
  }
}

/// Bytes read one count after the other; never beyond their end.
@unsafe
private struct Source {
  let bytes: UnsafeRawBufferPointer
  var position: Int

  var left: Int { unsafe bytes.count - position }

  mutating func take(_ count: Int) throws(DecodeError) -> UnsafeRawBufferPointer {
    guard unsafe count <= left else { throw DecodeError("compressed data ends too early") }
    defer { unsafe position += count }
    return unsafe UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
  }

  mutating func nextBlock() throws(DecodeError) -> UnsafeRawBufferPointer {
    let count = try unsafe UInt32(bigEndian: take(4).loadUnaligned(as: UInt32.self))
    return try unsafe take(Int(count))
  }
}
