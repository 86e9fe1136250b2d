package import SQLite

extension RunDatabase {
  /// The frames of a segment as the database knows them, by their offset in the file.
  package func frames(of contents: SegmentContents) throws(DatabaseError) -> [Int64: StoredFrame] {
    var frames: [Int64: StoredFrame] = [:]
    let frameBytes = contents.header?.shape.bytes ?? 0
    var first: UInt64?
    try database.statement(
      """
      SELECT id, series, frame_number, device_time_ns, exposure_ns, arrival_raw_ns, flags, step, offset_bytes,
             pixel_crc32c, stored_bytes, encoding FROM frame WHERE segment = ?1 AND camera = ?2 ORDER BY id
      """
    ).forEach([.integer(Int64(contents.number)), .integer(Int64(contents.camera.id))]) { row in
      let offset = row.integer(8)
      let position = RunCamera.position(ofRow: row.integer(0))
      first = first ?? position
      let record = IndexRecord(
        frameNumber: UInt64(bitPattern: row.integer(2)), deviceNanoseconds: row.integer(3),
        arrivalNanoseconds: row.integer(5), exposureNanoseconds: row.integer(4),
        series: UInt32(truncatingIfNeeded: row.integer(1)), flags: UInt32(truncatingIfNeeded: row.integer(6)),
        position: position,
        step: row.optionalInteger(7).map { UInt32(truncatingIfNeeded: $0) } ?? IndexRecord.noStep,
        pixelCRC: UInt32(truncatingIfNeeded: row.integer(9)),
        ordinal: UInt32(truncatingIfNeeded: position - (first ?? 0)))
      var frame = StoredFrame(
        record: record, segment: contents.number, offsetBytes: offset,
        storedBytes: row.optionalInteger(10).map(Int.init) ?? frameBytes,
        encoding: FrameEncoding(rawValue: UInt32(truncatingIfNeeded: row.integer(11))) ?? .raw)
      frame.record.ordinal = UInt32(truncatingIfNeeded: contents.ordinal(of: frame))
      frames[offset] = frame
    }
    return frames
  }
}
