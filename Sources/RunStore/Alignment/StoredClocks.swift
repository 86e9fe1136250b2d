internal import Alignment
package import Quantities
package import SQLite

/// The clock models of a stored run, as `clock_model` has them.
package struct StoredClocks: Sendable {
  private var models: [String: ClockModel] = [:]
  /// Known fixed delays of the devices, as `RunAlignment` applies them, ns.
  private var offsets: [String: Int64] = [:]

  package init(_ database: Database) throws(DatabaseError) {
    var segments: [String: [ClockModel.Segment]] = [:]
    try database.statement(
      """
      SELECT device, from_device_ns, to_device_ns, reference_device_ns, reference_raw_ns, rate, bound_from_s,
             bound_reference_s, bound_to_s, residual_rms_s, pairs, method FROM clock_model ORDER BY device, segment
      """
    ).forEach { row in
      var segment = ClockModel.Segment(
        fromDevice: row.integer(1), toDevice: row.integer(2), referenceDevice: row.integer(3),
        referenceHost: MonotonicTime(nanoseconds: row.integer(4)), rate: row.double(5), boundFrom: row.double(6),
        boundReference: row.double(7), boundTo: row.double(8), rateBound: 0, residualRMS: row.double(9),
        pairs: Int(row.integer(10)), method: row.text(11) ?? "")
      segment.rateBound = Self.rateBound(segment)
      segments[row.text(0) ?? "", default: []].append(segment)
    }
    models = segments.mapValues { ClockModel(segments: $0) }
    try database.statement("SELECT kind, details_json FROM device").forEach { row in
      offsets[row.text(0) ?? ""] = DeviceDetails(row.text(1)).offset
    }
  }

  /// Host time of a stamp of `device`; nil when the run has no model of its clock.
  /// - Parameter arrival: when the message with this stamp was here.
  package func time(of stamp: Int64, on device: String, arrival: MonotonicTime) -> MonotonicTime? {
    models[device]?.host(atDevice: stamp + (offsets[device] ?? 0), arrival: arrival)?.time
  }

  /// Not stored: by how much the bound widens towards the ends is the least that it can be.
  private static func rateBound(_ segment: ClockModel.Segment) -> Double {
    func slope(_ end: Int64, _ bound: Double) -> Double {
      let distance = abs(Double(end) - Double(segment.referenceDevice)) * 1e-9
      return distance > 0 ? max(0, bound - segment.boundReference) / distance : 0
    }
    return max(slope(segment.fromDevice, segment.boundFrom), slope(segment.toDevice, segment.boundTo))
  }
}
