/// An interface and its endpoints, read from a configuration descriptor (USB 2.0 §9.6). Addresses are never assumed:
/// a device controller may renumber them.
package struct USBInterface: Hashable, Sendable {
  package var configuration: UInt8
  package var number: UInt8
  /// The interface that class requests go to: of a CDC function its communication interface, else the same.
  package var controlNumber: UInt8
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
    controlNumber = number
    self.classCode = classCode
    self.subclass = subclass
    self.protocolCode = protocolCode
    self.bulkOut = bulkOut
    self.bulkIn = bulkIn
    self.interruptIn = interruptIn
  }

  /// The first function of that kind in a configuration descriptor with all that follows it; nil when there is none.
  package static func first(_ kind: USBInterfaceKind, in descriptor: [UInt8]) -> USBInterface? {
    let all = interfaces(in: descriptor)
    switch kind {
    case .usbtmc: return all.first { $0.classCode == 0xFE && $0.subclass == 0x03 }
    case .ftdi(let port): return all.filter { $0.classCode == 0xFF && $0.bulkIn != nil }.dropFirst(Int(port)).first
    case .cdcACM:
      // The union descriptor names the pair; on every device seen the data interface follows its communication
      // interface (usb-serial.md §1).
      guard let at = all.firstIndex(where: { $0.classCode == 0x02 && $0.subclass == 0x02 }),
        var data = all[at...].first(where: { $0.classCode == 0x0A && $0.bulkIn != nil })
      else { return nil }
      data.controlNumber = all[at].number
      data.interruptIn = all[at].interruptIn
      return data
    }
  }

  /// The interfaces of a configuration, of each its first alternate setting.
  private static func interfaces(in descriptor: [UInt8]) -> [USBInterface] {
    guard descriptor.count >= 9, descriptor[1] == 2 else { return [] }
    var found: [USBInterface] = []
    /// Endpoints of a further alternate setting belong to none.
    var isKnown = false
    var offset = Int(descriptor[0])
    while offset + 2 <= descriptor.count {
      let length = Int(descriptor[offset])
      guard length >= 2, offset + length <= descriptor.count else { break }
      let item = Array(descriptor[offset..<offset + length])
      if item[1] == 4, length >= 9 {
        isKnown = !found.contains { $0.number == item[2] }
        if isKnown {
          found.append(
            USBInterface(
              configuration: descriptor[5], number: item[2], classCode: item[5], subclass: item[6],
              protocolCode: item[7]))
        }
      } else if item[1] == 5, length >= 7, isKnown, !found.isEmpty {
        found[found.count - 1].add(item)
      }
      offset += length
    }
    return found
  }

  private mutating func add(_ item: [UInt8]) {
    let endpoint = Endpoint(address: item[2], packetSize: (Int(item[4]) | Int(item[5]) << 8) & 0x7FF)
    // Packets of no bytes carry nothing: such an endpoint is as good as none.
    guard endpoint.packetSize > 0 else { return }
    switch (item[3] & 3, item[2] & 0x80) {
    case (2, 0) where bulkOut == nil: bulkOut = endpoint
    case (2, 0x80) where bulkIn == nil: bulkIn = endpoint
    case (3, 0x80) where interruptIn == nil: interruptIn = endpoint
    default: break
    }
  }
}
