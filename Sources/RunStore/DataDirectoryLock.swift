import Glibc
import Linux

/// Held by the one daemon that writes in a data directory, for as long as it lives.
///
/// A lock of flock(2): the kernel lets it go when the process ends, however it ends, so a run that is marked `running`
/// while the lock can be had belongs to nobody.
package final class DataDirectoryLock: Sendable {
  private let descriptor: FileDescriptor

  /// Takes the lock; a second holder gets an error that names the first.
  package init(_ data: DataDirectory) throws(RunStoreError) {
    do throws(LinuxError) {
      descriptor = try FileDescriptor.open(data.lockPath, O_RDWR | O_CREAT)
    } catch {
      throw RunStoreError(error, "choose another `data:` directory or make this one writable")
    }
    guard flock(descriptor.number, LOCK_EX | LOCK_NB) == 0 else {
      guard errno == EWOULDBLOCK else { throw RunStoreError(LinuxError("flock", data.lockPath)) }
      let text = (try? FileSystem.read(data.lockPath, limit: 64)).map { String(decoding: $0, as: UTF8.self) } ?? ""
      let holder = text.isEmpty ? "" : " (process \(text.prefix { $0.isNumber }))"
      throw RunStoreError(
        .busy, "another insitud\(holder) writes in \(data.path); stop it, or give this one another `data:` directory")
    }
    // Only for the message above: who cannot write it still holds the lock.
    try? descriptor.truncate(to: 0)
    let name = Array("\(getpid())\n".utf8)
    unsafe name.withUnsafeBytes { bytes in unsafe try? descriptor.write(bytes, at: 0) }
  }
}
