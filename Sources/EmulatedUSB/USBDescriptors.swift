/// How fast the emulated bus runs; the number is the one of Linux's `enum usb_device_speed` (USB/IP sends it).
package enum USBSpeed: UInt32, Sendable { case full = 2, high = 3 }

/// The kind of an endpoint, as in `bmAttributes` of its descriptor (USB 2.0 §9.6.6).
package enum USBTransferKind: UInt8, Sendable { case bulk = 2, interrupt = 3 }

/// One endpoint of an interface.
package struct USBEndpointDescriptor: Sendable {
  /// Number, with 0x80 for IN.
  package var address: UInt8
  package var kind: USBTransferKind
  package var maximumPacket: Int
  /// `bInterval` as it stands in the descriptor; meaningful for interrupt endpoints.
  package var interval: UInt8

  package init(address: UInt8, kind: USBTransferKind, maximumPacket: Int, interval: UInt8 = 0) {
    self.address = address
    self.kind = kind
    self.maximumPacket = maximumPacket
    self.interval = interval
  }

  package var isIn: Bool { address & 0x80 != 0 }
}

/// Class, subclass and protocol, as a device, an interface or a group of interfaces names them.
package struct USBClassCodes: Hashable, Sendable {
  package var code: UInt8
  package var subclass: UInt8
  package var protocolCode: UInt8

  package init(_ code: UInt8, _ subclass: UInt8, _ protocolCode: UInt8) {
    self.code = code
    self.subclass = subclass
    self.protocolCode = protocolCode
  }

  /// "See the interfaces" (USB 2.0 §9.6.1).
  package static let byInterface = USBClassCodes(0, 0, 0)
  /// A device with interface association descriptors (EF/02/01).
  package static let byAssociation = USBClassCodes(0xEF, 0x02, 0x01)

  var bytes: [UInt8] { [code, subclass, protocolCode] }
}

/// Interfaces that are one function together: an interface association descriptor.
package struct USBInterfaceAssociation: Sendable {
  package var first: UInt8
  package var count: UInt8
  package var classCodes: USBClassCodes

  package init(first: UInt8, count: UInt8, classCodes: USBClassCodes) {
    self.first = first
    self.count = count
    self.classCodes = classCodes
  }

  var bytes: [UInt8] { [8, 11, first, count] + classCodes.bytes + [0] }
}

/// One interface, alternate setting 0.
package struct USBInterfaceDescriptor: Sendable {
  package var number: UInt8
  package var classCode: UInt8
  package var subclassCode: UInt8
  package var protocolCode: UInt8
  package var endpoints: [USBEndpointDescriptor]
  /// Descriptors that the class defines, between the interface's own and its endpoints'.
  package var classSpecific: [UInt8]

  package init(
    number: UInt8, classCode: UInt8, subclassCode: UInt8, protocolCode: UInt8, endpoints: [USBEndpointDescriptor],
    classSpecific: [UInt8] = []
  ) {
    self.classSpecific = classSpecific
    self.number = number
    self.classCode = classCode
    self.subclassCode = subclassCode
    self.protocolCode = protocolCode
    self.endpoints = endpoints
  }
}

/// All that a device says of itself: device, configuration and strings (USB 2.0 §9.6).
package struct USBDescriptors: Sendable {
  package var vendor: UInt16
  package var product: UInt16
  /// `bcdDevice`, 0x0100 for 1.00.
  package var release: UInt16
  package var deviceClass: USBClassCodes
  package var manufacturerName: String
  package var productName: String
  package var serial: String
  package var speed: USBSpeed
  package var interfaces: [USBInterfaceDescriptor]
  package var associations: [USBInterfaceAssociation]
  package var configurationValue: UInt8 = 1
  /// mA drawn from the bus; 0 for a device with a mains supply.
  package var busPower: Int

  package init(
    _ identity: USBIdentity, deviceClass: USBClassCodes = .byInterface, interfaces: [USBInterfaceDescriptor],
    associations: [USBInterfaceAssociation] = []
  ) {
    vendor = identity.vendor
    product = identity.product
    release = identity.release
    manufacturerName = identity.manufacturerName
    productName = identity.productName
    serial = identity.serial
    speed = identity.speed
    busPower = identity.busPower
    self.deviceClass = deviceClass
    self.interfaces = interfaces
    self.associations = associations
  }

  /// Endpoint 0's packet size; 64 is the only one allowed at high speed (USB 2.0 §5.5.3).
  package var controlPacket: UInt8 { 64 }

  /// The 18 bytes of the device descriptor.
  package var device: [UInt8] {
    [18, 1, 0x00, 0x02] + deviceClass.bytes + [controlPacket] + vendor.littleEndianBytes
      + product.littleEndianBytes + release.littleEndianBytes + [1, 2, 3, 1]
  }

  /// The 10 bytes a high-speed device gives for its other speed (USB 2.0 §9.6.2).
  package var qualifier: [UInt8] { [10, 6, 0x00, 0x02] + deviceClass.bytes + [controlPacket, 1, 0] }

  /// The configuration with its interfaces and endpoints in one block, as GET_DESCRIPTOR gives it.
  package var configuration: [UInt8] { configuration(type: 2) { $0 } }

  /// The same at full speed, where a bulk packet is at most 64 bytes.
  package var otherSpeedConfiguration: [UInt8] { configuration(type: 7) { min($0, 64) } }

  private func configuration(type: UInt8, packet: (Int) -> Int) -> [UInt8] {
    var body: [UInt8] = []
    for interface in interfaces {
      if let association = associations.first(where: { $0.first == interface.number }) { body += association.bytes }
      body += [
        9, 4, interface.number, 0, UInt8(interface.endpoints.count), interface.classCode, interface.subclassCode,
        interface.protocolCode, 0,
      ]
      body += interface.classSpecific
      for endpoint in interface.endpoints {
        body += [7, 5, endpoint.address, endpoint.kind.rawValue]
        body += UInt16(packet(endpoint.maximumPacket)).littleEndianBytes + [endpoint.interval]
      }
    }
    // bmAttributes: bit 7 always, bit 6 when the device has its own supply.
    let attributes: UInt8 = busPower == 0 ? 0xC0 : 0x80
    let head: [UInt8] =
      [9, type] + UInt16(9 + body.count).littleEndianBytes
      + [UInt8(interfaces.count), configurationValue, 0, attributes, UInt8(busPower / 2)]
    return head + body
  }

  /// String descriptor `index` (0 is the list of languages, US English alone), or nil where there is none.
  package func string(_ index: UInt8) -> [UInt8]? {
    let text: String
    switch index {
    case 0: return [4, 3, 0x09, 0x04]
    case 1: text = manufacturerName
    case 2: text = productName
    case 3: text = serial
    default: return nil
    }
    let units = text.utf16.prefix(126).flatMap(\.littleEndianBytes)
    return [UInt8(2 + units.count), 3] + units
  }
}

extension FixedWidthInteger {
  /// The value's bytes, least significant first: USB's order.
  var littleEndianBytes: [UInt8] {
    (0..<Self.bitWidth / 8).map { UInt8(truncatingIfNeeded: self >> (8 * $0)) }
  }

  /// The value's bytes, most significant first: the order of USB/IP headers.
  var bigEndianBytes: [UInt8] { littleEndianBytes.reversed() }

  /// Reads the value from the bytes at `offset`, least significant first.
  init(littleEndian bytes: [UInt8], at offset: Int) {
    self = (0..<Self.bitWidth / 8).reduce(0) { $0 | Self(truncatingIfNeeded: UInt64(bytes[offset + $1]) << (8 * $1)) }
  }

  /// Reads the value from the bytes at `offset`, most significant first.
  init(bigEndian bytes: [UInt8], at offset: Int) {
    self = (0..<Self.bitWidth / 8).reduce(0) { $0 << 8 | Self(truncatingIfNeeded: bytes[offset + $1]) }
  }
}
