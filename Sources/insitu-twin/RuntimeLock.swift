import Glibc
import Linux

/// `twin.pid`: the number of the process that owns the runtime directory. Locked for as long as that lives.
struct RuntimeLock: ~Copyable {
  private let path: String
  private let file: FileDescriptor

  init(runtime: String) throws(TwinFailure) {
    let path = runtime + "/twin.pid"
    file = try Self.open(path, runtime)
    self.path = path
  }

  private static func open(_ path: String, _ runtime: String) throws(TwinFailure) -> FileDescriptor {
    do throws(LinuxError) {
      let file = try FileDescriptor.open(path, O_RDWR | O_CREAT)
      guard lockf(file.number, F_TLOCK, 0) == 0 else { throw LinuxError("lockf", path) }
      try file.truncate(to: 0)
      let bytes = Array("\(getpid())\n".utf8)
      let written = unsafe bytes.withUnsafeBytes { unsafe pwrite(file.number, $0.baseAddress, $0.count, 0) }
      guard written == bytes.count else { throw LinuxError("write", path) }
      return file
    } catch {
      if error.call == "lockf" {
        throw TwinFailure(EX_TEMPFAIL, "another twin runs in \(runtime); stop it first or give another --runtime")
      }
      throw TwinFailure(error, remedy: "give a --runtime directory that can be written")
    }
  }

  deinit { FileSystem.remove(path) }
}
