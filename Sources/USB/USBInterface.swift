/// An interface and its endpoints, read from a configuration descriptor (USB 2.0 §9.6). Addresses are never assumed:
/// a device controller may renumber them.
package struct USBInterface: Hashable, Sendable {
  package var configuration: UInt8
  package var number: UInt8
  package var classCode: UInt8
  package var subclass: UInt8
  package var protocolCode: UInt8
  package var bulkOut: Endpoint?
  package var bulkIn: Endpoint?
  package var interruptIn: Endpoint?

  package struct Endpoint: Hashable, Sendable {
    package var address: UInt8
    /// Bytes in a full packet: 64, 512 or 1024.
    package var packetSize: Int

    package init(address: UInt8, packetSize: Int) {
      self.address = address
      self.packetSize = packetSize
    }
  }

  package init(
    configuration: UInt8, number: UInt8, classCode: UInt8, subclass: UInt8, protocolCode: UInt8,
    bulkOut: Endpoint? = nil, bulkIn: Endpoint? = nil, interruptIn: Endpoint? = nil
  ) {
    self.configuration = configuration
    self.number = number
    self.classCode = classCode
    self.subclass = subclass
    self.protocolCode = protocolCode
    self.bulkOut = bulkOut
    self.bulkIn = bulkIn
    self.interruptIn = interruptIn
  }

  /// The first interface of a class in a configuration descriptor with all that follows it; nil when there is none.
  package static func first(classCode: UInt8, subclass: UInt8, in descriptor: [UInt8]) -> USBInterface? {
    guard descriptor.count >= 9, descriptor[1] == 2 else { return nil }
    var found: USBInterface?
    var offset = Int(descriptor[0])
    while offset + 2 <= descriptor.count {
      let length = Int(descriptor[offset])
      guard length >= 2, offset + length <= descriptor.count else { break }
      let item = Array(descriptor[offset..<offset + length])
      if item[1] == 4, length >= 9 {
        if found != nil { break }
        if item[5] == classCode && item[6] == subclass {
          found = USBInterface(
            configuration: descriptor[5], number: item[2], classCode: item[5], subclass: item[6], protocolCode: item[7])
        }
      } else if item[1] == 5, length >= 7, found != nil {
        let endpoint = Endpoint(address: item[2], packetSize: (Int(item[4]) | Int(item[5]) << 8) & 0x7FF)
        // Packets of no bytes carry nothing: such an endpoint is as good as none.
        if endpoint.packetSize > 0 {
          switch (item[3] & 3, item[2] & 0x80) {
          case (2, 0) where found?.bulkOut == nil: found?.bulkOut = endpoint
          case (2, 0x80) where found?.bulkIn == nil: found?.bulkIn = endpoint
          case (3, 0x80) where found?.interruptIn == nil: found?.interruptIn = endpoint
          default: break
          }
        }
      }
      offset += length
    }
    return found
  }
}
