import EmulatedUSB
import Testing

@Suite("FunctionFS messages")
struct FunctionFSTests {
  let rig = USBTMCRig()

  @Test("descriptors are told for full and for high speed, without device and configuration")
  func descriptors() {
    let interface = "09 04 00 00 03 fe 03 01 00"
    #expect(
      FunctionFS.descriptors(rig.device.descriptors)
        == bytes(
          """
          03 00 00 00  50 00 00 00  03 00 00 00  04 00 00 00  04 00 00 00
          \(interface)  07 05 01 02 40 00 00  07 05 82 02 40 00 00  07 05 83 03 08 00 09
          \(interface)  07 05 01 02 00 02 00  07 05 82 02 00 02 00  07 05 83 03 08 00 09
          """))
    #expect(FunctionFS.strings == bytes("02 00 00 00  10 00 00 00  00 00 00 00  00 00 00 00"))
  }

  @Test("events of endpoint 0 are read: setup, enabled, disabled and unbound; the rest changes nothing")
  func events() {
    func event(_ type: UInt8) -> FunctionFS.Event {
      FunctionFS.Event(bytes("a1 07 00 00 00 00 18 00") + [type, 0, 0, 0])
    }
    let setup = USBSetupPacket(requestType: 0xA1, request: 7, value: 0, index: 0, length: 24)
    #expect(event(4) == .setup(setup))
    #expect(event(2) == .enabled)
    #expect([event(1), event(3)] == [.disabled, .disabled])
    #expect([event(0), event(5), event(6)] == [.other, .other, .other])
  }

  @Test("a request to an endpoint gets the address of the device's own descriptors, whatever the controller made of it")
  func translation() {
    let endpoints = rig.device.descriptors.interfaces[0].endpoints
    func index(_ type: UInt8, _ index: UInt16) -> UInt16 {
      let setup = USBSetupPacket(requestType: type, request: 3, value: 5, index: index, length: 2)
      return FunctionFS.translated(setup, endpoints).index
    }
    #expect([index(0xA2, 1), index(0xA2, 2), index(0xA2, 3)] == [0x01, 0x82, 0x83])
    #expect(index(0xA2, 4) == 4, "no such endpoint: left alone, and refused by the device")
    #expect(index(0xA1, 1) == 1, "not to an endpoint")
  }
}
