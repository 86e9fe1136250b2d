import Linux

/// The file of a ring, which may be a symbolic link to a file on huge pages.
extension FrameRing {
  /// Where the file is. The link is read and not followed: the kernel follows no links of other users in /dev/shm.
  static func resolved(_ path: String) -> String { FileSystem.target(of: path) ?? path }

  /// Takes the file away, and what it stands for. Its memory is free when nobody has it mapped any more.
  package static func remove(_ path: String) {
    if let file = FileSystem.target(of: path), file.split(separator: "/").last == path.split(separator: "/").last {
      FileSystem.remove(file)
    }
    FileSystem.remove(path)
  }
}
