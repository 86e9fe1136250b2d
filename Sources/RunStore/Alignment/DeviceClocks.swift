import Alignment
import JSON
import Quantities
import SQLite

/// What a device's row says of its clock and its readings; see `RunAlignment.align`.
struct DeviceDetails {
  /// Known fixed delay, added to the device's stamps, ns.
  var offset: Int64 = 0
  var tick = Seconds(1e-9)
  var rateError = 500e-6
  /// Limits of error of a reading, A and V.
  var accuracyCurrent = 0.0
  var accuracyVoltage = 0.0

  init(_ text: String?) {
    guard let text, let json = try? JSONValue(parsing: text) else { return }
    offset = json["exposure_offset_ns"]?.integer ?? json["sample_offset_ns"]?.integer ?? 0
    if let value = json["clock_tick_ns"]?.double, value > 0 { tick = Seconds(value * 1e-9) }
    if let value = json["clock_rate_error"]?.double, value > 0, value < 1 { rateError = value }
    accuracyCurrent = abs(json["accuracy_current_A"]?.double ?? 0)
    accuracyVoltage = abs(json["accuracy_voltage_V"]?.double ?? 0)
  }
}

struct DeviceClock {
  var device: String
  var details: DeviceDetails
  /// nil: neither clock pairs nor stamps to fit.
  var model: ClockModel?
}

/// The clocks of all devices of a run.
struct DeviceClocks {
  static let arrivalOnly = "arrival only"
  /// One pair says nothing of the rate: stamps on arrival may say more.
  private static let fewestPairs = 2

  private var clocks: [String: DeviceClock] = [:]

  subscript(_ device: String) -> DeviceClock? { clocks[device] }

  init(_ database: Database, _ cameras: [RunCamera], _ options: RunAlignment.Options) throws(DatabaseError) {
    var details: [String: DeviceDetails] = [:]
    try database.statement("SELECT kind, details_json FROM device ORDER BY kind").forEach { row in
      if let kind = row.text(0) { details[kind] = DeviceDetails(row.text(1)) }
    }
    var pairs: [String: [ClockPair]] = ["potentiostat": []]
    for camera in cameras { pairs[camera.name] = [] }
    let query = "SELECT device, device_time_ns, earliest_raw_ns, latest_raw_ns FROM clock_pair ORDER BY id"
    try database.statement(query).forEach { row in
      guard let device = row.text(0) else { return }
      pairs[device, default: []].append(
        ClockPair(
          deviceNanoseconds: row.integer(1), earliest: row.optionalInteger(2).map { MonotonicTime(nanoseconds: $0) },
          latest: row.optionalInteger(3).map { MonotonicTime(nanoseconds: $0) }))
    }
    for (device, pairs) in pairs {
      let details = details[device] ?? DeviceDetails(nil)
      var model = ClockFit.fit(
        pairs: pairs, maximumRateError: details.rateError, tick: details.tick, maximumLatency: options.arrivalLatency)
      if pairs.count < Self.fewestPairs || model == nil {
        let camera = cameras.first { $0.name == device }
        model = try Self.fitArrivals(database, device, camera, details, options) ?? model
      }
      clocks[device] = DeviceClock(device: device, details: details, model: model)
    }
  }

  /// Stamps on arrival as pairs with a latest time: the least delayed of each tenth of a second.
  private static func fitArrivals(
    _ database: Database, _ device: String, _ camera: RunCamera?, _ details: DeviceDetails,
    _ options: RunAlignment.Options
  ) throws(DatabaseError) -> ClockModel? {
    // A sample's or a frame's message cannot leave before its aperture has closed.
    let source: String
    if let camera {
      source = """
        SELECT device_time_ns + exposure_ns AS d, arrival_raw_ns AS a FROM frame
        WHERE camera = \(camera.id) AND flags & \(IndexRecord.noDeviceTime) = 0
        """
    } else if device == "potentiostat" {
      source = "SELECT device_time_ns + aperture_ns / 2 AS d, arrival_raw_ns AS a FROM sample"
    } else {
      return nil
    }
    let span = try database.rows("SELECT max(d) - min(d) AS span FROM (\(source))").first?.integer("span") ?? 0
    let bucket = max(100_000_000, span / mostBuckets)
    var pairs: [ClockPair] = []
    // SQLite takes the other columns from the row that has the minimum (lang_select.html, "bare columns").
    let query = "SELECT d, a, min(a - d) FROM (\(source)) GROUP BY d / \(bucket) ORDER BY a, d"
    try database.statement(query).forEach { row in
      pairs.append(
        ClockPair(
          deviceNanoseconds: row.integer(0), earliest: nil, latest: MonotonicTime(nanoseconds: row.integer(1))))
    }
    let fitted = ClockFit.fit(
      pairs: pairs, maximumRateError: details.rateError, tick: details.tick, maximumLatency: options.arrivalLatency)
    return fitted.map { model in
      ClockModel(
        segments: model.segments.map {
          var segment = $0
          segment.method = arrivalOnly
          return segment
        }, rejectedPairs: model.rejectedPairs)
    }
  }

  private static let mostBuckets: Int64 = 20_000

  /// Replaces the rows of `clock_model`.
  func write(_ database: Database) throws(DatabaseError) {
    try database.transaction { () throws(DatabaseError) in
      try database.run("DELETE FROM clock_model")
      for (device, clock) in clocks.sorted(by: { $0.key < $1.key }) {
        for (index, segment) in (clock.model?.segments ?? []).enumerated() {
          try database.run(
            "INSERT INTO clock_model VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)",
            .text(device), .integer(Int64(index)), .integer(segment.fromDevice), .integer(segment.toDevice),
            .integer(segment.referenceDevice), .integer(segment.referenceHost.nanoseconds), .real(segment.rate),
            .real(segment.boundFrom), .real(segment.boundReference), .real(segment.boundTo),
            .real(segment.residualRMS), .integer(Int64(segment.pairs)), .text(segment.method))
        }
      }
    }
  }

  var summary: [RunAlignment.Clock] {
    clocks.values.sorted { $0.device < $1.device }.compactMap { clock in
      guard let model = clock.model, let last = model.segments.last else { return nil }
      return RunAlignment.Clock(
        device: clock.device, method: last.method, segments: model.segments.count,
        pairs: model.segments.reduce(0) { $0 + $1.pairs }, rejectedPairs: model.rejectedPairs,
        drift_ppm: (last.rate - 1) * 1e6, bound: Seconds(last.boundReference))
    }
  }
}
