internal import Alignment
package import Quantities
package import SQLite

/// Fits the clocks of a stored run and says which voltage, current, charge and dose belong to which frame
/// (tables `clock_model` and `frame_value`). Run again it gives the same rows.
package enum RunAlignment {
  package struct Options: Sendable {
    /// Dose rate at the sample, e/Å²/s, from the start of the run on: the beam is taken to be on for all of it.
    /// nil: not known, no dose is written.
    package var doseRate: Double?
    /// Standard uncertainty of the dose rate as a share of it.
    package var doseRateUncertainty: Double
    /// Without clock pairs: the least delayed message of a device is at most this late.
    package var arrivalLatency: Seconds

    package init(
      doseRate: Double? = nil, doseRateUncertainty: Double = 0.1, arrivalLatency: Seconds = Seconds(0.1)
    ) {
      self.doseRate = doseRate
      self.doseRateUncertainty = doseRateUncertainty
      self.arrivalLatency = arrivalLatency
    }
  }

  package struct Summary: Equatable, Sendable {
    package var frames = 0
    /// Frames with at least one sample in their exposure, and frames whose values are interpolated.
    package var framesWithSamples = 0
    package var framesInterpolated = 0
    /// Standard uncertainty of the alignment in time: median and 95th percentile over the frames; nil without frames.
    package var timeUncertainty: Seconds?
    package var timeUncertainty95: Seconds?
    package var clocks: [Clock] = []
  }

  /// A device's clock as it was fitted.
  package struct Clock: Equatable, Sendable {
    package var device: String
    package var method: String
    package var segments: Int
    package var pairs: Int
    package var rejectedPairs: Int
    /// rate − 1 of the last segment, parts per million, and the half-width at its reference.
    package var drift_ppm: Double
    package var bound: Seconds
  }

  /// Frames of one transaction.
  private static let framesAtOnce = 50_000

  /// Aligns the whole run in `database`, which must be open for writing.
  ///
  /// `device.details_json` may say (all optional): `exposure_offset_ns` (camera: added to its stamps),
  /// `accuracy_current_A` and `accuracy_voltage_V` (potentiostat: limits of error of the reading),
  /// `sample_offset_ns` (potentiostat), `clock_tick_ns` and `clock_rate_error` (both).
  package static func align(database: Database, options: Options = Options()) throws(DatabaseError) -> Summary {
    var summary = Summary()
    var cameras = try RunDatabase.cameras(of: database)
    if cameras.isEmpty { cameras = [.first] }
    let clocks = try DeviceClocks(database, cameras, options)
    summary.clocks = clocks.summary
    try clocks.write(database)
    for camera in cameras {
      guard let clock = clocks[camera.name], let potentiostat = clocks["potentiostat"] else { continue }
      try align(database, camera, clock, potentiostat, options, &summary)
    }
    try database.run("DELETE FROM frame_value WHERE frame NOT IN (SELECT id FROM frame)")
    let uncertainty = try TimeUncertainty(database)
    summary.timeUncertainty = uncertainty.percentile(50).map { Seconds($0) }
    summary.timeUncertainty95 = uncertainty.percentile(95).map { Seconds($0) }
    return summary
  }

  /// The frames of one camera.
  private static func align(
    _ database: Database, _ which: RunCamera, _ camera: DeviceClock, _ potentiostat: DeviceClock, _ options: Options,
    _ summary: inout Summary
  ) throws(DatabaseError) {
    // A limit of error is a rectangular distribution.
    let settings = FrameAligner.Settings(
      voltageSystematic: potentiostat.details.accuracyVoltage / 3.0.squareRoot(),
      currentSystematic: potentiostat.details.accuracyCurrent / 3.0.squareRoot(),
      sampleTick: potentiostat.details.tick, frameTick: camera.details.tick)
    var aligner = FrameAligner(settings)
    var samples = SampleReader(potentiostat)
    let started = try database.rows("SELECT started_raw_ns AS s FROM run").first?.integer("s") ?? 0
    var last = which.row(of: 0) - 1
    while true {
      let frames = try exposures(database, after: last, which, camera, options)
      guard let first = frames.first, let end = frames.last else { break }
      let ids = (first.id, end.id)
      last = end.id
      try database.transaction { () throws(DatabaseError) in
        try database.run("DELETE FROM frame_value WHERE frame BETWEEN ?1 AND ?2", .integer(ids.0), .integer(ids.1))
        // Stamps of a camera may run back for a frame or two; the aligner's cursor should not.
        for frame in frames.sorted(by: { ($0.exposure.start, $0.id) < ($1.exposure.start, $1.id) }) {
          if aligner.hasPassed(frame.exposure) {
            aligner = FrameAligner(settings)
            samples = SampleReader(potentiostat)
          }
          while aligner.needsSamples(for: frame.exposure) {
            let more = try samples.next(database)
            aligner.append(more)
            if more.isEmpty { aligner.finish() }
          }
          let value = aligner.value(of: frame.exposure)
          summary.frames += 1
          if value.samples > 0 { summary.framesWithSamples += 1 }
          if value.samples == 0 && value.voltage != nil { summary.framesInterpolated += 1 }
          try insert(database, frame, value, MonotonicTime(nanoseconds: started), options)
        }
      }
    }
  }

  private struct Frame {
    var id: Int64
    var exposure: Exposure
  }

  private static func exposures(
    _ database: Database, after last: Int64, _ which: RunCamera, _ camera: DeviceClock, _ options: Options
  ) throws(DatabaseError) -> [Frame] {
    var frames: [Frame] = []
    let query = """
      SELECT id, device_time_ns, exposure_ns, arrival_raw_ns, flags FROM frame WHERE id > ?1 AND camera = \(which.id)
      ORDER BY id LIMIT \(framesAtOnce)
      """
    try database.statement(query).forEach([.integer(last)]) { row in
      let length = Seconds(nanoseconds: max(0, row.integer(2)))
      let arrival = MonotonicTime(nanoseconds: row.integer(3))
      let hasDeviceTime = row.integer(4) & Int64(IndexRecord.noDeviceTime) == 0
      let stamp = row.integer(1) + camera.details.offset
      var exposure: Exposure
      if hasDeviceTime, let start = camera.model?.host(atDevice: stamp, arrival: arrival) {
        exposure = Exposure(start: start.time, stop: start.time + length, halfWidth: start.halfWidth)
      } else {
        // Only known: it was over when it arrived, and not longer before than a message takes.
        let half = options.arrivalLatency * 0.5
        exposure = Exposure(start: arrival - half - length, stop: arrival - half, halfWidth: half)
      }
      frames.append(Frame(id: row.integer(0), exposure: exposure))
    }
    return frames
  }

  private static func insert(
    _ database: Database, _ frame: Frame, _ value: FrameValue, _ started: MonotonicTime, _ options: Options
  ) throws(DatabaseError) {
    // Of a frame from before the run, kept by looking back, nobody knows the dose.
    let elapsed = (frame.exposure.stop - started).value
    let dose = elapsed >= 0 ? options.doseRate.map { $0 * elapsed } : nil
    let v = value.voltage
    let i = value.current
    try database.run(
      "INSERT INTO frame_value VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)",
      .integer(frame.id), .integer(frame.exposure.start.nanoseconds), .integer(frame.exposure.stop.nanoseconds),
      .real(value.timeUncertainty.value), .integer(Int64(value.samples)),
      .optional(v?.mean), .optional(v?.minimum), .optional(v?.maximum), .optional(v?.uncertainty),
      .optional(i?.mean), .optional(i?.minimum), .optional(i?.maximum), .optional(i?.uncertainty),
      .optional(value.charge), .optional(value.chargeUncertainty),
      .optional(dose), .optional(dose.map { $0 * options.doseRateUncertainty }))
  }
}
