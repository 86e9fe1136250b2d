import Quantities
import Testing
import USB

private func bytes(_ hex: String) -> [UInt8] { hex.split(separator: " ").map { UInt8($0, radix: 16)! } }

@Suite("USBTMC, the host's side")
struct USBTMCTests {
  @Test("Messages are those of pyvisa-py: header, inverted tag, padding (usbtmc.md §9, V1 to V5)")
  func vectors() throws {
    let device = ScriptedTransport()
    let messages = try USBTMC(device, name: "scripted")
    device.answers = [.success(bytes("02 02 fd 00 02 00 00 00 01 00 00 00 31 0a"))]
    device.controlAnswers[7] = bytes("01 00 00 01 00 01 00 00 00 00 00 00 00 01 05 0d 00 00 00 00 00 00 00 00")
    try messages.write(Array("*IDN?\n".utf8))
    let answer = try messages.read(most: 1023)
    #expect(device.sent[0] == bytes("01 01 fe 00 06 00 00 00 01 00 00 00 2a 49 44 4e 3f 0a 00 00"))
    #expect(device.sent[1] == bytes("02 02 fd 00 00 04 00 00 00 00 00 00"))
    #expect(answer == Array("1\n".utf8))
    device.answers = [.success(bytes("02 03 fc 00 02 00 00 00 02 00 00 00 31 0a"))]
    #expect(try messages.read(most: 1023, endingAt: 10) == Array("1\n".utf8))
    #expect(device.sent[2] == bytes("02 03 fc 00 00 04 00 00 02 0a 00 00"))
    for _ in 4...254 { try messages.write([65]) }
    try messages.write(Array("*CLS".utf8))
    #expect(device.sent.last == bytes("01 ff 00 00 04 00 00 00 01 00 00 00 2a 43 4c 53"))
    // V3: the first part of a message that goes on has no EOM.
    for _ in 1...6 { try messages.write([65]) }
    try messages.write([UInt8](repeating: 65, count: USBTMC.mostPerTransfer) + Array("ABC".utf8))
    #expect(Array(device.sent[device.sent.count - 2].prefix(12)) == bytes("01 07 f8 00 00 00 01 00 00 00 00 00"))
    #expect(device.sent.last == bytes("01 08 f7 00 03 00 00 00 01 00 00 00 41 42 43 00"))
  }

  @Test("The recorded answer of a Rigol, two packets with a padded one, is one transfer (R1)")
  func rigol() throws {
    let text = Array("RIGOL TECHNOLOGIES,DS1074Z,DS1ZA000000000,00.04.04.SP4\n".utf8)
    #expect(text.count == 0x37)
    let device = ScriptedTransport(packetSize: 64)
    device.answers = [.success(bytes("02 02 fd 00 37 00 00 00 01 00 00 00") + text + [0])]
    #expect(try USBTMC(device, name: "scripted").query(Array("*idn?\n".utf8)) == text)
    #expect(device.sent[0] == bytes("01 01 fe 00 06 00 00 00 01 00 00 00 2a 69 64 6e 3f 0a 00 00"))
    #expect(USBTMC.room(for: 0x37, 64) >= 68)
  }

  @Test("A short query waits once, a long one twice")
  func waits() throws {
    let device = ScriptedTransport()
    let messages = try USBTMC(device, name: "scripted")
    device.answers = [
      .success(bytes("02 02 fd 00 01 00 00 00 01 00 00 00 31")),
      .success(bytes("02 04 fb 00 01 00 00 00 01 00 00 00 31")),
    ]
    _ = try messages.query(Array("*IDN?\n".utf8))
    #expect(device.waits == 1)
    _ = try messages.query([UInt8](repeating: 65, count: USBTMC.shortQuery + 1))
    #expect(device.waits == 3)
  }

  @Test("An answer that nobody read is cleared away before the next message")
  func unread() throws {
    let device = ScriptedTransport()
    let connection = SCPIConnection(try USBTMC(device, name: "scripted"), name: "scripted")
    try connection.send("*IDN?")
    #expect(device.controls.isEmpty)
    try connection.send("*CLS")
    #expect(device.controls.map(\.request).prefix(2) == [5, 6])
    let count = device.controls.count
    try connection.send("*CLS")
    #expect(device.controls.count == count)
  }

  @Test("A clear that fails is done before the next message, or that is not sent")
  func unfinishedRecovery() throws {
    let device = ScriptedTransport()
    let messages = try USBTMC(device, name: "scripted")
    device.controlAnswers[5] = nil
    #expect(throws: USBError.self) { try messages.read() }
    let sent = device.sent.count
    #expect(throws: USBError.self) { try messages.write([65]) }
    #expect(device.sent.count == sent)
    device.controlAnswers[5] = [1]
    try messages.write([65])
    #expect(device.sent.count == sent + 1)
  }

  @Test("The tag goes from 255 to 1")
  func tagWrap() throws {
    let device = ScriptedTransport()
    let messages = try USBTMC(device, name: "scripted")
    for _ in 0..<256 { try messages.write([1]) }  // property (c)
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

  @Test("A device of the quirk table is treated as its row says")
  func quirks() throws {
    func device(_ vendor: UInt16, _ product: UInt16) throws -> (ScriptedTransport, USBTMC) {
      let device = ScriptedTransport(packetSize: 64, vendor: vendor, product: product)
      return (device, try USBTMC(device, name: "scripted"))
    }
    // Siglent: reset when opened; REN is never sent although RL1 is declared.
    let (siglent, scope) = try device(0xF4EC, 0x1234)
    siglent.controlAnswers[7] = bytes("01 00 00 01 00 00 00 00 00 00 00 00 00 01 07 0f 00 00 00 00 00 00 00 00")
    siglent.controlAnswers[160] = [1]
    #expect(siglent.resets == 1)
    #expect(try !scope.remote() && !scope.goToLocal())
    #expect(!siglent.controls.contains { $0.request >= 160 })
    // TinyUSB: tags stay below 128.
    let (tiny, holder) = try device(0x1209, 0x0B10)
    for _ in 0..<300 { try holder.write([1]) }
    #expect(tiny.sent.allSatisfy { (1...127).contains($0[1]) && $0[2] == ~$0[1] })
    #expect(tiny.sent[127][1] == 1)
    // Rigol DS1000Z: no INITIATE_CLEAR; an empty first read; one REQUEST, then bytes without headers.
    let (rigol, other) = try device(0x1AB1, 0x04CE)
    #expect(throws: USBError.self) { try other.read() }
    #expect(!rigol.controls.contains { $0.request == 5 } && rigol.controls.contains { $0.request == 3 })
    rigol.answers = [
      .success([]), .success(bytes("02 03 fc 00 05 00 00 00 00 00 00 00") + Array("#210abcde".utf8)),
      .success(Array("fghij\n".utf8)),
    ]
    #expect(try other.query([65]) == Array("#210abcdefghij\n".utf8))
    #expect(rigol.sent.count == 3)
    // B2900A: a USB reset is the last step when nothing else helps.
    let (keysight, source) = try device(0x0957, 0x8B18)
    keysight.controlAnswers[5] = nil
    #expect(throws: USBError.self) { try source.query([65]) }
    #expect(keysight.resets == 1)
    for row in USBTMCQuirks.table { #expect(!row.reason.isEmpty && !row.quirks.isEmpty) }
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
