import EmulatedUSB
import Glibc
import Linux
import Quantities
import Testing

/// Gives what the test put in, remembers what came.
private final class ByteInstrument: ByteStreamInstrument {
  var received: [UInt8] = []
  var outgoing: [UInt8] = []
  var lines: [(dtr: Bool, rts: Bool)] = []
  var losses = 0
  func receive(_ bytes: [UInt8], at now: MonotonicTime) { received += bytes }
  func transmit(_ most: Int, at now: MonotonicTime) -> [UInt8] {
    let bytes = Array(outgoing.prefix(most))
    outgoing.removeFirst(bytes.count)
    return bytes
  }
  func lineStateChanged(dtr: Bool, rts: Bool, at now: MonotonicTime) { lines.append((dtr, rts)) }
  func usbLost(at now: MonotonicTime) { losses += 1 }
  func tick(_ now: MonotonicTime) {}
}

/// Transfers of the host, and a clock that the test turns.
private final class SerialRig {
  let instrument = ByteInstrument()
  let device: EmulatedUSBDevice
  let cdc: CDCACMFunction?
  let ftdi: FTDIFunction?
  private let hands = Monitor(Int64(0))
  private var nextURB: UInt64 = 1

  init(ftdi isFTDI: Bool) {
    var identity = USBIdentity(
      vendor: 0x1209, product: 0x7A02, manufacturerName: "Maker", productName: "Line", serial: "S1")
    identity.maximumPacket = 64
    identity.speed = .full
    let clock: @Sendable () -> MonotonicTime = { [hands] in MonotonicTime(nanoseconds: hands.read { $0 }) }
    if isFTDI {
      let function = FTDIFunction(identity, instrument: instrument, clock: clock)
      ftdi = function
      cdc = nil
      device = EmulatedUSBDevice(function, clock: clock)
    } else {
      let function = CDCACMFunction(identity, instrument: instrument, clock: clock)
      cdc = function
      ftdi = nil
      device = EmulatedUSBDevice(function, clock: clock)
    }
  }

  func pass(milliseconds: Int) {
    for _ in 0..<milliseconds {
      let now = hands.update { hands in
        hands += 1_000_000
        return hands
      }
      device.tick(MonotonicTime(nanoseconds: now))
    }
  }

  func transfer(_ request: USBRequestBlock) -> USBCompletion? {
    let urb = nextURB
    nextURB += 1
    nonisolated(unsafe) var result: USBCompletion?
    device.submit(request, tag: urb) { result = $0 }
    if result == nil { device.cancel(tag: urb) }
    return result
  }

  func `in`(_ endpoint: UInt8, _ length: Int = 512) -> [UInt8]? {
    transfer(USBRequestBlock(endpoint: endpoint, receiving: length))?.data
  }
  func out(_ endpoint: UInt8, _ bytes: [UInt8]) -> Int32? {
    transfer(USBRequestBlock(endpoint: endpoint, sending: bytes))?.status
  }
  func control(
    _ type: UInt8, _ request: UInt8, _ value: UInt16, _ index: UInt16 = 0, _ data: [UInt8] = [], length: UInt16? = nil
  )
    -> USBCompletion?
  {
    transfer(
      USBRequestBlock(
        setup: USBSetupPacket(
          requestType: type, request: request, value: value, index: index, length: length ?? UInt16(data.count)),
        data: data))
  }
}

@Suite("Emulated serial lines")
struct SerialFunctionTests {
  @Test("CDC: descriptors have the association, the functional descriptors and both interfaces")
  func cdcDescriptors() {
    let rig = SerialRig(ftdi: false)
    #expect(rig.control(0x80, 6, 0x0100, length: 18)?.data[4...6] == [0xEF, 2, 1])
    #expect(
      rig.control(0x80, 6, 0x0200, length: 255)?.data
        == bytes(
          """
          09 02 4b 00 02 01 00 c0 00  08 0b 00 02 02 02 00 00
          09 04 00 00 01 02 02 00 00  05 24 00 10 01  05 24 01 00 01  04 24 02 02  05 24 06 00 01  07 05 83 03 08 00 09
          09 04 01 00 02 0a 00 00 00  07 05 01 02 40 00 00  07 05 82 02 40 00 00
          """))
  }

  @Test("CDC: nothing is sent before DTR; a full last packet is followed by an empty one")
  func cdcStream() {
    let rig = SerialRig(ftdi: false)
    rig.instrument.outgoing = [UInt8](repeating: 65, count: 128)
    #expect(rig.in(0x82) == nil)
    #expect(rig.control(0x21, 0x22, 3)?.status == 0)
    #expect(rig.instrument.lines.count == 1)
    #expect(rig.in(0x82)?.count == 128)
    #expect(rig.in(0x82) == nil)
    rig.instrument.outgoing = [UInt8](repeating: 66, count: 64)
    #expect(rig.in(0x82, 64)?.count == 64)
    #expect(rig.in(0x82, 64) == [], "the end of what filled its packet")
    #expect(rig.out(0x01, Array("t\n".utf8)) == 0)
    #expect(rig.instrument.received == Array("t\n".utf8))
  }

  @Test("CDC: line coding is kept, wrong lengths and other interfaces are refused")
  func cdcRequests() {
    let rig = SerialRig(ftdi: false)
    #expect(rig.control(0x21, 0x20, 0, 0, [0, 0x10, 0x0E, 0, 0, 0, 8])?.status == 0)
    #expect(rig.control(0xA1, 0x21, 0, length: 7)?.data == [0, 0x10, 0x0E, 0, 0, 0, 8])
    #expect(rig.control(0x21, 0x20, 0, 0, [1, 2])?.status == -EPIPE)
    #expect(rig.control(0x21, 0x22, 3, 1)?.status == -EPIPE)
    #expect(rig.control(0x21, 0x55, 0)?.status == -EPIPE)
  }

  @Test("CDC: the line's state comes on Interrupt-IN, ten bytes in packets of eight")
  func cdcNotification() {
    let rig = SerialRig(ftdi: false)
    #expect(rig.in(0x83, 16) == nil)
    _ = rig.control(0x21, 0x22, 3)
    rig.device.perform { rig.cdc?.notify(.overrun) }
    #expect(rig.in(0x83, 16) == [0xA1, 0x20, 0, 0, 0, 0, 2, 0, 3, 0])
    #expect(rig.in(0x83, 8) == [0xA1, 0x20, 0, 0, 0, 0, 2, 0])
    #expect(rig.in(0x83, 8) == [0x40, 0])
    for _ in 0..<100 { rig.device.perform { rig.cdc?.notify([]) } }
    var count = 0
    while rig.in(0x83, 16) != nil { count += 1 }
    #expect(count == 10, "those nobody fetches are not kept without bound")
  }

  @Test("CDC: dropping DTR at 1200 baud is a reboot into the boot loader")
  func cdcTouch() {
    let rig = SerialRig(ftdi: false)
    _ = rig.control(0x21, 0x20, 0, 0, [0xB0, 0x04, 0, 0, 0, 0, 8])
    _ = rig.control(0x21, 0x22, 3)
    _ = rig.control(0x21, 0x22, 0)
    #expect(rig.cdc?.isInBootLoader == true && rig.instrument.losses == 1)
    #expect(rig.out(0x01, [65]) == -EPIPE)
    rig.device.unplug()
    rig.device.plug()
    #expect(rig.cdc?.isInBootLoader == false && rig.out(0x01, [65]) == 0)
  }

  @Test("FTDI: an idle chip gives its status every latency period, 16 ms at first")
  func ftdiIdle() {
    let rig = SerialRig(ftdi: true)
    #expect(rig.control(0x80, 6, 0x0100, length: 18)?.data[12...13] == [0x00, 0x10], "FT-X")
    rig.pass(milliseconds: 15)
    #expect(rig.in(0x81) == nil)
    rig.pass(milliseconds: 1)
    #expect(rig.in(0x81) == [0x01, 0x60])
    #expect(rig.control(0xC0, 0x0A, 0, length: 1)?.data == [16])
    #expect(rig.control(0x40, 0x09, 1)?.status == 0)
    #expect(rig.control(0x40, 0x09, 0)?.status == -EPIPE)
    for _ in 0..<3 {
      rig.pass(milliseconds: 1)
      #expect(rig.in(0x81) == [0x01, 0x60])
    }
    #expect(rig.control(0xC0, 0x05, 0, length: 2)?.data == [0x01, 0x60])
  }

  @Test("FTDI: bytes wait for the timer, the event character or a full packet, and come at the line's speed")
  func ftdiStream() {
    let rig = SerialRig(ftdi: true)
    _ = rig.control(0x40, 0x03, 0x000D)
    rig.pass(milliseconds: 16)
    _ = rig.in(0x81)
    rig.instrument.outgoing = Array("abc".utf8)
    rig.pass(milliseconds: 2)
    #expect(rig.in(0x81) == nil, "16 ms are not over")
    rig.pass(milliseconds: 14)
    #expect(rig.in(0x81) == [0x01, 0x60] + Array("abc".utf8))
    _ = rig.control(0x40, 0x06, 0x010A)
    rig.instrument.outgoing = Array("ok\n".utf8)
    rig.pass(milliseconds: 1)
    #expect(rig.in(0x81) == [0x01, 0x60] + Array("ok\n".utf8))
    // 23 bytes a millisecond at 230400 baud.
    rig.instrument.outgoing = [UInt8](repeating: 66, count: 500)
    rig.pass(milliseconds: 2)
    #expect(rig.in(0x81) == nil)
    rig.pass(milliseconds: 5)
    let all = rig.in(0x81, 64)
    #expect(all?.count == 64 && all?.prefix(2) == [0x01, 0x60])
    // Purging empties what has not been fetched.
    _ = rig.control(0x40, 0x00, 1)
    rig.instrument.outgoing = []
    rig.pass(milliseconds: 16)
    #expect(rig.in(0x81) == [0x01, 0x60])
  }

  @Test("FTDI: what the host does not fetch is lost beyond 512 bytes, and said in the next packet")
  func ftdiOverrun() {
    let rig = SerialRig(ftdi: true)
    _ = rig.control(0x40, 0x03, 0x000D)
    rig.instrument.outgoing = [UInt8](repeating: 67, count: 2000)
    rig.pass(milliseconds: 200)
    #expect(rig.ftdi?.bytesLost == 2000 - 512)
    let first = rig.in(0x81, 64)
    #expect(first?.prefix(2) == [0x01, 0x62])
    #expect(rig.in(0x81, 64)?.prefix(2) == [0x01, 0x60])
  }

  @Test("FTDI: modem lines follow their masks; at another speed the instrument reads other bytes")
  func ftdiLines() {
    let rig = SerialRig(ftdi: true)
    // A word of the EEPROM, that Linux's driver asks for.
    let word = rig.control(0xC0, 0x90, 0, 0x0D, length: 2)?.data
    #expect(word == [0, 0])
    _ = rig.control(0x40, 0x01, 0x0101)
    _ = rig.control(0x40, 0x01, 0x0202)
    _ = rig.control(0x40, 0x01, 0x0100)
    #expect(rig.instrument.lines.map(\.dtr) == [true, true, false])
    #expect(rig.instrument.lines.map(\.rts) == [false, true, true])
    _ = rig.control(0x40, 0x03, 0x4138)
    #expect(rig.ftdi?.baud == 9600)
    _ = rig.out(0x02, Array("t\n".utf8))
    #expect(rig.instrument.received.count == 2 && !rig.instrument.received.contains(10))
    _ = rig.control(0x40, 0x03, 0x000D)
    _ = rig.out(0x02, Array("t\n".utf8))
    #expect(rig.instrument.received.suffix(2) == Array("t\n".utf8))
    rig.device.unplug()
    #expect(rig.instrument.losses == 1)
  }

  @Test("a fault may be given by its place among all transfers; a cable may come back by itself")
  func overallFaults() {
    let rig = SerialRig(ftdi: false)
    _ = rig.control(0x21, 0x22, 3)
    rig.device.inject(USBFault(endpoint: nil, transfer: 3, kind: .unplugAndReplug(after: Seconds(0.005))))
    rig.device.inject(USBFault(endpoint: nil, transfer: 1, kind: .timeOut))
    #expect(rig.device.transferCount == 1)
    #expect(rig.out(0x01, [65]) == nil, "nothing ever comes")
    #expect(rig.out(0x01, [66]) == 0)
    #expect(rig.out(0x01, [67]) == -ESHUTDOWN)
    #expect(!rig.device.isPlugged && rig.device.plugChanges == 1)
    rig.pass(milliseconds: 4)
    #expect(!rig.device.isPlugged)
    rig.pass(milliseconds: 1)
    #expect(rig.device.isPlugged && rig.device.plugChanges == 2)
    #expect(rig.out(0x01, [68]) == 0)
    #expect(rig.instrument.received == [66, 68])
    #expect(rig.device.transferCount == 5)
  }
}
