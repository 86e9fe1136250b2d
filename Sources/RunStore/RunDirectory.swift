import Glibc
import Linux

/// The directory of one run, `<data>/runs/<ULID>-<name>`, and the names of the files in it.
package struct RunDirectory: Hashable, Sendable {
  /// Longest part of a run's name that goes into the name of its directory.
  private static let longestSlug = 40

  package let path: String
  package let id: String

  package var databasePath: String { path + "/run.sqlite" }
  /// The frames of the first camera.
  package var frames: FrameFiles { FrameFiles(self, .first) }
  /// The last part of `path`.
  package var name: String { String(path.split(separator: "/").last ?? "") }

  /// Nil when the last part of the path does not begin with a ULID or is no directory.
  package init?(existing path: String) {
    let name = path.split(separator: "/").last ?? ""
    guard let id = ULID(String(name.prefix(ULID.length))), FileSystem.isDirectory(path) else { return nil }
    let rest = name.dropFirst(ULID.length)
    guard rest.isEmpty || rest.first == "-" else { return nil }
    self.path = path
    self.id = id.description
  }

  /// Makes the directory of a new run.
  package static func create(in data: DataDirectory, id: ULID, name: String) throws(RunStoreError) -> RunDirectory {
    let path = "\(data.runsPath)/\(id)-\(slug(name))"
    guard unsafe mkdir(path, 0o750) == 0 else {
      throw RunStoreError(LinuxError("mkdir", path), "see that the data directory is writable and has room")
    }
    guard let directory = RunDirectory(existing: path) else { throw RunStoreError(LinuxError("mkdir", path)) }
    return directory
  }

  /// What of a name can stand in a file name everywhere: lower-case ASCII letters, digits, and "-" for the rest.
  package static func slug(_ name: String) -> String {
    var slug = ""
    for letter in name.lowercased() {
      if letter.isASCII && (letter.isLetter || letter.isNumber) {
        slug.append(letter)
      } else if !slug.isEmpty && slug.last != "-" {
        slug.append("-")
      }
      if slug.count == longestSlug { break }
    }
    while slug.last == "-" { slug.removeLast() }
    return slug.isEmpty ? "run" : slug
  }

  /// Every file of the run with its size, by name.
  package func files() throws(RunStoreError) -> [(path: String, bytes: Int64)] {
    do throws(LinuxError) {
      return try FileSystem.list(path).map { ("\(path)/\($0)", FileSystem.size(of: "\(path)/\($0)") ?? 0) }
    } catch {
      throw RunStoreError(error)
    }
  }
}
