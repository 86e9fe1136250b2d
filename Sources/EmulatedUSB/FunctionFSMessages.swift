/// What FunctionFS is told about a function, and what it tells (Linux `Documentation/usb/functionfs.rst`).
package enum FunctionFS {
  private static let descriptorsMagic: UInt32 = 3
  private static let stringsMagic: UInt32 = 2

  private enum Flag {
    static let fullSpeed: UInt32 = 1
    static let highSpeed: UInt32 = 2
  }

  /// Interfaces and endpoints for both speeds. The device itself, its configuration and its strings are the gadget's.
  package static func descriptors(_ device: USBDescriptors) -> [UInt8] {
    let isHigh = device.speed == .high
    let full = withoutHead(isHigh ? device.otherSpeedConfiguration : device.configuration)
    let high = isHigh ? withoutHead(device.configuration) : []
    let flags = Flag.fullSpeed | (isHigh ? Flag.highSpeed : 0)
    var counts = UInt32(count(full)).littleEndianBytes
    if isHigh { counts += UInt32(count(high)).littleEndianBytes }
    return message(descriptorsMagic, flags.littleEndianBytes + counts + full + high)
  }

  /// No strings: an interface has none here.
  package static var strings: [UInt8] {
    message(stringsMagic, UInt32(0).littleEndianBytes + UInt32(0).littleEndianBytes)
  }

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
  package enum Event: Equatable {
    package static let size = 12

    case enabled
    /// Unplugged, reset, or given another configuration.
    case disabled
    case setup(USBSetupPacket)
    /// Binding, suspending and resuming change nothing here.
    case other

    package init(_ bytes: [UInt8]) {
      switch bytes[8] {
      case 2: self = .enabled
      case 1, 3: self = .disabled
      case 4: self = .setup(USBSetupPacket(bytes: Array(bytes[..<8])))
      default: self = .other
      }
    }
  }

  /// A class or vendor request as the device knows it: one to an endpoint comes with its place among the descriptors,
  /// counted from 1, whatever address the controller gave it.
  package static func translated(_ setup: USBSetupPacket, _ endpoints: [USBEndpointDescriptor]) -> USBSetupPacket {
    let place = Int(setup.index)
    guard setup.requestType & 0x1F == 2, endpoints.indices.contains(place - 1) else { return setup }
    var translated = setup
    translated.index = UInt16(endpoints[place - 1].address)
    return translated
  }
}
