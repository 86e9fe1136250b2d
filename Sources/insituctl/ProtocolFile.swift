import ControlProtocol
import Glibc
import Linux

/// A protocol as the operator keeps it.
struct ProtocolFile {
  var name: String
  var text: String

  /// Reads it; a missing file, one that may not be read, one that is no text are told apart.
  init(_ path: String) throws(ControlError) {
    do throws(LinuxError) {
      guard !FileSystem.isDirectory(path) else { throw LinuxError("read", path, number: EISDIR) }
      let bytes = try FileSystem.read(path, limit: ControlServerCodec.maximumMessageBytes)
      guard let text = String(validating: bytes, as: UTF8.self) else {
        throw LinuxError("read", path, number: EILSEQ)
      }
      name = path
      self.text = text
    } catch {
      switch error.number {
      case ENOENT, ENOTDIR:
        throw ControlError(.noInput, "there is no file \(path)", remedy: "Give the path of a protocol (YAML).")
      case EACCES, EPERM:
        throw ControlError(.permission, "\(path) may not be read", remedy: "Look at its owner and mode: ls -l \(path).")
      case EISDIR: throw ControlError(.noInput, "\(path) is a directory", remedy: "Give the path of a protocol (YAML).")
      case EFBIG:
        throw ControlError(
          .data, "\(path) is too large for a protocol",
          remedy: "At most \(ControlServerCodec.maximumMessageBytes) bytes are taken; use repeat.")
      case EILSEQ: throw ControlError(.data, "\(path) is not UTF-8 text", remedy: "Save it as UTF-8.")
      default: throw ControlError(.io, "\(error)")
      }
    }
  }
}
