import EmulatedUSB
import Glibc
import Linux
import Quantities
import Testing

@Suite("Emulated USB device")
struct EmulatedUSBDeviceTests {
  let rig = USBTMCRig()

  @Test("descriptors say what the device is, in the bytes of USB 2.0")
  func descriptors() {
    #expect(
      rig.control(0x80, 6, 0x0100, 0, 64)?.data == bytes("12 01 00 02 00 00 00 40 09 12 01 7a 00 01 01 02 03 01"))
    #expect(rig.control(0x80, 6, 0x0100, 0, 8)?.data.count == 8)
    let configuration = rig.control(0x80, 6, 0x0200, 0, 255)?.data
    #expect(
      configuration
        == bytes(
          """
          09 02 27 00 01 01 00 c0 00  09 04 00 00 03 fe 03 01 00
          07 05 01 02 00 02 00  07 05 82 02 00 02 00  07 05 83 03 08 00 09
          """))
    #expect(rig.control(0x80, 6, 0x0300, 0, 255)?.data == [4, 3, 9, 4])
    #expect(rig.control(0x80, 6, 0x0303, 0x0409, 255)?.data == bytes("0e 03 53 00 4e 00 30 00 30 00 30 00 31 00"))
    #expect(rig.control(0x80, 6, 0x0309, 0x0409, 255)?.status == -EPIPE)
    #expect(rig.control(0x80, 6, 0x0600, 0, 255)?.data.count == 10)
    #expect(rig.control(0x80, 6, 0x0700, 0, 255)?.data[22...23] == [64, 0])
  }

  @Test("standard requests are answered")
  func standardRequests() {
    #expect(rig.control(0x80, 8, 0, 0, 1)?.data == [1])
    #expect(rig.control(0x00, 9, 2, 0, 0)?.status == -EPIPE)
    #expect(rig.control(0x80, 0, 0, 0, 2)?.data == [1, 0])
    #expect(rig.control(0x81, 10, 0, 0, 1)?.data == [0])
    #expect(rig.control(0x01, 11, 1, 0, 0)?.status == -EPIPE)
    #expect(rig.control(0x01, 11, 0, 0, 0)?.status == 0)
    #expect(rig.control(0x02, 3, 0, 0x82, 0)?.status == 0)
    #expect(rig.control(0x82, 0, 0, 0x82, 2)?.data == [1, 0])
    #expect(rig.in(512)?.status == -EPIPE)
    rig.clearHalt(0x82)
    #expect(rig.control(0x82, 0, 0, 0x82, 2)?.data == [0, 0])
    #expect(rig.control(0x82, 0, 0, 0x85, 2)?.status == -EPIPE)
    #expect(rig.control(0xC0, 1, 0, 0, 2)?.status == -EPIPE)
  }

  @Test("more than the host has room for is babble, less may be an error when the host says so")
  func lengths() {
    rig.instrument.answer = [UInt8](repeating: 65, count: 100)
    _ = rig.send("x?")
    _ = rig.out(rig.request(100, tag: rig.nextTag()))
    #expect(rig.in(50)?.status == -EOVERFLOW)
    _ = rig.send("x?")
    _ = rig.out(rig.request(100, tag: rig.nextTag()))
    var request = USBRequestBlock(endpoint: 0x82, receiving: 512)
    request.shortIsError = true
    #expect(rig.transfer(request).result?.status == -EREMOTEIO)
  }

  @Test("an OUT transfer may be told to end with an empty packet, which disturbs nothing")
  func zeroPacketOut() {
    var request = USBRequestBlock(
      endpoint: 0x01, sending: rig.message([UInt8](repeating: 65, count: 500), tag: rig.nextTag()))
    request.endsWithZeroPacket = true
    #expect(rig.transfer(request).result?.status == 0)
    #expect(rig.instrument.received.count == 1)
    #expect(rig.send("x?")?.status == 0)
    #expect(rig.read()?.payload == Array("answer\n".utf8))
  }

  @Test("32 transfers in flight are all taken back")
  func cancel() {
    for urb in 0..<32 {
      rig.device.submit(USBRequestBlock(endpoint: 0x82, receiving: 512), tag: UInt64(urb + 100)) { _ in
        Issue.record("a transfer that was taken back must not complete")
      }
    }
    #expect(rig.device.pendingCount == 32)
    for urb in 0..<32 { rig.device.cancel(tag: UInt64(urb + 100)) { wasPending, _ in #expect(wasPending) } }
    rig.device.cancel(tag: 100) { wasPending, _ in #expect(!wasPending) }
    #expect(rig.device.pendingCount == 0)
  }

  @Test("no more than 16 MiB are in flight")
  func memory() {
    for urb in 0..<16 {
      rig.device.submit(USBRequestBlock(endpoint: 0x82, receiving: 1 << 20), tag: UInt64(urb + 100)) { _ in }
    }
    #expect(rig.in(1)?.status == -ENOMEM)
    #expect(rig.transfer(USBRequestBlock(endpoint: 0x07, sending: [1])).result?.status == -ENOENT)
  }

  @Test("unplugging ends what is in flight, refuses the rest, and plugging starts anew; 100 times")
  func unplug() {
    for _ in 0..<100 {
      let told = Monitor(false)
      let token = rig.device.attach { told.update { $0 = true } }
      #expect(token != nil)
      #expect(rig.device.attach {} == nil, "taken")
      nonisolated(unsafe) var status: Int32?
      rig.device.submit(USBRequestBlock(endpoint: 0x82, receiving: 512), tag: 7) { status = $0.status }
      rig.device.unplug()
      #expect(status == -ESHUTDOWN)
      #expect(told.read { $0 })
      #expect(rig.in(512)?.status == -ENODEV)
      #expect(rig.device.attach {} == nil)
      rig.device.plug()
      #expect(rig.send("x?")?.status == 0)
      #expect(rig.read()?.payload == Array("answer\n".utf8))
    }
  }

  @Test("faults hit the transfer they were meant for: stall, short, garbage")
  func faults() {
    rig.device.inject(USBFault(endpoint: 0x01, transfer: 2, kind: .stall))
    #expect(rig.send("a")?.status == 0)
    #expect(rig.send("b")?.status == -EPIPE)
    rig.clearHalt(0x01)
    #expect(rig.send("x?")?.status == 0)
    rig.device.inject(USBFault(endpoint: 0x82, transfer: 1, kind: .short(5)))
    _ = rig.out(rig.request(100, tag: rig.nextTag()))
    #expect(rig.in(512)?.data.count == 5)
    _ = rig.send("x?")
    rig.device.inject(USBFault(endpoint: 0x82, transfer: 1, kind: .garbage(seed: 3)))
    _ = rig.out(rig.request(100, tag: rig.nextTag()))
    let garbage = rig.in(512)?.data
    #expect(garbage?.count == 19)
    #expect(garbage?.prefix(1) != [2])
    rig.device.inject(USBFault(endpoint: 0, transfer: 1, kind: .stall))
    #expect(rig.control(0xA1, 7, 0, 0, 24)?.status == -EPIPE)
    #expect(rig.control(0xA1, 7, 0, 0, 24)?.status == 0)
    rig.device.inject(USBFault(endpoint: 0x82, transfer: 1, kind: .unplug))
    #expect(rig.in(512)?.status == -ESHUTDOWN)
    #expect(!rig.device.isPlugged)
  }

  @Test("a delayed transfer holds its endpoint until its time has come")
  func delay() {
    let hands = Monitor(Int64(0))
    let instrument = EchoInstrument()
    let function = USBTMCFunction(
      rig.identity, USBTMCCapabilities(remoteLocal: false), instrument: instrument,
      clock: { MonotonicTime(nanoseconds: hands.read { $0 }) })
    let device = EmulatedUSBDevice(function, clock: { MonotonicTime(nanoseconds: hands.read { $0 }) })
    device.inject(USBFault(endpoint: 0x01, transfer: 1, kind: .delay(Seconds(0.5))))
    nonisolated(unsafe) var order: [Int] = []
    for urb in 1...2 {
      let message = rig.message(Array("m\(urb)".utf8), tag: UInt8(urb))
      device.submit(USBRequestBlock(endpoint: 0x01, sending: message), tag: UInt64(urb)) { _ in order.append(urb) }
    }
    hands.update { $0 = 499_000_000 }
    device.tick(MonotonicTime(nanoseconds: 499_000_000))
    #expect(order.isEmpty)
    hands.update { $0 = 500_000_000 }
    device.tick(MonotonicTime(nanoseconds: 500_000_000))
    #expect(order == [1, 2])
    #expect(instrument.received == [Array("m1".utf8), Array("m2".utf8)])
  }
}
