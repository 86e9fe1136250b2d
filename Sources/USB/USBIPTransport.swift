import Linux
package import Quantities

/// One device attached over USB/IP. A thread of its own reads the replies, so that several transfers may be under way.
package final class USBIPTransport: USBTransport {
  package let device: USBDeviceFacts
  package let interface: USBInterface
  private let wire: USBIPWire

  /// Reads the descriptors, sets the configuration and picks the interface.
  init(_ stream: UnixStream, deviceID: UInt32, kind: USBInterfaceKind, name: String) throws(USBError) {
    let wire = USBIPWire(stream, deviceID: deviceID, name: name)
    do throws(USBError) {
      let second = Seconds(1)
      let device = try wire.control(
        USBSetup(0x80, 6, value: 0x0100, length: 18), sending: [], within: second)
      let head = try wire.control(USBSetup(0x80, 6, value: 0x0200, length: 9), sending: [], within: second)
      guard device.count >= 18, head.count >= 9 else { throw .malformed(device: name, reason: "short descriptors") }
      let total = UInt16(head[2]) | UInt16(head[3]) << 8
      let all = try wire.control(USBSetup(0x80, 6, value: 0x0200, length: total), sending: [], within: second)
      guard let interface = USBInterface.first(kind, in: all) else {
        throw .malformed(device: name, reason: "it has no interface of the kind that the driver speaks (\(kind))")
      }
      // Setting the configuration that is set already would reset the device (usbtmc.md §1).
      let current = try wire.control(USBSetup(0x80, 8, length: 1), sending: [], within: second)
      if current.first != interface.configuration {
        _ = try wire.control(
          USBSetup(0x00, 9, value: UInt16(interface.configuration)), sending: [], within: second)
      }
      self.interface = interface
      func text(_ index: UInt8) throws(USBError) -> String { try index == 0 ? "" : wire.string(index) }
      self.device = USBDeviceFacts(
        vendor: UInt16(device[8]) | UInt16(device[9]) << 8, product: UInt16(device[10]) | UInt16(device[11]) << 8,
        release: UInt16(device[12]) | UInt16(device[13]) << 8, serial: try text(device[16]),
        manufacturerName: try text(device[14]), productName: try text(device[15]))
      self.wire = wire
    } catch {
      wire.close()
      throw error
    }
  }

  deinit { wire.close() }

  package func control(_ setup: USBSetup, sending: [UInt8], within limit: Seconds) throws(USBError) -> [UInt8] {
    try wire.control(setup, sending: sending, within: limit)
  }

  package func send(_ bytes: [UInt8], to endpoint: UInt8, endingWithZeroPacket: Bool, within limit: Seconds)
    throws(USBError)
  {
    var transfer = USBIPWire.Transfer(endpoint: endpoint, sending: bytes)
    transfer.flags = endingWithZeroPacket ? USBIPWire.zeroPacket : 0
    _ = try wire.perform([transfer], within: limit)
  }

  package func receive(_ most: Int, from endpoint: UInt8, within limit: Seconds) throws(USBError) -> [UInt8] {
    try wire.perform([USBIPWire.Transfer(endpoint: endpoint, receiving: most)], within: limit)
  }

  package func exchange(
    _ messages: [[UInt8]], to out: UInt8, receiving most: Int, from in: UInt8, within limit: Seconds
  ) throws(USBError) -> [UInt8] {
    try wire.perform(
      messages.map { USBIPWire.Transfer(endpoint: out, sending: $0) }
        + [USBIPWire.Transfer(endpoint: `in`, receiving: most)], within: limit)
  }

  package func listen(
    to endpoint: UInt8, transfers: Int, most: Int,
    _ heard: @escaping @Sendable (Result<[UInt8], USBError>, MonotonicTime) -> Void
  ) throws(USBError) {
    try wire.listen(USBIPWire.Transfer(endpoint: endpoint, receiving: most), transfers: transfers, heard)
  }

  package func clearHalt(_ endpoint: UInt8) throws(USBError) {
    _ = try wire.control(USBSetup(0x02, 1, index: UInt16(endpoint)), sending: [], within: Seconds(0.3))
  }

  package func close() { wire.close() }
}
