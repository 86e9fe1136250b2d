internal import Quantities
internal import SQLite

/// Battery Data Format: the run's view `bdf` with its machine names, SI units and never a prefix (formats.md §1.6).
/// Its tools want a name that ends in “.bdf.csv”, and time that never runs back.
struct BDFExport {
  private let run: RunSource

  init(_ run: RunSource) { self.run = run }

  func write(to path: String) throws(ExportError) -> [String] {
    let base = ExportPath.base(path, run, endings: [".bdf.csv", ".bdf"])
    let target = path.hasSuffix(".csv") && !path.hasSuffix(".bdf.csv") ? path : base + ".bdf.csv"
    let header = "test_time_second,voltage_volt,current_ampere,unix_time_second,cycle_count,step_count"
    try TextTable.write(run, "SELECT \(header) FROM bdf ORDER BY test_time_second", header: header, to: target) { row in
      [
        fixed(row.double(0), decimals: 9), TextTable.scientific(row.double(1)), TextTable.scientific(row.double(2)),
        fixed(row.double(3), decimals: 6), String(row.integer(4)), String(row.integer(5)),
      ].joined(separator: ",")
    }
    return [target]
  }
}
