import Glibc
import Linux

/// Held by the one daemon that has a directory, for as long as it lives: the data directory, or the runtime directory with
/// the sockets and, by its name, the rings.
///
/// A lock of flock(2): the kernel lets it go when the process ends, however it ends, so a run that is marked `running`
/// while the lock can be had belongs to nobody.
package final class DaemonLock: Sendable {
  private let descriptor: FileDescriptor

  /// Takes the lock; a second holder gets an error that names the first.
  package convenience init(data: DataDirectory) throws(RunStoreError) {
    try self.init(
      data.lockPath, remedy: "choose another `data:` directory or make this one writable",
      busy: "writes in \(data.path); stop it, or give this one another `data:` directory")
  }

  package convenience init(runtime: String) throws(RunStoreError) {
    try self.init(
      runtime + "/daemon.lock", remedy: "choose another with --runtime DIR",
      busy: "has its sockets in \(runtime); stop it, or give this one another with --runtime DIR")
  }

  private init(_ path: String, remedy: String, busy: String) throws(RunStoreError) {
    do throws(LinuxError) {
      descriptor = try FileDescriptor.open(path, O_RDWR | O_CREAT)
    } catch {
      throw RunStoreError(error, remedy)
    }
    guard flock(descriptor.number, LOCK_EX | LOCK_NB) == 0 else {
      guard errno == EWOULDBLOCK else { throw RunStoreError(LinuxError("flock", path)) }
      let text = (try? FileSystem.read(path, limit: 64)).map { String(decoding: $0, as: UTF8.self) } ?? ""
      let holder = text.isEmpty ? "" : " (process \(text.prefix { $0.isNumber }))"
      throw RunStoreError(.busy, "another insitud\(holder) \(busy)")
    }
    // Only for the message above: who cannot write it still holds the lock.
    try? descriptor.truncate(to: 0)
    let name = Array("\(getpid())\n".utf8)
    unsafe name.withUnsafeBytes { bytes in unsafe try? descriptor.write(bytes, at: 0) }
  }
}
