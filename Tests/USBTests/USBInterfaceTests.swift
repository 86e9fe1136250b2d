import Testing
import USB

private func configuration(_ items: [UInt8]..., interfaces: UInt8) -> [UInt8] {
  let body = items.flatMap { [UInt8($0.count + 1)] + $0 }
  return [9, 2, UInt8(9 + body.count), 0, interfaces, 1, 0, 0x80, 50] + body
}
private func interface(_ number: UInt8, _ classCode: UInt8, _ subclass: UInt8, alternate: UInt8 = 0) -> [UInt8] {
  [4, number, alternate, 2, classCode, subclass, 0, 0]
}
private func endpoint(_ address: UInt8, _ kind: UInt8, _ size: UInt16) -> [UInt8] {
  [5, address, kind, UInt8(size & 0xFF), UInt8(size >> 8), 4]
}

@Suite("Interfaces in configuration descriptors")
struct USBInterfaceTests {
  @Test("A CDC function is its two interfaces, also with association and functional descriptors between")
  func communication() throws {
    let raw = configuration(
      [11, 0, 2, 2, 2, 0, 0], interface(0, 2, 2), [0x24, 0, 0x10, 1], [0x24, 1, 0, 1], [0x24, 2, 2], [0x24, 6, 0, 1],
      endpoint(0x82, 3, 16), interface(1, 0x0A, 0), endpoint(0x81, 2, 64), endpoint(0x01, 2, 64), interfaces: 2)
    let found = try #require(USBInterface.first(.cdcACM, in: raw))
    #expect(found.number == 1 && found.controlNumber == 0)
    #expect(found.bulkIn == .init(address: 0x81, packetSize: 64))
    #expect(found.bulkOut == .init(address: 0x01, packetSize: 64))
    #expect(found.interruptIn == .init(address: 0x82, packetSize: 16))
    #expect(USBInterface.first(.usbtmc, in: raw) == nil)
    #expect(USBInterface.first(.ftdi(port: 0), in: raw) == nil)
  }

  @Test("In a composite device each kind finds its own")
  func composite() throws {
    let raw = configuration(
      interface(0, 3, 0), endpoint(0x81, 3, 8), interface(1, 0xFE, 3), endpoint(0x02, 2, 512), endpoint(0x82, 2, 512),
      endpoint(0x83, 3, 8), interface(2, 2, 2), endpoint(0x84, 3, 10), interface(3, 0x0A, 0), endpoint(0x85, 2, 512),
      endpoint(0x05, 2, 512), interfaces: 4)
    #expect(try #require(USBInterface.first(.usbtmc, in: raw)).number == 1)
    #expect(try #require(USBInterface.first(.usbtmc, in: raw)).interruptIn?.address == 0x83)
    #expect(try #require(USBInterface.first(.cdcACM, in: raw)).bulkIn?.address == 0x85)
  }

  @Test("The ports of an FTDI chip are counted from 0", arguments: [0, 1, 2] as [UInt8])
  func ftdi(port: UInt8) {
    let raw = configuration(
      interface(0, 0xFF, 0xFF), endpoint(0x81, 2, 512), endpoint(0x02, 2, 512), interface(1, 0xFF, 0xFF),
      endpoint(0x83, 2, 512), endpoint(0x04, 2, 512), interfaces: 2)
    #expect(USBInterface.first(.ftdi(port: port), in: raw)?.bulkIn?.address == [0x81, 0x83, nil][Int(port)])
  }

  @Test("Endpoints of further alternate settings, empty ones and cut descriptors are left out, at every length")
  func cut() {
    let raw = configuration(
      interface(0, 0xFE, 3), endpoint(0x01, 2, 0), endpoint(0x82, 2, 64), interface(0, 0xFE, 3, alternate: 1),
      endpoint(0x05, 2, 64), interfaces: 1)
    let found = USBInterface.first(.usbtmc, in: raw)
    #expect(found?.bulkOut == nil)
    #expect(found?.bulkIn?.address == 0x82)
    for count in 0..<raw.count { _ = USBInterface.first(.usbtmc, in: Array(raw[..<count])) }
    #expect(USBInterface.first(.usbtmc, in: Array(raw[..<17])) == nil)
    #expect(USBInterface.first(.usbtmc, in: Array(raw[..<18]))?.bulkIn == nil)
  }
}
