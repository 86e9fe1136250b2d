import Linux

/// The file of a ring, which may be a symbolic link to a file on huge pages.
extension FrameRing {
  /// Where the file is. The link is read and not followed: the kernel follows no links of other users in /dev/shm.
  static func resolved(_ path: String) -> String { FileSystem.target(of: path) ?? path }

  /// Gives the file another name in the same directory, and what it stands for too; what had that name is gone.
  /// - Returns: false when it could not be done.
  package static func move(_ path: String, to other: String) -> Bool {
    remove(other)
    guard let file = FileSystem.target(of: path) else { return FileSystem.rename(path, to: other) }
    let name = other.split(separator: "/").last.map(String.init) ?? other
    let target = file.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/" + name
    guard FileSystem.rename(file, to: target), (try? FileSystem.link(other, to: target)) != nil else { return false }
    FileSystem.remove(path)
    return true
  }

  /// Takes the file away, and what it stands for. Its memory is free when nobody has it mapped any more.
  package static func remove(_ path: String) {
    if let file = FileSystem.target(of: path), file.split(separator: "/").last == path.split(separator: "/").last {
      FileSystem.remove(file)
    }
    FileSystem.remove(path)
  }
}
