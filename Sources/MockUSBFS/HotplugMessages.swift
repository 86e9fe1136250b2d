import CUSBFS
import EmulatedUSB
import Glibc
import Linux

/// Tells programs that listen to udev of devices that come and go.
///
/// Each has a datagram socket `event<number>` in the root. A message is udev's own: 40 bytes, then `KEY=value`, each
/// with a zero behind it (usb-emulation.md §A.1).
final class HotplugMessages {
  private let tree: DeviceTree
  private let descriptor: FileDescriptor
  private var sequence = 0

  init(_ tree: DeviceTree) throws(LinuxError) {
    self.tree = tree
    let number = cusbfs_datagram_socket()
    guard number >= 0 else { throw LinuxError("socket") }
    descriptor = FileDescriptor(owning: number)
  }

  /// - Parameter action: "add" or "remove".
  func send(_ action: String, _ descriptors: USBDescriptors, port: Int, address: Int) {
    removeAbandoned()
    sequence += 1
    var properties = [
      ("ACTION", action), ("DEVPATH", DeviceTree.devicePath(port)), ("SUBSYSTEM", "usb"), ("SEQNUM", "\(sequence)"),
    ]
    properties += DeviceTree.properties(
      vendor: descriptors.vendor, product: descriptors.product, release: descriptors.release,
      deviceClass: descriptors.device[4], address: address
    ).map { $0.0 == "DEVNAME" ? ("DEVNAME", "/dev/" + $0.1) : $0 }
    let body: [UInt8] = properties.flatMap { property -> [UInt8] in
      Array("\(property.0)=\(property.1)".utf8) + [0]
    }
    let message = Self.header(bodyBytes: body.count) + body
    for name in tree.eventSockets() {
      unsafe _ = message.withUnsafeBytes { bytes in
        unsafe "\(tree.root)/\(name)".withCString {
          unsafe cusbfs_send_datagram(descriptor.number, $0, bytes.baseAddress!, bytes.count)
        }
      }
    }
  }

  /// Removes the sockets of programs that were killed, so that others can have their numbers.
  func removeAbandoned() {
    for name in tree.eventSockets() {
      let path = "\(tree.root)/\(name)"
      if unsafe path.withCString({ unsafe cusbfs_is_listened_to($0) }) == 0 { FileSystem.remove(path) }
    }
  }

  /// libudev's filters compare hashes of subsystem and kind; two constants, so no hash is computed.
  private static func header(bodyBytes: Int) -> [UInt8] {
    let headerBytes: UInt32 = 40
    let magic: UInt32 = 0xFEED_CAFE
    let usb: UInt32 = 0x0577_C5E5
    let usbDevice: UInt32 = 0x27F8_F50C
    let numbers: [UInt32] = [
      magic.bigEndian, headerBytes, headerBytes, UInt32(bodyBytes), usb.bigEndian, usbDevice.bigEndian, 0, 0,
    ]
    let words: [UInt8] = numbers.flatMap { (word: UInt32) -> [UInt8] in nativeBytes(word) }
    return Array("libudev".utf8) + [0] + words
  }
}
