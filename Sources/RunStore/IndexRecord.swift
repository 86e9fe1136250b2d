import Linux

/// What stands in `frames-NNNN.idx` for each frame of a segment: 64 bytes, little-endian, appended after the frame's pixels
/// are on the file, so that a record never speaks of pixels that are not there.
///
///     offset  type  field
///          0  u64   frame_number      the camera's own count in its series, from 0
///          8  i64   device_time_ns    start of the exposure, camera's clock
///         16  i64   arrival_raw_ns    arrival here, CLOCK_MONOTONIC_RAW
///         24  i64   exposure_ns
///         32  u32   series
///         36  u32   flags             1 repeated, 2 no device time, 16 binned preview, 32 kept by looking back;
///                                     bits 16-31: camera frames in this one, less one
///         40  u64   position          index of the frame in the run, from 0
///         48  u32   step              index of the protocol step, 0xFFFFFFFF none
///         52  u32   pixel_crc32c      CRC-32C of the frame's pixel bytes
///         56  u32   ordinal           index of the frame in this segment, from 0
///         60  u32   record_crc32c     CRC-32C of the 60 bytes before
///
/// In numpy: `np.fromfile("frames-0000.idx", np.dtype([("frame_number", "<u8"), ("device_time_ns", "<i8"),
/// ("arrival_raw_ns", "<i8"), ("exposure_ns", "<i8"), ("series", "<u4"), ("flags", "<u4"), ("position", "<u8"),
/// ("step", "<u4"), ("pixel_crc32c", "<u4"), ("ordinal", "<u4"), ("record_crc32c", "<u4")]))`.
package struct IndexRecord: Hashable, Sendable {
  package static let byteCount = 64
  /// `step` of a frame that no protocol step asked for.
  package static let noStep = UInt32.max
  /// Bit of `flags`: the camera gave no time stamp that can be used (FRAME_RING_FLAG_NO_DEVICE_TIME).
  package static let noDeviceTime: UInt32 = 2

  /// The bits of `flags` that say how many camera frames are added up in one, at most 65 536.
  package static func sumBits(of frames: UInt64) -> UInt32 { UInt32(min(max(frames, 1), 65_536) - 1) << 16 }
  /// Camera frames in this one.
  package var frames: UInt64 { UInt64(flags >> 16) + 1 }

  package var frameNumber: UInt64
  package var deviceNanoseconds: Int64
  package var arrivalNanoseconds: Int64
  package var exposureNanoseconds: Int64
  package var series: UInt32
  package var flags: UInt32
  package var position: UInt64
  package var step: UInt32
  package var pixelCRC: UInt32
  package var ordinal: UInt32

  package init(
    frameNumber: UInt64, deviceNanoseconds: Int64, arrivalNanoseconds: Int64, exposureNanoseconds: Int64,
    series: UInt32, flags: UInt32, position: UInt64, step: UInt32, pixelCRC: UInt32, ordinal: UInt32
  ) {
    self.frameNumber = frameNumber
    self.deviceNanoseconds = deviceNanoseconds
    self.arrivalNanoseconds = arrivalNanoseconds
    self.exposureNanoseconds = exposureNanoseconds
    self.series = series
    self.flags = flags
    self.position = position
    self.step = step
    self.pixelCRC = pixelCRC
    self.ordinal = ordinal
  }

  /// Puts the record into the first 64 bytes of `bytes`.
  package func write(to bytes: UnsafeMutableRawBufferPointer) {
    unsafe bytes.storeBytes(of: frameNumber.littleEndian, toByteOffset: 0, as: UInt64.self)
    unsafe bytes.storeBytes(of: deviceNanoseconds.littleEndian, toByteOffset: 8, as: Int64.self)
    unsafe bytes.storeBytes(of: arrivalNanoseconds.littleEndian, toByteOffset: 16, as: Int64.self)
    unsafe bytes.storeBytes(of: exposureNanoseconds.littleEndian, toByteOffset: 24, as: Int64.self)
    unsafe bytes.storeBytes(of: series.littleEndian, toByteOffset: 32, as: UInt32.self)
    unsafe bytes.storeBytes(of: flags.littleEndian, toByteOffset: 36, as: UInt32.self)
    unsafe bytes.storeBytes(of: position.littleEndian, toByteOffset: 40, as: UInt64.self)
    unsafe bytes.storeBytes(of: step.littleEndian, toByteOffset: 48, as: UInt32.self)
    unsafe bytes.storeBytes(of: pixelCRC.littleEndian, toByteOffset: 52, as: UInt32.self)
    unsafe bytes.storeBytes(of: ordinal.littleEndian, toByteOffset: 56, as: UInt32.self)
    let sum = unsafe crc32c(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[..<60]))
    unsafe bytes.storeBytes(of: sum.littleEndian, toByteOffset: 60, as: UInt32.self)
  }

  /// Reads a record; nil when there are fewer than 64 bytes or its checksum is wrong.
  package init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= Self.byteCount,
      unsafe crc32c(UnsafeRawBufferPointer(rebasing: bytes[..<60]))
        == UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 60, as: UInt32.self))
    else { return nil }
    unsafe self.init(unchecked: bytes)
  }

  /// Reads the first 60 bytes, which somebody else has checked.
  init(unchecked bytes: UnsafeRawBufferPointer) {
    unsafe frameNumber = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
    unsafe deviceNanoseconds = Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: Int64.self))
    unsafe arrivalNanoseconds = Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: 16, as: Int64.self))
    unsafe exposureNanoseconds = Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: 24, as: Int64.self))
    unsafe series = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 32, as: UInt32.self))
    unsafe flags = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 36, as: UInt32.self))
    unsafe position = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 40, as: UInt64.self))
    unsafe step = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 48, as: UInt32.self))
    unsafe pixelCRC = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 52, as: UInt32.self))
    unsafe ordinal = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 56, as: UInt32.self))
  }
}
