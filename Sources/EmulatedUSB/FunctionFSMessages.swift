/// What FunctionFS is told about a function, and what it tells (Linux `Documentation/usb/functionfs.rst`).
enum FunctionFS {
  private static let descriptorsMagic: UInt32 = 3
  private static let stringsMagic: UInt32 = 2

  private enum Flag {
    static let fullSpeed: UInt32 = 1
    static let highSpeed: UInt32 = 2
    /// Files and requests name endpoints as the descriptors do, whatever the controller makes of them.
    static let virtualAddresses: UInt32 = 16
  }

  /// Interfaces and endpoints for both speeds. The device itself, its configuration and its strings are the gadget's.
  static func descriptors(_ device: USBDescriptors) -> [UInt8] {
    let isHigh = device.speed == .high
    let full = withoutHead(isHigh ? device.otherSpeedConfiguration : device.configuration)
    let high = isHigh ? withoutHead(device.configuration) : []
    let flags = Flag.fullSpeed | Flag.virtualAddresses | (isHigh ? Flag.highSpeed : 0)
    var counts = UInt32(count(full)).littleEndianBytes
    if isHigh { counts += UInt32(count(high)).littleEndianBytes }
    return message(descriptorsMagic, flags.littleEndianBytes + counts + full + high)
  }

  /// No strings: an interface has none here.
  static var strings: [UInt8] { message(stringsMagic, UInt32(0).littleEndianBytes + UInt32(0).littleEndianBytes) }

  /// Magic, length of all and the rest.
  private static func message(_ magic: UInt32, _ rest: [UInt8]) -> [UInt8] {
    magic.littleEndianBytes + UInt32(8 + rest.count).littleEndianBytes + rest
  }

  /// The nine bytes of the configuration descriptor go.
  private static func withoutHead(_ configuration: [UInt8]) -> [UInt8] { Array(configuration.dropFirst(9)) }

  /// How many descriptors stand in a row, each with its length first.
  private static func count(_ bytes: [UInt8]) -> Int {
    var at = 0
    var count = 0
    while at < bytes.count, bytes[at] > 0 {
      at += Int(bytes[at])
      count += 1
    }
    return count
  }

  /// One record of endpoint 0.
  enum Event: Equatable {
    static let size = 12

    case enabled
    /// Unplugged, reset, or given another configuration.
    case disabled
    case setup(USBSetupPacket)
    /// Binding, suspending and resuming change nothing here.
    case other

    init(_ bytes: [UInt8]) {
      switch bytes[8] {
      case 2: self = .enabled
      case 1, 3: self = .disabled
      case 4: self = .setup(USBSetupPacket(bytes: Array(bytes[..<8])))
      default: self = .other
      }
    }
  }

  /// The file of an endpoint: its address, as the descriptors have it.
  static func file(_ address: UInt8) -> String {
    let digits = String(address, radix: 16)
    return "ep" + (digits.count < 2 ? "0" : "") + digits
  }
}
