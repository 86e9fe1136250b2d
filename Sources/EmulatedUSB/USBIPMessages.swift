/// The messages of USB/IP 1.1.1, all big-endian (Linux `Documentation/usb/usbip_protocol.rst`).
package enum USBIP {
  package static let version: UInt16 = 0x0111
  package static let requestDeviceList: UInt16 = 0x8005
  package static let replyDeviceList: UInt16 = 0x0005
  package static let requestImport: UInt16 = 0x8003
  package static let replyImport: UInt16 = 0x0003
  package static let busIDBytes = 32
  package static let pathBytes = 256
  package static let headerBytes = 48

  /// Commands after an import.
  package enum Command {
    package static let submit: UInt32 = 1
    package static let unlink: UInt32 = 2
    package static let submitReply: UInt32 = 3
    package static let unlinkReply: UInt32 = 4
  }

  /// Status of an operation's reply.
  enum OperationStatus {
    static let ok: UInt32 = 0
    static let busy: UInt32 = 2
    static let noDevice: UInt32 = 4
  }

  enum TransferFlag {
    static let shortNotOK: UInt32 = 0x0001
    static let zeroPacket: UInt32 = 0x0040
  }

  /// One of the 48-byte headers that a client sends after an import.
  struct Header {
    var command: UInt32
    var sequence: UInt32
    var isIn: Bool
    var endpoint: UInt32
    /// CMD_SUBMIT: transfer flags. CMD_UNLINK: the sequence number to take back.
    var first: UInt32
    var length: Int32
    var packets: Int32
    var setup: USBSetupPacket

    init(_ bytes: [UInt8]) {
      command = UInt32(bigEndian: bytes, at: 0)
      sequence = UInt32(bigEndian: bytes, at: 4)
      isIn = UInt32(bigEndian: bytes, at: 12) != 0
      endpoint = UInt32(bigEndian: bytes, at: 16)
      first = UInt32(bigEndian: bytes, at: 20)
      length = Int32(bigEndian: bytes, at: 24)
      packets = Int32(bigEndian: bytes, at: 32)
      setup = USBSetupPacket(bytes: Array(bytes[40..<48]))
    }
  }

  static func operationReply(_ code: UInt16, _ status: UInt32) -> [UInt8] {
    version.bigEndianBytes + code.bigEndianBytes + status.bigEndianBytes
  }

  /// RET_SUBMIT with its data. Device, direction and endpoint are 0 in replies.
  static func submitReply(_ sequence: UInt32, _ completion: USBCompletion) -> [UInt8] {
    var bytes = Command.submitReply.bigEndianBytes + sequence.bigEndianBytes + [UInt8](repeating: 0, count: 12)
    bytes += completion.status.bigEndianBytes + Int32(completion.moved).bigEndianBytes
    return bytes + [UInt8](repeating: 0, count: 20) + completion.data
  }

  static func unlinkReply(_ sequence: UInt32, _ status: Int32) -> [UInt8] {
    let head = Command.unlinkReply.bigEndianBytes + sequence.bigEndianBytes + [UInt8](repeating: 0, count: 12)
    return head + status.bigEndianBytes + [UInt8](repeating: 0, count: 24)
  }

  /// The 312 bytes that describe a device in a list and in an import's reply.
  static func device(_ descriptors: USBDescriptors, busID: String, number: UInt32, configuration: UInt8) -> [UInt8] {
    var bytes = padded("/sys/devices/platform/twin/usb1/\(busID)", pathBytes) + padded(busID, busIDBytes)
    bytes += UInt32(1).bigEndianBytes + number.bigEndianBytes + descriptors.speed.rawValue.bigEndianBytes
    bytes += descriptors.vendor.bigEndianBytes + descriptors.product.bigEndianBytes + descriptors.release.bigEndianBytes
    return bytes + descriptors.deviceClass.bytes + [configuration, 1, UInt8(descriptors.interfaces.count)]
  }

  static func interfaces(_ descriptors: USBDescriptors) -> [UInt8] {
    descriptors.interfaces.flatMap { [$0.classCode, $0.subclassCode, $0.protocolCode, 0] }
  }

  static func padded(_ text: String, _ count: Int) -> [UInt8] {
    let bytes = Array(text.utf8.prefix(count - 1))
    return bytes + [UInt8](repeating: 0, count: count - bytes.count)
  }
}
