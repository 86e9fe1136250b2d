/// Width, height and pixel width of the frames of a segment.
package struct FrameShape: Hashable, Sendable, CustomStringConvertible {
  package var width: Int
  package var height: Int
  /// 1, 2 or 4: unsigned integers, little-endian.
  package var bytesPerPixel: Int

  package init(width: Int, height: Int, bytesPerPixel: Int) {
    self.width = width
    self.height = height
    self.bytesPerPixel = bytesPerPixel
  }

  package var bytes: Int { width * height * bytesPerPixel }
  /// As numpy writes it: "|u1", "<u2", "<u4".
  package var pixelName: String { bytesPerPixel == 1 ? "|u1" : "<u\(bytesPerPixel)" }
  package var description: String { "\(width)×\(height) \(pixelName)" }
}

/// The 4096 bytes before the frames of a segment: an MRC2014 header of 1024 bytes and 3072 bytes of empty extended header
/// (so that frames begin on a page; formats.md §1.4).
///
/// Pixels of 2 bytes are mode 6. MRC has no mode for the others, and the bytes on the file are never changed: pixels of 1 byte
/// are mode 0 (readers that take them as signed need `.view("u1")`), pixels of 4 bytes are mode 6 with twice the
/// columns (`.view("<u4")`). The first label says so: `insitud <u4 1024x1024, raw frames from byte 4096`.
package struct MRCHeader: Hashable, Sendable {
  package static let byteCount = 4096
  private static let longestLabel = 80

  package var shape: FrameShape
  /// `nz`: never more than what is on the disk.
  package var frames: Int
  /// A second line for people, ASCII, at most 80 bytes.
  package var note: String

  package init(shape: FrameShape, frames: Int, note: String = "") {
    self.shape = shape
    self.frames = frames
    self.note = note
  }

  private var columns: Int { shape.bytesPerPixel == 4 ? shape.width * 2 : shape.width }
  private var title: String { "insitud \(shape.pixelName) \(shape.width)x\(shape.height), raw frames from byte 4096" }

  package var bytes: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Self.byteCount)
    func put(_ value: Int, at offset: Int) {
      for k in 0..<4 { bytes[offset + k] = UInt8(truncatingIfNeeded: value >> (8 * k)) }
    }
    func put(_ value: Float, at offset: Int) { put(Int(value.bitPattern), at: offset) }
    func put(_ text: String, at offset: Int, most: Int) {
      for (k, byte) in text.utf8.prefix(most).enumerated() { bytes[offset + k] = byte < 128 ? byte : UInt8(ascii: "?") }
    }
    put(columns, at: 0)
    put(shape.height, at: 4)
    put(frames, at: 8)
    put(shape.bytesPerPixel == 1 ? 0 : 6, at: 12)
    put(columns, at: 28)
    put(shape.height, at: 32)
    put(1, at: 36)  // mz: one section per picture of a stack
    // The cell (40–51) stays 0: the pixel size is not known here, and 0 is how MRC says so.
    for offset in [52, 56, 60] { put(Float(90), at: offset) }
    for axis in 0..<3 { put(axis + 1, at: 64 + 4 * axis) }
    // Undetermined statistics as MRC2014 has it: dmax < dmin, dmean < both, rms < 0.
    put(Float(0), at: 76)
    put(Float(-1), at: 80)
    put(Float(-2), at: 84)
    put(Float(-1), at: 216)
    put(0, at: 88)  // ISPG 0: a stack of pictures, not a volume
    put(Self.byteCount - 1024, at: 92)
    put("SERI", at: 104, most: 4)
    put(20140, at: 108)
    put("MAP ", at: 208, most: 4)
    bytes[212] = 0x44  // little-endian
    bytes[213] = 0x44
    put(note.isEmpty ? 1 : 2, at: 220)
    put(title, at: 224, most: Self.longestLabel)
    put(note, at: 224 + Self.longestLabel, most: Self.longestLabel)
    return bytes
  }

  /// Reads the first 1024 bytes of a segment; the error says what is wrong with them.
  package init(_ bytes: [UInt8]) throws(RunStoreError) {
    func damaged(_ what: String) -> RunStoreError { RunStoreError(.damaged, "the MRC header \(what)") }
    guard bytes.count >= 1024 else { throw damaged("has \(bytes.count) of 1024 bytes") }
    func word(_ offset: Int) -> Int {
      Int(Int32(truncatingIfNeeded: (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }))
    }
    func text(_ offset: Int, _ most: Int) -> String {
      String(decoding: bytes[offset..<offset + most].prefix { $0 != 0 }, as: UTF8.self)
    }
    guard text(208, 4) == "MAP ", bytes[212] == 0x44, bytes[213] == 0x44 else { throw damaged("has no MAP stamp") }
    guard word(92) == Self.byteCount - 1024 else {
      throw damaged("says \(word(92)) bytes of extended header instead of \(Self.byteCount - 1024)")
    }
    let (columns, rows, mode) = (word(0), word(4), word(12))
    guard columns > 0, rows > 0, columns < 1 << 20, rows < 1 << 20, mode == 0 || mode == 6, word(8) >= 0 else {
      throw damaged("says \(columns)×\(rows)×\(word(8)), mode \(mode)")
    }
    let wide = mode == 6 && columns.isMultiple(of: 2) && text(224, Self.longestLabel).hasPrefix("insitud <u4 ")
    shape = FrameShape(width: wide ? columns / 2 : columns, height: rows, bytesPerPixel: wide ? 4 : mode == 0 ? 1 : 2)
    frames = word(8)
    note = word(220) > 1 ? text(224 + Self.longestLabel, Self.longestLabel) : ""
  }
}
