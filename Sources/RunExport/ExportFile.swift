internal import Glibc
internal import Linux

/// A text file being written: as “….part” until it is whole, then under its name.
struct ExportFile: ~Copyable {
  private let path: String
  private let file: FileDescriptor
  private var buffer: [UInt8] = []
  private var written: Int64 = 0
  /// The first thing that went wrong; after it nothing more is written.
  private var failure: LinuxError?

  private static let bufferBytes = 1 << 18

  init(_ path: String) throws(ExportError) {
    self.path = path
    do throws(LinuxError) {
      if FileSystem.isDirectory(path) { throw LinuxError("open", path, number: EISDIR) }
      file = try FileDescriptor.open(path + ".part", O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
    } catch {
      throw ExportError(error, writing: path)
    }
    buffer.reserveCapacity(Self.bufferBytes + 4096)
  }

  mutating func write(_ text: String) {
    guard failure == nil else { return }
    buffer += text.utf8
    if buffer.count >= Self.bufferBytes { flush() }
  }

  private mutating func flush() {
    let offset = written
    var failed: LinuxError?
    unsafe buffer.withUnsafeBytes { bytes in
      do throws(LinuxError) { unsafe try file.write(bytes, at: offset) } catch { failed = error }
    }
    failure = failed
    written += Int64(buffer.count)
    buffer.removeAll(keepingCapacity: true)
  }

  /// Gives the file its name. What went wrong earlier is reported here, and nothing is left behind then.
  consuming func finish() throws(ExportError) {
    if failure == nil { flush() }
    let path = path
    do throws(LinuxError) {
      if let failure { throw failure }
      try file.synchronizeData()
      if unsafe rename(path + ".part", path) != 0 { throw LinuxError("rename", path) }
    } catch {
      FileSystem.remove(path + ".part")
      throw ExportError(error, writing: path)
    }
  }

  /// Leaves nothing behind.
  consuming func abandon() { FileSystem.remove(path + ".part") }
}
