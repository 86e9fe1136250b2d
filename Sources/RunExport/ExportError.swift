internal import Linux
internal import SQLite

/// Why a run could not be exported.
package enum ExportError: Error, Equatable, CustomStringConvertible {
  /// No run is kept in this directory.
  case notFound(directory: String)
  case cannotWrite(path: String, reason: String)
  /// The run's database cannot be read, or lacks what every run has.
  case damaged(path: String, reason: String)

  package var description: String {
    switch self {
    case .notFound(let directory): "no run in \(directory): it has no run.sqlite; list the runs with “insituctl runs”"
    case .cannotWrite(let path, let reason): "cannot write \(path): \(reason); name another place with -o"
    case .damaged(let path, let reason):
      "cannot read the run in \(path): \(reason); check it with “insituctl runs verify”"
    }
  }

  init(_ error: LinuxError, writing path: String) { self = .cannotWrite(path: path, reason: error.reason) }
  init(_ error: DatabaseError, reading path: String) { self = .damaged(path: path, reason: error.message) }
}
