package import SQLite

extension RunDatabase {
  /// The frames of a segment as the database knows them, by their offset in the file.
  package func frames(ofSegment segment: Int, frameBytes: Int, of camera: RunCamera = .first) throws(DatabaseError)
    -> [Int64: StoredFrame]
  {
    var frames: [Int64: StoredFrame] = [:]
    try database.statement(
      """
      SELECT id, series, frame_number, device_time_ns, exposure_ns, arrival_raw_ns, flags, step, offset_bytes,
             pixel_crc32c FROM frame WHERE segment = ?1 AND camera = ?2
      """
    ).forEach([.integer(Int64(segment)), .integer(Int64(camera.id))]) { row in
      let offset = row.integer(8)
      let record = IndexRecord(
        frameNumber: UInt64(bitPattern: row.integer(2)), deviceNanoseconds: row.integer(3),
        arrivalNanoseconds: row.integer(5), exposureNanoseconds: row.integer(4),
        series: UInt32(truncatingIfNeeded: row.integer(1)), flags: UInt32(truncatingIfNeeded: row.integer(6)),
        position: RunCamera.position(ofRow: row.integer(0)),
        step: row.optionalInteger(7).map { UInt32(truncatingIfNeeded: $0) } ?? IndexRecord.noStep,
        pixelCRC: UInt32(truncatingIfNeeded: row.integer(9)),
        ordinal: UInt32(truncatingIfNeeded: (offset - Int64(MRCHeader.byteCount)) / Int64(max(1, frameBytes))))
      frames[offset] = StoredFrame(record: record, segment: segment, offsetBytes: offset)
    }
    return frames
  }
}
