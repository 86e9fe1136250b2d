internal import Quantities
internal import SQLite

/// Samples and frames as two tables of comma-separated values. Times are seconds since the run's start on the host's
/// clock; missing values are empty.
struct CSVExport {
  private let run: RunSource

  init(_ run: RunSource) { self.run = run }

  /// Positive current charges the working electrode; stated in every row, for a table has no place for a sentence
  /// that every reader would skip.
  private static let sign = "positive_charges"

  func write(to path: String) throws(ExportError) -> [String] {
    let base = ExportPath.base(path, run, endings: [".samples.csv", ".csv"])
    let samples = path.hasSuffix(".csv") && path != ".csv" && base != path ? path : base + ".samples.csv"
    let frames = base + ".frames.csv"
    try writeSamples(to: samples)
    try writeFrames(to: frames)
    return [samples, frames]
  }

  private func writeSamples(to path: String) throws(ExportError) {
    let header =
      "sample,time_s,step,cycle,voltage_V,current_A,charge_C,range_A,aperture_s,flags,label,device_time_ns,"
      + "arrival_raw_ns,current_sign"
    let query = """
      SELECT s.id, s.device_time_ns, s.arrival_raw_ns, s.step, p.cycle, s.voltage_V, s.current_A, s.charge_C,
             s.range_A, s.aperture_ns, s.flags, p.label
      FROM sample s LEFT JOIN step p ON p.id = s.step ORDER BY s.id
      """
    try TextTable.write(run, query, header: header, to: path) { row in
      let time = run.sampleTime(device: row.integer(1), arrival: row.integer(2)) - run.startedRaw
      return [
        String(row.integer(0)), TextTable.seconds(nanoseconds: time), String(row.integer(3)),
        row.optionalInteger(4).map(String.init) ?? "", TextTable.scientific(row.optionalDouble(5), digits: 9),
        TextTable.scientific(row.optionalDouble(6), digits: 9), TextTable.scientific(row.double(7), digits: 9),
        TextTable.scientific(row.double(8), digits: 1), TextTable.seconds(nanoseconds: row.integer(9)),
        Self.words(SampleFlags(rawValue: UInt32(truncatingIfNeeded: row.integer(10)))), TextTable.field(row.text(11)),
        String(row.integer(1)), String(row.integer(2)), Self.sign,
      ].joined(separator: ",")
    }
  }

  private func writeFrames(to path: String) throws(ExportError) {
    let values = [
      "voltage_mean_V", "voltage_min_V", "voltage_max_V", "voltage_uncertainty_V", "current_mean_A", "current_min_A",
      "current_max_A", "current_uncertainty_A", "charge_C", "charge_uncertainty_C", "dose_e_per_A2",
      "dose_uncertainty_e_per_A2",
    ]
    let statistics = [
      "mean_counts", "minimum_counts", "maximum_counts", "saturated_pixels", "change_counts", "counted_e_per_A2",
      "counted_uncertainty_e_per_A2",
    ]
    let header =
      "frame,series,frame_number,step,time_s,exposure_s,time_uncertainty_s,samples,"
      + values.joined(separator: ",") + ",start_raw_ns,stop_raw_ns,segment,offset_bytes,current_sign,camera,"
      + statistics.joined(separator: ",")
    let query = """
      SELECT frame, series, frame_number, step, start_raw_ns, stop_raw_ns, exposure_ns, segment, offset_bytes,
             time_uncertainty_s, samples, \(values.joined(separator: ", ")), camera, \(statistics.joined(separator: ", "))
      FROM frame_with_values ORDER BY frame
      """
    try TextTable.write(run, query, header: header, to: path) { row in
      var fields = [String(row.integer(0)), String(row.integer(1)), String(row.integer(2))]
      fields.append(row.optionalInteger(3).map(String.init) ?? "")
      fields.append(row.optionalInteger(4).map { TextTable.seconds(nanoseconds: $0 - run.startedRaw) } ?? "")
      fields.append(TextTable.seconds(nanoseconds: row.integer(6)))
      fields.append(TextTable.scientific(row.optionalDouble(9), digits: 3))
      fields.append(row.optionalInteger(10).map(String.init) ?? "")
      for column in 0..<values.count {
        let digits = values[column].contains("uncertainty") ? 3 : 9
        fields.append(TextTable.scientific(row.optionalDouble(11 + column), digits: digits))
      }
      for column in [4, 5, 7, 8] { fields.append(row.optionalInteger(column).map(String.init) ?? "") }
      fields.append(Self.sign)
      let camera = 11 + values.count
      fields.append(String(row.integer(camera)))
      for (index, name) in statistics.enumerated() {
        let column = camera + 1 + index
        let isCount = ["minimum_counts", "maximum_counts", "saturated_pixels"].contains(name)
        fields.append(
          isCount
            ? row.optionalInteger(column).map(String.init) ?? ""
            : TextTable.scientific(row.optionalDouble(column), digits: 6))
      }
      return fields.joined(separator: ",")
    }
  }

  private static func words(_ flags: SampleFlags) -> String {
    let names: [(SampleFlags, String)] = [
      (.compliance, "compliance"), (.overflow, "overflow"), (.settling, "settling"), (.outputOff, "output-off"),
      (.afterHole, "after-hole"), (.timingNotMet, "timing-not-met"), (.underload, "underload"),
      (.overloadWarning, "overload-warning"), (.openCircuit, "open-circuit"),
    ]
    return names.filter { flags.contains($0.0) }.map(\.1).joined(separator: "+")
  }
}
