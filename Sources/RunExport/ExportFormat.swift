internal import Linux
internal import SQLite

/// The formats a run can be exported to; one file each beside this one.
package enum ExportFormat: String, CaseIterable, Sendable {
  /// Two tables: samples, and frames with their voltage, current, charge, dose and uncertainties.
  case csv
  /// Battery Data Format, one table of samples.
  case bdf
  /// The frames as plain MRC2014 segments, compressed ones decompressed.
  case mrc

  /// Writes the run kept in `directory` and returns the paths of the files made. They appear whole or not at all.
  ///
  /// `path` ending in “.csv” is the file (for `csv`: that of the samples, with “….frames.csv” beside it); an existing
  /// directory gets files named after the run; anything else is a name to put the endings behind. For `mrc` it is a
  /// directory, which is made when it is not there.
  package func write(run directory: String, to path: String) throws(ExportError) -> [String] {
    let run = try RunSource(directory)
    switch self {
    case .csv: return try CSVExport(run).write(to: path)
    case .bdf: return try BDFExport(run).write(to: path)
    case .mrc: return try MRCExport(directory).write(to: path)
    }
  }
}

/// Where an export goes.
enum ExportPath {
  /// `path` without its ending, or the run's name in the directory that `path` is.
  static func base(_ path: String, _ run: RunSource, endings: [String]) -> String {
    if FileSystem.isDirectory(path) {
      return (path.hasSuffix("/") ? path : path + "/") + fileName(run.name)
    }
    for ending in endings where path.hasSuffix(ending) && path.count > ending.count {
      return String(path.dropLast(ending.count))
    }
    return path
  }

  /// Letters, digits, “.”, “-” and “_” of a run's name; never empty, never hidden.
  private static func fileName(_ name: String) -> String {
    var result = ""
    for character in name {
      let isPlain = character.isLetter || character.isNumber || "._-".contains(character)
      if isPlain { result.append(character) } else if !result.hasSuffix("-") { result.append("-") }
    }
    while result.hasPrefix(".") { result.removeFirst() }
    return result.isEmpty ? "run" : result
  }
}
