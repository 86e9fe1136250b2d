package import Quantities
package import SQLite

/// What the store thread appends, inside its transactions. Values only.
extension RunDatabase {
  package func append(samples: [StoredSample]) throws(DatabaseError) {
    let insert = try database.statement(
      """
      INSERT INTO sample (device_time_ns, arrival_raw_ns, voltage_V, current_A, range_A, aperture_ns, flags, step, charge_C)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
      """)
    for stored in samples {
      let sample = stored.sample
      try insert.run([
        .integer(sample.deviceNanoseconds), .integer(sample.arrival.nanoseconds), .optional(sample.voltage?.value),
        .optional(sample.current?.value), .real(sample.range.value), .integer(sample.aperture.nanoseconds),
        .integer(Int64(sample.flags.rawValue)), .integer(Int64(stored.step)), .real(stored.charge.value),
      ])
    }
  }

  /// The cameras that take part, by id.
  package func cameras() throws(DatabaseError) -> [RunCamera] { try Self.cameras(of: database) }

  static func cameras(of database: Database) throws(DatabaseError) -> [RunCamera] {
    try database.rows("SELECT id, name FROM camera ORDER BY id").map {
      RunCamera(id: Int($0.integer("id") ?? 0), name: $0.text("name") ?? "")
    }
  }

  /// Frames that are on the file: what `SegmentWriter` gave to `stored`.
  package func append(frames: [StoredFrame], of camera: RunCamera = .first) throws(DatabaseError) {
    let insert = try database.statement("INSERT \(Self.frameColumns)")
    for frame in frames { try insert.run(Self.values(frame, camera)) }
  }

  static let frameColumns = """
    INTO frame (id, series, frame_number, device_time_ns, exposure_ns, arrival_raw_ns, flags, step, segment,
                offset_bytes, pixel_crc32c, camera, stored_bytes, encoding)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
    """

  static func values(_ frame: StoredFrame, _ camera: RunCamera) -> [Database.Value] {
    let record = frame.record
    return [
      .integer(camera.row(of: record.position)), .integer(Int64(record.series)),
      .integer(Int64(bitPattern: record.frameNumber)), .integer(record.deviceNanoseconds),
      .integer(record.exposureNanoseconds), .integer(record.arrivalNanoseconds), .integer(Int64(record.flags)),
      record.step == IndexRecord.noStep ? .null : .integer(Int64(record.step)), .integer(Int64(frame.segment)),
      .integer(frame.offsetBytes), .integer(Int64(record.pixelCRC)), .integer(Int64(camera.id)),
      .integer(Int64(frame.storedBytes)), .integer(Int64(frame.encoding.rawValue)),
    ]
  }

  package func append(readings: [ReadingRecord]) throws(DatabaseError) {
    let insert = try database.statement(
      "INSERT INTO reading (raw_ns, device, quantity, value, unit) VALUES (?1, ?2, ?3, ?4, ?5)")
    for reading in readings {
      try insert.run([
        .integer(reading.time.nanoseconds), .text(reading.device), .text(reading.quantity), .optional(reading.value),
        .text(reading.unit),
      ])
    }
  }

  package func append(event: EventRecord) throws(DatabaseError) {
    try database.run(
      "INSERT INTO event (raw_ns, unix_ns, kind, message, details_json) VALUES (?1, ?2, ?3, ?4, ?5)",
      .integer(event.time.nanoseconds), .integer(event.unixNanoseconds), .text(event.kind), .text(event.message),
      .optional(event.detailsJSON))
  }

  package func append(note text: String, at time: MonotonicTime, unixNanoseconds: Int64) throws(DatabaseError) {
    try database.run(
      "INSERT INTO note (raw_ns, unix_ns, text) VALUES (?1, ?2, ?3)", .integer(time.nanoseconds),
      .integer(unixNanoseconds), .text(text))
  }

  package func append(clockPairs: [ClockPair], device: String) throws(DatabaseError) {
    let insert = try database.statement(
      "INSERT INTO clock_pair (device, device_time_ns, earliest_raw_ns, latest_raw_ns) VALUES (?1, ?2, ?3, ?4)")
    for pair in clockPairs {
      try insert.run([
        .text(device), .integer(pair.deviceNanoseconds), .optional(pair.earliest?.nanoseconds),
        .optional(pair.latest?.nanoseconds),
      ])
    }
  }

  package func append(hostClock: HostClockReading) throws(DatabaseError) {
    try database.run(
      "INSERT OR IGNORE INTO host_clock VALUES (?1, ?2, ?3)", .integer(hostClock.raw.nanoseconds),
      .integer(hostClock.monotonicNanoseconds), .integer(hostClock.unixNanoseconds))
  }

  package func append(gaps: [GapRecord]) throws(DatabaseError) {
    let insert = try database.statement(
      "INSERT INTO gap (series, first_frame, last_frame, frames, cause, camera) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
    for gap in gaps {
      try insert.run([
        .integer(Int64(bitPattern: gap.series)), .integer(Int64(bitPattern: gap.first)),
        .integer(Int64(bitPattern: gap.last)), .integer(Int64(bitPattern: gap.frames)), .text(gap.cause),
        .integer(Int64(gap.camera)),
      ])
    }
  }

  /// Puts an instrument in, or what is now known of it.
  package func set(device: DeviceRecord) throws(DatabaseError) {
    try database.run(
      """
      INSERT INTO device (kind, model, identity, connection, details_json) VALUES (?1, ?2, ?3, ?4, ?5)
      ON CONFLICT (kind) DO UPDATE SET model = ?2, identity = ?3, connection = ?4, details_json = ?5
      """,
      .text(device.kind), .text(device.model), .text(device.identity), .text(device.connection),
      .text(device.detailsJSON))
  }

  package func begin(step: StepRecord) throws(DatabaseError) {
    try database.run(
      "INSERT INTO step (id, cycle, label, sentence, line, started_raw_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
      .integer(Int64(step.index)), .integer(Int64(step.cycle)), .optional(step.label), .text(step.sentence),
      .integer(Int64(step.line)), .integer(step.started.nanoseconds))
  }

  /// - Parameters:
  ///   - reason: what ended it, in words: "4.2 V reached", "30 min over", "stopped".
  ///   - charge: moved in this step.
  package func end(step index: Int, at time: MonotonicTime, by reason: String, charge: Coulombs?) throws(DatabaseError)
  {
    try database.run(
      "UPDATE step SET ended_raw_ns = ?2, ended_by = ?3, charge_C = ?4 WHERE id = ?1", .integer(Int64(index)),
      .integer(time.nanoseconds), .text(reason), .optional(charge?.value))
  }
}

extension Database.Row {
  /// A column that counts; 0 when it is NULL.
  package func count(_ name: String) -> UInt64 { UInt64(bitPattern: integer(name) ?? 0) }
}
