import CBitshuffle
import Glibc
import Linux
import Pixels
import Quantities

/// Lossless compression of frames of electrons that fell independently of each other, on one core, beside what their
/// entropy allows and beside the copy of their bytes.
struct CompressionSpeed: ~Copyable {
  static let rounds = 7
  /// Different frames of 1024 x 1024 that are compressed one after the other.
  private static let frames = 8
  private static let pixelsOfFrame = 1 << 20

  struct Result {
    var method: FrameCompression
    /// Bytes of pixels per second.
    var compression: Spread
    var decompression: Spread
    /// Bytes of pixels per compressed byte.
    var ratio: Double
  }

  let type: PixelType
  /// Mean electrons of a pixel.
  let dose: Double
  private let pixels: AlignedBuffer
  private var frameBytes: Int { Self.pixelsOfFrame * type.bytesPerPixel }

  init(_ type: PixelType, dose: Double) {
    self.type = type
    self.dose = dose
    pixels = AlignedBuffer(count: Self.frames * Self.pixelsOfFrame * type.bytesPerPixel)
    // Poisson's distribution by its inverse.
    var state: UInt64 = 7
    for index in 0..<Self.frames * Self.pixelsOfFrame {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      var left = Double(state >> 11) / Double(1 << 53)
      var electrons = 0
      var share = exp(-dose)
      while left >= share && electrons < 40 {
        left -= share
        electrons += 1
        share *= dose / Double(electrons)
      }
      unsafe pixels.bytes.storeBytes(of: UInt8(electrons), toByteOffset: index * type.bytesPerPixel, as: UInt8.self)
    }
  }

  /// Bytes of pixels per byte that no code can do without.
  var entropyRatio: Double {
    var bits = 0.0
    var share = exp(-dose)
    for electrons in 1..<60 {
      if share > 0 { bits -= share * log2(share) }
      share *= dose / Double(electrons)
    }
    return Double(8 * type.bytesPerPixel) / bits
  }

  func measure(_ method: FrameCompression) -> Result {
    let blob = AlignedBuffer(count: frameBytes)
    let back = AlignedBuffer(count: frameBytes)
    var compressor = FrameCompressor(method)
    var decompressor = FrameDecompressor()
    var compressions: [Double] = []
    var decompressions: [Double] = []
    var compressed = 0
    for _ in 0..<Self.rounds {
      var times = (0.0, 0.0)
      compressed = 0
      for frame in 0..<Self.frames {
        let source = unsafe UnsafeRawBufferPointer(
          rebasing: UnsafeRawBufferPointer(pixels.bytes)[frame * frameBytes..<(frame + 1) * frameBytes])
        let began = threadCPUTime()
        guard let count = unsafe compressor.compress(source, type, into: blob.bytes) else {
          preconditionFailure("a frame that cannot be compressed")
        }
        let compressedAt = threadCPUTime()
        let target = unsafe UnsafeMutableRawBufferPointer(rebasing: back.bytes[..<frameBytes])
        do throws(FrameDecompressionError) {
          try unsafe decompressor.decompress(
            UnsafeRawBufferPointer(rebasing: blob.bytes[..<count]), method, type, into: target)
        } catch { preconditionFailure("\(error)") }
        let end = threadCPUTime()
        precondition(unsafe memcmp(target.baseAddress!, source.baseAddress!, frameBytes) == 0)
        times.0 += compressedAt - began
        times.1 += end - compressedAt
        compressed += count
      }
      let bytes = Double(Self.frames * frameBytes)
      compressions.append(bytes / times.0)
      decompressions.append(bytes / times.1)
    }
    return Result(
      method: method, compression: Spread(compressions), decompression: Spread(decompressions),
      ratio: Double(Self.frames * frameBytes) / Double(compressed))
  }

  /// The bit shuffle alone, in blocks of 32 KiB, there and back; bytes of pixels per second.
  func shuffle() -> (there: Spread, back: Spread, copy: Spread) {
    let block = 32768
    let planes = AlignedBuffer(count: block)
    let target = AlignedBuffer(count: frameBytes)
    var there: [Double] = []
    var back: [Double] = []
    var copy: [Double] = []
    for _ in 0..<3 * Self.rounds {
      let began = threadCPUTime()
      for at in stride(from: 0, to: frameBytes, by: block) {
        unsafe cbitshuffle_do(
          pixels.bytes.baseAddress! + at, block / type.bytesPerPixel, type.bytesPerPixel, planes.bytes.baseAddress!)
      }
      let shuffled = threadCPUTime()
      for at in stride(from: 0, to: frameBytes, by: block) {
        unsafe cbitshuffle_undo(
          planes.bytes.baseAddress!, block / type.bytesPerPixel, type.bytesPerPixel, target.bytes.baseAddress! + at)
      }
      let unshuffled = threadCPUTime()
      unsafe memcpy(target.bytes.baseAddress!, pixels.bytes.baseAddress!, frameBytes)
      let end = threadCPUTime()
      there.append(Double(frameBytes) / (shuffled - began))
      back.append(Double(frameBytes) / (unshuffled - shuffled))
      copy.append(Double(frameBytes) / (end - unshuffled))
    }
    return (Spread(there), Spread(back), Spread(copy))
  }
}
