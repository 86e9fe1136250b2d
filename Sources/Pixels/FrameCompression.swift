/// How the pixels of a frame are compressed without loss. Each frame becomes one blob that can be read alone
/// (docs/frame-compression.md).
package enum FrameCompression: String, CaseIterable, Sendable {
  /// LZ4 behind a bit shuffle: HDF5's filter 32008 with option 2, and DECTRIS' `bslz4`. The fastest.
  case bslz4
  /// Zstandard of level 1 behind a bit shuffle: filter 32008 with option 3.
  case bszstd
  /// The gaps between the ones of each bit plane in Rice's code: our own, for frames of few electrons.
  case bsgaps

  /// Pixels that are shuffled together take so many bytes in each of their planes.
  ///
  /// Bytes at a distance of 4096 share a few places of the first cache: 16 planes must not begin at multiples of it.
  private var planeBytes: Int {
    switch self {
    case .bslz4: 2048
    case .bszstd: 8192 + 64
    case .bsgaps: 16384 + 64
    }
  }

  func blockBytes(_ type: PixelType) -> Int { planeBytes * 8 * type.bytesPerPixel }
}

/// The framing that all methods share, that of HDF5's bitshuffle filter, all big-endian: u64 bytes of pixels, u32 bytes of
/// pixels in a block; for each block u32 bytes of data and the data. Pixels that fill no group of eight follow as they are.
enum FrameBlob {
  static let headerBytes = 12
  static let blockHeaderBytes = 4
}
