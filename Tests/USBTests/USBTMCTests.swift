import Quantities
import Testing
import USB

private func bytes(_ hex: String) -> [UInt8] { hex.split(separator: " ").map { UInt8($0, radix: 16)! } }

@Suite("USBTMC, the host's side")
struct USBTMCTests {
  @Test("Messages are those of pyvisa-py: header, inverted tag, padding (usbtmc.md §9, V1 and V4)")
  func vectors() throws {
    let device = ScriptedTransport()
    let messages = try USBTMC(device, name: "scripted")
    device.answers = [.success(bytes("02 02 fd 00 02 00 00 00 01 00 00 00 31 0a"))]
    try messages.write(Array("*IDN?\n".utf8))
    let answer = try messages.read(most: 1023)
    #expect(device.sent[0] == bytes("01 01 fe 00 06 00 00 00 01 00 00 00 2a 49 44 4e 3f 0a 00 00"))
    #expect(device.sent[1] == bytes("02 02 fd 00 00 04 00 00 00 00 00 00"))
    #expect(answer == Array("1\n".utf8))
  }

  @Test("The tag goes from 255 to 1")
  func tagWrap() throws {
    let device = ScriptedTransport()
    let messages = try USBTMC(device, name: "scripted")
    for _ in 0..<256 { try messages.write([1]) }
    #expect(device.sent[254][1] == 255)
    #expect(device.sent[255][1] == 1)
    #expect(!device.sent.contains { $0[1] == 0 || $0[2] != ~$0[1] })
  }

  @Test("A response in several transfers is joined, and padding is dropped (R1)")
  func split() throws {
    let device = ScriptedTransport()
    let messages = try USBTMC(device, name: "scripted")
    device.answers = [
      .success(bytes("02 01 fe 00 03 00 00 00 00 00 00 00 41 42 43 00")),
      .success(bytes("02 02 fd 00 01 00 00 00 01 00 00 00 44 00 00 00")),
    ]
    #expect(try messages.read() == Array("ABCD".utf8))
    #expect(device.sent.count == 2)
  }

  @Test(
    "A response with another tag, a short one and one that claims too much are refused, and the device is cleared",
    arguments: [
      "02 07 f8 00 01 00 00 00 01 00 00 00 41", "02 01 fe", "02 01 fe 00 ff 00 00 00 01 00 00 00 41",
      "02 01 fe 00 ff ff ff ff 01 00 00 00 41", "7f 01 fe 00 01 00 00 00 01 00 00 00 41", "",
    ])
  func malformed(hex: String) throws {
    let device = ScriptedTransport()
    let messages = try USBTMC(device, name: "scripted")
    device.answers = [.success(bytes(hex))]
    #expect {
      try messages.read()
    } throws: { error in
      if case .malformed = error as? USBError { true } else { false }
    }
    #expect(device.controls.contains { $0.request == 5 }, "INITIATE_CLEAR was sent")
    #expect(Set(device.cleared) == [0x02, 0x81])
  }

  @Test("After a time-out the transfer is aborted with its own tag")
  func timeout() throws {
    let device = ScriptedTransport()
    let messages = try USBTMC(device, name: "scripted")
    #expect(throws: USBError.timedOut(device: "scripted", operation: "receive")) { try messages.read() }
    let abort = try #require(device.controls.first { $0.request == 3 })
    #expect(abort.value == 1)
    #expect(abort.index == 0x81)
    #expect(abort.requestType == 0xA2)
  }

  @Test("A STALL is cleared on its endpoint, then the device")
  func stall() throws {
    let device = ScriptedTransport()
    let messages = try USBTMC(device, name: "scripted")
    device.answers = [.failure(.stalled(device: "scripted", endpoint: 0x81))]
    #expect(throws: USBError.stalled(device: "scripted", endpoint: 0x81)) { try messages.read() }
    #expect(device.cleared.first == 0x81)
    #expect(device.controls.contains { $0.request == 5 })
  }

  @Test("Descriptors are read, whatever the order and the addresses")
  func descriptors() throws {
    let configuration = bytes(
      "09 02 27 00 01 01 00 80 32 09 04 00 00 03 fe 03 01 00 07 05 83 02 00 02 00 07 05 81 03 08 00 10 07 05 04 02 40 00 00"
    )
    let interface = try #require(USBInterface.first(.usbtmc, in: configuration))
    #expect(interface.bulkIn == .init(address: 0x83, packetSize: 512))
    #expect(interface.bulkOut == .init(address: 0x04, packetSize: 64))
    #expect(interface.interruptIn == .init(address: 0x81, packetSize: 8))
    for end in 0..<configuration.count {
      _ = USBInterface.first(.usbtmc, in: Array(configuration[..<end]))
    }
  }

  @Test("A device is named as VENDOR:PRODUCT or VENDOR:PRODUCT:SERIAL")
  func match() {
    #expect(USBMatch("05E6:2450") == USBMatch(vendor: 0x05E6, product: 0x2450))
    #expect(USBMatch("05e6:2450:0441")?.serial == "0441")
    for wrong in ["", "05E6", "05E6:2450:1:2", "XYZ:1", "12345:1"] { #expect(USBMatch(wrong) == nil) }
  }
}
