internal import CBitshuffle
internal import CLZ4
internal import CPixels
internal import CZstd
import Linux

/// Compresses frames, one after the other. Allocates in `init` and never again; one thread.
@safe
package struct FrameCompressor: ~Copyable {
  private static let zstdLevel: CInt = 1

  package let method: FrameCompression
  private let planes: AlignedBuffer
  private let lz4State: AlignedBuffer
  private let zstd: OpaquePointer

  package init(_ method: FrameCompression) {
    self.method = method
    planes = AlignedBuffer(count: method.blockBytes(.u32))
    lz4State = AlignedBuffer(count: Int(LZ4_sizeofState()))
    guard let context = unsafe ZSTD_createCCtx() else { preconditionFailure("no memory for a compressor") }
    unsafe zstd = context
  }

  deinit { unsafe ZSTD_freeCCtx(zstd) }

  /// Compresses the pixels of one frame.
  /// - Parameters:
  ///   - pixels: whole pixels of `type`, little-endian.
  ///   - output: apart from the pixels; as many bytes as they have are always enough.
  /// - Returns: the bytes of the blob, or nil when it would not be smaller than the pixels or does not fit.
  package mutating func compress(
    _ pixels: UnsafeRawBufferPointer, _ type: PixelType, into output: UnsafeMutableRawBufferPointer
  ) -> Int? {
    let elementBytes = type.bytesPerPixel
    precondition(pixels.count % elementBytes == 0, "part of a pixel")
    let limit = min(output.count, pixels.count - 1)
    guard limit >= FrameBlob.headerBytes, let source = pixels.baseAddress, let target = output.baseAddress else {
      return nil
    }
    let blockBytes = method.blockBytes(type)
    unsafe target.storeBytes(of: UInt64(pixels.count).bigEndian, as: UInt64.self)
    unsafe target.storeBytes(of: UInt32(blockBytes).bigEndian, toByteOffset: 8, as: UInt32.self)
    var at = FrameBlob.headerBytes

    let shuffled = pixels.count / (8 * elementBytes) * (8 * elementBytes)
    var done = 0
    while done < shuffled {
      let length = min(blockBytes, shuffled - done)
      unsafe cbitshuffle_do(source + done, length / elementBytes, elementBytes, planes.bytes.baseAddress!)
      let data = at + FrameBlob.blockHeaderBytes
      guard data < limit else { return nil }
      let count = unsafe encode(length, elementBytes, into: target + data, room: limit - data)
      guard count > 0 else { return nil }
      unsafe target.storeBytes(of: UInt32(count).bigEndian, toByteOffset: at, as: UInt32.self)
      at = data + count
      done += length
    }
    let rest = pixels.count - shuffled
    guard rest <= limit - at else { return nil }
    unsafe (target + at).copyMemory(from: source + shuffled, byteCount: rest)
    return at + rest
  }

  /// Compresses the shuffled block; 0 when it does not fit.
  private func encode(
    _ length: Int, _ elementBytes: Int, into target: UnsafeMutableRawPointer, room: Int
  ) -> Int {
    let from = unsafe planes.bytes.baseAddress!
    switch method {
    case .bslz4:
      return unsafe Int(
        LZ4_compress_fast_extState(
          lz4State.bytes.baseAddress!, from.assumingMemoryBound(to: CChar.self),
          target.assumingMemoryBound(to: CChar.self), Int32(length), Int32(clamping: room), 1))
    case .bszstd:
      let count = unsafe ZSTD_compressCCtx(zstd, target, room, from, length, Self.zstdLevel)
      return ZSTD_isError(count) == 0 ? count : 0
    case .bsgaps:
      return unsafe cpixels_put_planes(from, length / 8 / elementBytes, 8 * elementBytes, target, room)
    }
  }
}
