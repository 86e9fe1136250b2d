import Glibc
import Linux

/// Where runs are kept (design §5): `catalog.sqlite`, `runs/`, and the lock of the daemon that writes there.
package struct DataDirectory: Hashable, Sendable {
  /// Absolute, without symbolic links.
  package let path: String

  package var catalogPath: String { path + "/catalog.sqlite" }
  package var runsPath: String { path + "/runs" }
  package var lockPath: String { path + "/daemon.lock" }

  /// Opens a data directory that is there.
  package init(existing path: String) throws(RunStoreError) {
    guard FileSystem.isDirectory(path) else {
      throw RunStoreError(.notFound, "there is no data directory \(path); `data:` in the configuration names it")
    }
    self.path = try Self.resolved(path)
  }

  /// Opens a data directory to write in, and makes it when it is not there.
  package init(creating path: String) throws(RunStoreError) {
    do throws(LinuxError) {
      try FileSystem.makeDirectories(path + "/runs")
    } catch {
      throw RunStoreError(error, "choose another `data:` directory or make this one writable")
    }
    self.path = try Self.resolved(path)
    for directory in [self.path, runsPath] where !FileSystem.isWritable(directory) {
      throw RunStoreError(
        LinuxError("write in", directory, number: EACCES), "choose another `data:` directory or make this one writable")
    }
  }

  private static func resolved(_ path: String) throws(RunStoreError) -> String {
    guard let found = unsafe realpath(path, nil) else { throw RunStoreError(LinuxError("realpath", path)) }
    defer { unsafe free(found) }
    return unsafe String(cString: found)
  }

  /// The directories of all runs, oldest first.
  package func runDirectories() throws(RunStoreError) -> [RunDirectory] {
    guard FileSystem.isDirectory(runsPath) else { return [] }
    do throws(LinuxError) {
      return try FileSystem.list(runsPath).compactMap { RunDirectory(existing: runsPath + "/" + $0) }
    } catch {
      throw RunStoreError(error)
    }
  }
}
