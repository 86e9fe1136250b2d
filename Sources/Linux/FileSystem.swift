import CLinux
import Glibc

/// Names and sizes in the file system; paths are UTF-8 strings.
package enum FileSystem {
  package static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }
  package static func isWritable(_ path: String) -> Bool { unsafe access(path, W_OK) == 0 }

  package static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  package static func size(of path: String) -> Int64? {
    var status = stat()
    return unsafe stat(path, &status) == 0 ? Int64(status.st_size) : nil
  }

  /// Makes the directory and those above it.
  package static func makeDirectories(_ path: String, mode: UInt32 = 0o750) throws(LinuxError) {
    var sofar = path.hasPrefix("/") ? "/" : ""
    for part in path.split(separator: "/") {
      sofar += (sofar.isEmpty || sofar == "/") ? String(part) : "/" + part
      if unsafe mkdir(sofar, mode) != 0 && errno != EEXIST { throw LinuxError("mkdir", sofar) }
    }
    guard isDirectory(path) else { throw LinuxError("mkdir", path, number: ENOTDIR) }
  }

  /// Names in a directory, sorted, without "." and "..".
  package static func list(_ path: String) throws(LinuxError) -> [String] {
    guard let directory = unsafe opendir(path) else { throw LinuxError("opendir", path) }
    defer { unsafe closedir(directory) }
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// The whole file, refused when it is larger than `limit` bytes.
  package static func read(_ path: String, limit: Int = 16 << 20) throws(LinuxError) -> [UInt8] {
    let file = try FileDescriptor.open(path, O_RDONLY)
    let size = Int(try file.size())
    guard size <= limit else { throw LinuxError("read", path, number: EFBIG) }
    if size == 0 { return try readUnsized(file, path, limit) }
    var bytes = [UInt8](repeating: 0, count: size)
    var failure: LinuxError?
    var count = 0
    unsafe bytes.withUnsafeMutableBytes { buffer in
      do throws(LinuxError) { count = unsafe try file.read(into: buffer, at: 0) } catch { failure = error }
    }
    if let failure { throw LinuxError(failure.call, path, number: failure.number) }
    return Array(bytes[..<count])
  }

  /// Pipes and files of /proc tell no size.
  private static func readUnsized(_ file: borrowing FileDescriptor, _ path: String, _ limit: Int) throws(LinuxError)
    -> [UInt8]
  {
    var all: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while all.count <= limit {
      let n = unsafe Glibc.read(file.number, &chunk, chunk.count)
      if n < 0 {
        if errno == EINTR { continue }
        throw LinuxError("read", path)
      }
      if n == 0 { return all }
      all += chunk[..<n]
    }
    throw LinuxError("read", path, number: EFBIG)
  }

  /// Writes a new file beside `path` and renames it over it, so that a reader sees the old or the new, never half.
  /// - Parameter durably: both the file and its name are on the disk when this returns.
  package static func replace(
    _ path: String, with bytes: [UInt8], mode: UInt32 = 0o640, durably: Bool = false
  ) throws(LinuxError) {
    let beside = path + ".new"
    let file = try FileDescriptor.open(beside, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
    var failure: LinuxError?
    unsafe bytes.withUnsafeBytes { buffer in
      do throws(LinuxError) { unsafe try file.write(buffer, at: 0) } catch { failure = error }
    }
    if let failure { throw LinuxError(failure.call, beside, number: failure.number) }
    if durably { try file.synchronizeData() }
    try file.close()
    if unsafe Glibc.rename(beside, path) != 0 { throw LinuxError("rename", path) }
    if durably { try synchronizeDirectory(of: path) }
  }

  /// A name that was made or removed beside `path` is so after a power cut as well.
  package static func synchronizeDirectory(of path: String) throws(LinuxError) {
    let end = path.lastIndex(of: "/") ?? path.startIndex
    let directory = end == path.startIndex ? (path.hasPrefix("/") ? "/" : ".") : String(path[..<end])
    try FileDescriptor.open(directory, O_RDONLY | O_DIRECTORY).synchronizeData()
  }

  /// Makes a symbolic link.
  package static func link(_ path: String, to target: String) throws(LinuxError) {
    if unsafe symlink(target, path) != 0 { throw LinuxError("symlink", path) }
  }

  /// Where a symbolic link points; nil when it is none.
  package static func target(of path: String) -> String? {
    var target = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = unsafe target.withUnsafeMutableBytes {
      unsafe readlink(path, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
    }
    return count > 0 ? String(decoding: target[..<count], as: UTF8.self) : nil
  }

  /// rename(2); false when it fails.
  package static func rename(_ path: String, to other: String) -> Bool { unsafe Glibc.rename(path, other) == 0 }

  package static func remove(_ path: String) { unsafe _ = unlink(path) }

  /// Bytes an unprivileged writer may still write in the file system of `path`; nil when it cannot be asked.
  package static func freeBytes(at path: String) -> Int64? {
    let bytes = unsafe path.withCString { unsafe clinux_free_bytes($0) }
    return bytes < 0 ? nil : bytes
  }
}
