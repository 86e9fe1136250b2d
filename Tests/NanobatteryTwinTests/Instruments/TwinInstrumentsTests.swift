import EmulatedUSB
import Quantities
import Testing

@testable import NanobatteryTwin

/// The instruments at packet level: the bytes of the fact sheets, through the emulated devices.
@Suite("Twin instruments over USB")
struct TwinInstrumentsTests {
  let cell = FakeCell()
  let hands = Hands()
  let twin: TwinInstruments

  init() { twin = Self.make(TwinInstruments.Settings(), cell, hands) }

  private static func make(_ settings: TwinInstruments.Settings, _ cell: FakeCell, _ hands: Hands) -> TwinInstruments {
    var settings = settings
    settings.potentiostat.currentNoise = 0
    settings.potentiostat.voltageNoise = 0
    settings.potentiostat.settlingShare = 0
    return TwinInstruments(
      settings, cell: cell, potentiostatClock: FakeClock(), holderClock: FakeClock(), now: { hands.now })
  }

  private func bytes(_ hex: String) -> [UInt8] {
    let digits = Array(hex.filter { !$0.isWhitespace })
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(String(digits[$0...($0 + 1)]), radix: 16) ?? 0 }
  }

  private func transfer(_ device: EmulatedUSBDevice, _ request: USBRequestBlock) -> [UInt8]? {
    nonisolated(unsafe) var done: USBCompletion?
    device.submit(request, tag: 1) { done = $0 }
    if done == nil { device.cancel(tag: 1) }
    return done.flatMap { $0.status == 0 ? $0.data : nil }
  }

  /// Sends to the holder and expects exactly these bytes back.
  private func holder(_ out: String, _ request: String? = nil) -> [UInt8]? {
    guard transfer(twin.holder, USBRequestBlock(endpoint: 0x01, sending: bytes(out))) != nil else { return nil }
    guard let request else { return [] }
    _ = transfer(twin.holder, USBRequestBlock(endpoint: 0x01, sending: bytes(request)))
    return transfer(twin.holder, USBRequestBlock(endpoint: 0x81, receiving: 1536))
  }

  @Test("the holder speaks the bytes of its sheet's examples")
  func holderExamples() {
    #expect(
      holder(
        "0101fe00 06000000 01000000 2a49444e3f0a 0000", "0202fd00 00010000 00000000")
        == bytes("0202fd00 1e000000 01000000") + Array("OPENHOLDER,OBH-1,000001,1.0.0\n".utf8))
    #expect(holder("0103fc00 0d000000 01000000 3a535953543a4845415220370a 000000") == [])
    #expect(twin.holder.perform { twin.openHolder.heartbeatToken } == 7)
    twin.holder.perform {
      let instrument = SCPIInstrument(twin.openHolder)
      instrument.receive(Array(":SYST:ARM;:ROUT:CLOS (@1!0:8!0)".utf8), at: hands.now)
    }
    hands.move(0.01)
    twin.tick(hands.now)
    #expect(
      holder(
        "0104fb00 11000000 01000000 3a524f55543a434c4f533a535441543f0a 000000", "0205fa00 00040000 00000000")
        == bytes("0205fa00 0b000000 01000000 28403121303a382130290a"))
  }

  @Test("a record block is the one of the sheet")
  func recordBlock() {
    twin.holder.perform {
      twin.openHolder.append(
        HolderRecord(
          time_us: 1_000_000, sequence: 42, current_A: 1.25e-12, voltage_V: -2, heater_Ohm: 118.75, status: 0x0210,
          rangeIndex: 3, routeProfile: 2, edgeCount: 17))
    }
    // ":FETC? 1\n"
    let block = holder("0108f700 09000000 01000000 3a464554433f20310a 000000", "0209f600 00040000 00000000")
    #expect(
      block
        == bytes(
          """
          0209f600 25000000 01000000 23323332 40420f0000000000 2a000000 ffebaf2b 000000c0 0080ed42 1002 03 02
          11000000 0a
          """))
  }

  @Test("the holder's time is the one of the sheet")
  func holderTime() {
    let clock = FakeClock(offset: 123_456_789_012_000 - 1_033_412_000)
    let twin = TwinInstruments(
      TwinInstruments.Settings(), cell: cell, potentiostatClock: FakeClock(), holderClock: clock, now: { hands.now })
    hands.move(1.033412)
    _ = transfer(
      twin.holder,
      USBRequestBlock(endpoint: 0x01, sending: bytes("0106f900 0c000000 01000000 3a535953543a54494d453f0a")))
    _ = transfer(twin.holder, USBRequestBlock(endpoint: 0x01, sending: bytes("0207f800 00040000 00000000")))
    #expect(
      transfer(twin.holder, USBRequestBlock(endpoint: 0x81, receiving: 1536))
        == bytes("0207f800 16000000 01000000 3132333435363738393031322c313033332c3431320a"))
  }

  @Test("a lost heartbeat asks for service with the status byte of the sheet")
  func serviceRequest() {
    func send(_ text: String) {
      var message = bytes("01 20 df 00") + [UInt8(text.utf8.count), 0, 0, 0, 1, 0, 0, 0] + Array(text.utf8)
      while message.count % 4 != 0 { message.append(0) }
      _ = transfer(twin.holder, USBRequestBlock(endpoint: 0x01, sending: message))
    }
    send("*CLS;:STAT:QUES:ENAB 1024;*SRE 8;:SYST:HEAR:TIM 0.2;:SYST:ARM;:ROUT:CLOS (@1!1,2!2)")
    hands.move(0.19)
    twin.tick(hands.now)
    #expect(cell.contactsClosed)
    #expect(transfer(twin.holder, USBRequestBlock(endpoint: 0x82, receiving: 8)) == nil)
    hands.move(0.02)
    twin.tick(hands.now)
    #expect(!cell.contactsClosed)
    // The sheet's 0x48 and bit 2: error +301 is in the queue.
    #expect(transfer(twin.holder, USBRequestBlock(endpoint: 0x82, receiving: 8)) == [0x81, 0x4C])
  }

  @Test("device clear while a block is on its way changes nothing at the relays")
  func clearKeepsRelays() {
    twin.holder.perform {
      let instrument = SCPIInstrument(twin.openHolder)
      instrument.receive(Array(":SYST:ARM;:ROUT:CLOS (@1!1,2!2);:OUTP ON".utf8), at: hands.now)
    }
    hands.move(1)
    twin.tick(hands.now)
    _ = holder("0101fe00 06000000 01000000 464554433f0a 0000")
    _ = transfer(twin.holder, USBRequestBlock(endpoint: 0x01, sending: bytes("0202fd00 00040000 00000000")))
    #expect(transfer(twin.holder, USBRequestBlock(endpoint: 0x81, receiving: 512))?.count == 512)
    let clear = USBSetupPacket(requestType: 0xA1, request: 5, value: 0, index: 0, length: 1)
    #expect(transfer(twin.holder, USBRequestBlock(setup: clear)) == [1])
    #expect(cell.contactsClosed)
    #expect(twin.holder.perform { twin.openHolder.state } == .active)
  }

  @Test("pulling the holder's cable opens the cell at once; the end of a program does not, the heartbeat does")
  func cables() {
    func connect() {
      twin.holder.perform {
        let instrument = SCPIInstrument(twin.openHolder)
        instrument.receive(
          Array(":SYST:SAF:CLE;:SYST:HEAR:TIM 2;:SYST:ARM;:ROUT:CLOS (@1!1,2!2)".utf8), at: hands.now)
      }
      hands.move(0.01)
      twin.tick(hands.now)
    }
    connect()
    twin.holder.detach(twin.holder.attach {} ?? 0)
    #expect(cell.contactsClosed)
    hands.move(1.9)
    twin.tick(hands.now)
    #expect(cell.contactsClosed)
    hands.move(0.2)
    twin.tick(hands.now)
    #expect(!cell.contactsClosed)
    #expect(cell.history.notes.contains { $0.hasPrefix("holder: SAFE_OPEN cause HEARTBEAT; relays open at ") })
    connect()
    #expect(cell.contactsClosed)
    twin.holder.unplug()
    #expect(!cell.contactsClosed)
    twin.holder.plug()
    #expect(twin.holder.perform { twin.openHolder.cause } == .usb)
  }

  @Test("the potentiostat's cable is pulled when the settings say so, and its output stays on")
  func unplugFault() throws {
    var settings = TwinInstruments.Settings()
    settings.unplugPotentiostatAfterOutputOn = Seconds(5)
    let twin = Self.make(settings, cell, hands)
    let line = Array(":ROUT:TERM REAR;:SOUR:FUNC CURR;:SOUR:CURR:RANG 1E-8;:SOUR:CURR 2E-12;:OUTP ON".utf8)
    let keithley = try #require(twin.keithley)
    twin.potentiostat.perform { SCPIInstrument(keithley).receive(line, at: hands.now) }
    hands.move(4.9)
    twin.tick(hands.now)
    #expect(twin.potentiostat.isPlugged)
    hands.move(0.2)
    twin.tick(hands.now)
    #expect(!twin.potentiostat.isPlugged)
    guard case .current = cell.terminal else {
      Issue.record("the source must go on without its cable")
      return
    }
    twin.potentiostat.plug()
    twin.tick(hands.now)
    #expect(twin.potentiostat.isPlugged, "once")
  }

  @Test("both devices show their numbers and their own endpoints")
  func identities() {
    #expect(twin.exports.map(\.busID) == ["1-1", "1-2"])
    let smu = twin.potentiostat.descriptors
    let holder = twin.holder.descriptors
    #expect((smu.vendor, smu.product, smu.serial) == (0x05E6, 0x2450, "04412345"))
    #expect((holder.vendor, holder.product, holder.serial) == (0x1209, 0x0B10, "000001"))
    #expect(smu.interfaces[0].endpoints.map(\.address) == [0x01, 0x82, 0x83])
    #expect(holder.interfaces[0].endpoints.map(\.address) == [0x01, 0x81, 0x82])
  }
}
