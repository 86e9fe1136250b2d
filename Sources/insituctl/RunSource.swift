import ControlProtocol
import JSON
import RunStore

/// Where runs are found: through the daemon, or with `--data` in a data directory.
enum RunSource {
  case daemon(ControlClient)
  case catalog(Catalog)

  init(_ invocation: Invocation) throws(ControlError) {
    if let data = invocation.data {
      self = .catalog(
        try translated { () throws(RunStoreError) in try Catalog(reading: DataDirectory(existing: data)) })
    } else {
      do throws(ControlError) {
        self = .daemon(try ControlClient(invocation.endpoint))
      } catch  where error.kind == .unavailable {
        var error = error
        error.remedy += " Or look into its files: --data DIR."
        throw error
      }
    }
  }

  /// The document of `runs.list`.
  func list() throws(ControlError) -> JSONValue {
    switch self {
    case .daemon(let client): return try client.call(.runsList)
    case .catalog(let catalog):
      let entries = try translated { () throws(RunStoreError) in try catalog.entries() }
      return ["runs": .array(entries.map(\.json))]
    }
  }

  /// The document of `runs.show`.
  func summary(_ reference: String) throws(ControlError) -> JSONValue {
    switch self {
    case .daemon(let client): return try client.call(.runsShow, ["id": .string(reference)])
    case .catalog(let catalog):
      let directory = try Self.directory(reference, catalog)
      return try translated { () throws(RunStoreError) in try RunSummary(reading: directory).json }
    }
  }

  /// The directory of a run, for commands that read its files.
  func directory(_ reference: String) throws(ControlError) -> RunDirectory {
    switch self {
    case .catalog(let catalog): return try Self.directory(reference, catalog)
    case .daemon:
      let path = try summary(reference)["directory"]?.string ?? ""
      guard let directory = RunDirectory(existing: path) else {
        throw ControlError(
          .noInput, "the run's directory \(path) is not to be seen from here",
          remedy: "Use insituctl on the daemon's host, as a member of its group.")
      }
      return directory
    }
  }

  private static func directory(_ reference: String, _ catalog: Catalog) throws(ControlError) -> RunDirectory {
    let entry = try translated { () throws(RunStoreError) in try catalog.find(reference) }
    guard let directory = catalog.directory(of: entry) else {
      throw ControlError(
        .noInput, "run \(entry.id) is in the catalog, but its directory \(entry.directory) is gone",
        remedy: "Bring it back to \(catalog.data.runsPath).")
    }
    return directory
  }
}

/// Runs `body`; what the store of runs says no to becomes an error with its exit code.
func translated<R>(_ body: () throws(RunStoreError) -> R) throws(ControlError) -> R {
  do throws(RunStoreError) {
    return try body()
  } catch {
    let kind: ControlErrorKind =
      switch error.kind {
      case .notFound: .noInput
      case .ambiguous: .usage
      case .busy: .busy
      case .diskFull: .cannotCreate
      case .failed: .io
      case .damaged: .data
      }
    throw ControlError(kind, error.description)
  }
}
