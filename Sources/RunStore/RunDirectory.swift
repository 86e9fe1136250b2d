import Glibc
import Linux

/// The directory of one run, `<data>/runs/<ULID>-<name>`, and the names of the files in it.
package struct RunDirectory: Hashable, Sendable {
  /// Longest part of a run's name that goes into the name of its directory.
  private static let longestSlug = 40

  package let path: String
  package let id: String

  package var databasePath: String { path + "/run.sqlite" }
  package func framesPath(_ segment: Int) -> String { "\(path)/frames-\(Self.number(segment)).mrc" }
  package func indexPath(_ segment: Int) -> String { "\(path)/frames-\(Self.number(segment)).idx" }
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

  /// Numbers of the segments of which pixels or index are there, ascending.
  package func segments() throws(RunStoreError) -> [Int] {
    do throws(LinuxError) {
      let names = try FileSystem.list(path)
      return Array(Set(names.compactMap(Self.segment))).sorted()
    } catch {
      throw RunStoreError(error)
    }
  }

  /// Every file of the run with its size, by name.
  package func files() throws(RunStoreError) -> [(path: String, bytes: Int64)] {
    do throws(LinuxError) {
      return try FileSystem.list(path).map { ("\(path)/\($0)", FileSystem.size(of: "\(path)/\($0)") ?? 0) }
    } catch {
      throw RunStoreError(error)
    }
  }

  private static func segment(_ name: String) -> Int? {
    guard name.hasPrefix("frames-"), name.hasSuffix(".mrc") || name.hasSuffix(".idx") else { return nil }
    return Int(name.dropFirst(7).dropLast(4))
  }

  /// "0007": at least four digits, so that names sort.
  private static func number(_ segment: Int) -> String {
    let text = String(segment)
    return String(repeating: "0", count: max(0, 4 - text.count)) + text
  }
}
