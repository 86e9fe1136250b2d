import Linux

/// A frame that is on the file, with its place. In the index of a compressed segment it is a record of 96 bytes,
/// little-endian:
///
///     offset  type  field
///       0-59        as in `IndexRecord`
///         60  u32   encoding          0 raw, 1 bslz4, 2 bszstd, 3 bsgaps
///         64  u64   offset_bytes      of its first byte in the segment
///         72  u64   stored_bytes      from there on
///         80  u32   stored_crc32c     CRC-32C of those bytes
///         84        8 bytes of 0
///         92  u32   record_crc32c     CRC-32C of the 92 bytes before
package struct StoredFrame: Hashable, Sendable {
  package static let byteCount = 96
  package static let numpyType = """
    [("frame_number", "<u8"), ("device_time_ns", "<i8"), ("arrival_raw_ns", "<i8"), ("exposure_ns", "<i8"), \
    ("series", "<u4"), ("flags", "<u4"), ("position", "<u8"), ("step", "<u4"), ("pixel_crc32c", "<u4"), \
    ("ordinal", "<u4"), ("encoding", "<u4"), ("offset_bytes", "<u8"), ("stored_bytes", "<u8"), \
    ("stored_crc32c", "<u4"), ("zero", "<u8"), \
    ("record_crc32c", "<u4")]
    """

  package var record: IndexRecord
  package var segment: Int
  /// Of the first byte in the segment's file.
  package var offsetBytes: Int64
  /// From there on.
  package var storedBytes: Int
  package var encoding: FrameEncoding
  /// CRC-32C of the stored bytes; nil where it was not looked up: the database does not have it.
  package var storedCRC: UInt32?

  package init(
    record: IndexRecord, segment: Int, offsetBytes: Int64, storedBytes: Int, encoding: FrameEncoding = .raw,
    storedCRC: UInt32? = nil
  ) {
    self.record = record
    self.segment = segment
    self.offsetBytes = offsetBytes
    self.storedBytes = storedBytes
    self.encoding = encoding
    self.storedCRC = storedCRC
  }

  package var end: Int64 { offsetBytes + Int64(storedBytes) }

  /// Puts the record of the index into the first 64 or 96 bytes of `bytes`.
  package func write(to bytes: UnsafeMutableRawBufferPointer, as format: SegmentFormat) {
    unsafe record.write(to: bytes)
    guard format == .compressed else { return }
    unsafe bytes.storeBytes(of: encoding.rawValue.littleEndian, toByteOffset: 60, as: UInt32.self)
    unsafe bytes.storeBytes(of: UInt64(offsetBytes).littleEndian, toByteOffset: 64, as: UInt64.self)
    unsafe bytes.storeBytes(of: UInt64(storedBytes).littleEndian, toByteOffset: 72, as: UInt64.self)
    unsafe bytes.storeBytes(of: (storedCRC ?? 0).littleEndian, toByteOffset: 80, as: UInt32.self)
    unsafe bytes.storeBytes(of: 0, toByteOffset: 84, as: UInt64.self)
    let sum = unsafe crc32c(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[..<92]))
    unsafe bytes.storeBytes(of: sum.littleEndian, toByteOffset: 92, as: UInt32.self)
  }

  /// Reads a record of the index; nil when there are too few bytes, its checksum is wrong, or it says what cannot be.
  package init?(_ bytes: UnsafeRawBufferPointer, _ header: SegmentHeader?, segment: Int, as format: SegmentFormat) {
    switch format {
    case .plain:
      guard let record = unsafe IndexRecord(bytes) else { return nil }
      let each = header?.shape.bytes ?? 0
      self.init(
        record: record, segment: segment,
        offsetBytes: Int64(SegmentHeader.byteCount) + Int64(record.ordinal) * Int64(each), storedBytes: each,
        storedCRC: record.pixelCRC)
    case .compressed:
      guard bytes.count >= Self.byteCount,
        unsafe crc32c(UnsafeRawBufferPointer(rebasing: bytes[..<92]))
          == UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 92, as: UInt32.self))
      else { return nil }
      let encoding = unsafe UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 60, as: UInt32.self))
      let offset = unsafe UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 64, as: UInt64.self))
      let stored = unsafe UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 72, as: UInt64.self))
      guard let encoding = FrameEncoding(rawValue: encoding), offset >= UInt64(SegmentHeader.byteCount),
        offset < 1 << 48, stored > 0, stored < 1 << 32
      else { return nil }
      self.init(
        record: unsafe IndexRecord(unchecked: bytes), segment: segment, offsetBytes: Int64(offset),
        storedBytes: Int(stored), encoding: encoding,
        storedCRC: UInt32(littleEndian: unsafe bytes.loadUnaligned(fromByteOffset: 80, as: UInt32.self)))
    }
  }
}
