import Glibc
import Linux

/// A bus whose every conversation is written to a file: `DIRECTORY/NAME-VENDOR-PRODUCT-SERIAL-N.usb`. What cannot be
/// recorded is not, and the instrument works on.
package struct RecordingBus: USBBus {
  /// Files of the same device in one directory.
  private static let mostFiles = 9999

  private let bus: any USBBus
  private let directory: String
  private let told: @Sendable (String) -> Void

  /// - Parameter told: called with a sentence when something is not recorded, and why.
  package init(
    wrapping bus: any USBBus, directory: String, told: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    self.bus = bus
    self.directory = directory
    self.told = told
  }

  package func open(_ wanted: USBMatch, _ kind: USBInterfaceKind, name: String) throws(USBError) -> any USBTransport {
    let transport = try bus.open(wanted, kind, name: name)
    do throws(LinuxError) {
      let head = TranscriptHead(name: name, device: transport.device, kind: kind, interface: transport.interface)
      return RecordingTransport(transport, try begin(head))
    } catch {
      told("\(name) is not recorded: \(error)")
      return transport
    }
  }

  package func watch(_ changed: @escaping @Sendable (USBChange) -> Void) { bus.watch(changed) }
  package var tellsChanges: Bool { bus.tellsChanges }

  /// Begins the file with the next free number.
  private func begin(_ head: TranscriptHead) throws(LinuxError) -> TranscriptWriter {
    try FileSystem.makeDirectories(directory)
    let parts = [head.name, hexText(head.device.vendor), hexText(head.device.product), head.device.serial]
    let stem = directory + "/" + parts.map(Self.fileName).filter { !$0.isEmpty }.joined(separator: "-")
    for number in 1...Self.mostFiles {
      do throws(LinuxError) {
        return try TranscriptWriter(path: "\(stem)-\(number).usb", head, exclusive: true, told: told)
      } catch { if error.number != EEXIST { throw error } }
    }
    throw LinuxError("open", stem, number: EEXIST)
  }

  /// What of a name can stand in the name of a file.
  private static func fileName(_ text: String) -> String {
    let kept = text.utf8.prefix(64).map { byte -> UInt8 in
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x5F: byte
      default: 0x2D
      }
    }
    return String(decoding: kept, as: UTF8.self)
  }
}
