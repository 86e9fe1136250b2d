package import Pixels

/// How the pixels of a frame stand in a compressed segment (docs/files.md).
package enum FrameEncoding: UInt32, Sendable {
  /// As they came.
  case raw = 0
  case bslz4 = 1
  case bszstd = 2
  case bsgaps = 3

  package init(_ method: FrameCompression) {
    switch method {
    case .bslz4: self = .bslz4
    case .bszstd: self = .bszstd
    case .bsgaps: self = .bsgaps
    }
  }

  /// nil: not compressed.
  package var method: FrameCompression? {
    switch self {
    case .raw: nil
    case .bslz4: .bslz4
    case .bszstd: .bszstd
    case .bsgaps: .bsgaps
    }
  }
}

/// What a segment is made of.
package enum SegmentFormat: Sendable {
  /// MRC2014: raw frames and nothing else.
  case plain
  /// Frames one after the other, each as few bytes as it could be made.
  case compressed

  package var ending: String { self == .plain ? ".mrc" : ".bsf" }
  /// Bytes of an index record.
  package var recordBytes: Int { self == .plain ? IndexRecord.byteCount : StoredFrame.byteCount }
}

/// The first page of a segment.
package struct SegmentHeader: Hashable, Sendable {
  package static let byteCount = 4096

  package var format: SegmentFormat
  package var shape: FrameShape
  /// Never more than what is on the disk.
  package var frames: Int
  /// A line for people, ASCII, at most 80 bytes.
  package var note: String

  package init(format: SegmentFormat, shape: FrameShape, frames: Int, note: String = "") {
    self.format = format
    self.shape = shape
    self.frames = frames
    self.note = note
  }

  package var bytes: [UInt8] {
    switch format {
    case .plain: MRCHeader(shape: shape, frames: frames, note: note).bytes
    case .compressed: blobBytes
    }
  }

  package init(_ bytes: [UInt8], _ format: SegmentFormat) throws(RunStoreError) {
    switch format {
    case .plain:
      let header = try MRCHeader(bytes)
      self.init(format: .plain, shape: header.shape, frames: header.frames, note: header.note)
    case .compressed: try self.init(blobs: bytes)
    }
  }

  // MARK: Compressed segments

  //     offset  type  field
  //          0  8 B   magic             "INSITBSF"
  //          8  u32   version           1
  //         12  u32   header_bytes      4096: where the first frame begins
  //         16  u32   width
  //         20  u32   height
  //         24  u32   bytes_per_pixel   1, 2 or 4: unsigned, little-endian
  //         28  u32   frames            on the file and in the index
  //         32  u32   record_bytes      96: of the index
  //         64  80 B  note
  //        256        what to do with it, in words
  private static let magic = Array("INSITBSF".utf8)
  private static let version = 1
  private static let noteOffset = 64
  private static let noteBytes = 80
  private static let wordsOffset = 256

  private var words: String {
    """
    insitud, compressed frames of \(shape.width)x\(shape.height) pixels, numpy dtype \(shape.pixelName).
    The frames stand one after the other from byte 4096. Each has a record of 96 bytes in the file of the same
    name that ends in .idx, which says where it begins, how many bytes it has and how they are encoded:
    0 as it is; 1, 2 the framing of HDF5's bitshuffle filter (32008) with LZ4 or Zstandard; 3 docs/frame-compression.md.
    numpy dtype of the index: \(StoredFrame.numpyType)
    insituctl export RUN --format mrc writes them as plain MRC2014.

    """
  }

  private var blobBytes: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Self.byteCount)
    func put(_ text: some Sequence<UInt8>, at offset: Int) {
      for (k, byte) in text.enumerated() { bytes[offset + k] = byte < 128 ? byte : UInt8(ascii: "?") }
    }
    put(Self.magic, at: 0)
    let numbers = [
      Self.version, Self.byteCount, shape.width, shape.height, shape.bytesPerPixel, frames, StoredFrame.byteCount,
    ]
    for (k, number) in numbers.enumerated() {
      for byte in 0..<4 { bytes[8 + 4 * k + byte] = UInt8(truncatingIfNeeded: number >> (8 * byte)) }
    }
    put(note.utf8.prefix(Self.noteBytes), at: Self.noteOffset)
    put(words.utf8.prefix(Self.byteCount - Self.wordsOffset), at: Self.wordsOffset)
    return bytes
  }

  private init(blobs bytes: [UInt8]) throws(RunStoreError) {
    func damaged(_ what: String) -> RunStoreError { RunStoreError(.damaged, "the header of the segment \(what)") }
    guard bytes.count >= Self.byteCount else { throw damaged("has \(bytes.count) of \(Self.byteCount) bytes") }
    guard Array(bytes[..<8]) == Self.magic else { throw damaged("has no mark INSITBSF") }
    let numbers = (0..<7).map { k in (0..<4).reduce(0) { $0 | Int(bytes[8 + 4 * k + $1]) << (8 * $1) } }
    guard numbers[0] == Self.version, numbers[1] == Self.byteCount, numbers[6] == StoredFrame.byteCount else {
      throw damaged("is of version \(numbers[0]), which is not known")
    }
    guard (1..<1 << 20).contains(numbers[2]), (1..<1 << 20).contains(numbers[3]), [1, 2, 4].contains(numbers[4]) else {
      throw damaged("says \(numbers[2])×\(numbers[3]) pixels of \(numbers[4]) bytes")
    }
    let note = bytes[Self.noteOffset..<Self.noteOffset + Self.noteBytes].prefix { $0 != 0 }
    self.init(
      format: .compressed, shape: FrameShape(width: numbers[2], height: numbers[3], bytesPerPixel: numbers[4]),
      frames: numbers[5], note: String(decoding: note, as: UTF8.self))
  }
}
