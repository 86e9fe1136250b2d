import EmulatedUSB
import Glibc
import Quantities
import Testing

@Suite("USBTMC device side")
struct USBTMCFunctionTests {
  let rig = USBTMCRig()

  @Test("the messages of independent hosts arrive as they were meant")
  func vectors() {
    #expect(rig.out(bytes("01 01 fe 00 06 00 00 00 01 00 00 00 2a 49 44 4e 3f 0a 00 00"))?.status == 0)
    #expect(rig.instrument.received.last == Array("*IDN?\n".utf8))
    _ = rig.out(bytes("02 02 fd 00 00 04 00 00 00 00 00 00"))
    #expect(rig.in(1536)?.data == bytes("02 02 fd 00 07 00 00 00 01 00 00 00") + Array("answer\n".utf8))
    #expect(rig.out(bytes("01 ff 00 00 04 00 00 00 01 00 00 00 2a 43 4c 53"))?.status == 0)
    #expect(rig.instrument.received.last == Array("*CLS".utf8))
    #expect(rig.out(bytes("01 07 f8 00 03 00 00 00 00 00 00 00 41 42 43 00"))?.status == 0)
    #expect(rig.instrument.received.count == 2, "without EOM the message goes on")
    #expect(rig.out(bytes("01 08 f7 00 01 00 00 00 01 00 00 00 44 00 00 00"))?.status == 0)
    #expect(rig.instrument.received.last == Array("ABCD".utf8))
  }

  @Test("a request may end the transfer at a character")
  func termChar() {
    rig.instrument.answer = Array("one\ntwo\n".utf8)
    _ = rig.send("x?")
    _ = rig.out(bytes("02 03 fc 00 00 04 00 00 02 0a 00 00"))
    #expect(rig.in(1536)?.data == bytes("02 03 fc 00 04 00 00 00 02 00 00 00") + Array("one\n".utf8))
    _ = rig.out(bytes("02 04 fb 00 00 04 00 00 02 0a 00 00"))
    #expect(rig.in(1536)?.data == bytes("02 04 fb 00 04 00 00 00 03 00 00 00") + Array("two\n".utf8))
  }

  @Test("any payload goes both ways in any packet size", arguments: [8, 64, 512, 1024], [true, false])
  func roundTrips(maximumPacket: Int, pads: Bool) {
    let rig = USBTMCRig(maximumPacket: maximumPacket, pads: pads)
    let edges = [maximumPacket - 13, maximumPacket - 12, maximumPacket - 11, 2 * maximumPacket - 12].filter { $0 > 0 }
    for count in [1, 2, 3, 4, 5, 51, 52, 53, 500, 501, 4999, 5000] + edges {
      var payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ count) }
      payload[count - 1] = 63
      let hostPads = count % 2 == 0 || (12 + count) % maximumPacket == 0
      #expect(rig.out(rig.message(payload, tag: rig.nextTag(), pads: hostPads))?.status == 0)
      #expect(rig.instrument.received.last == payload)
      rig.instrument.answer = payload
      let answer = rig.read(count)
      #expect(answer?.payload == payload, "\(count) bytes")
      #expect(answer?.attributes == 1)
      #expect(rig.in(maximumPacket) == nil, "nothing is left behind")
    }
    #expect(rig.instrument.drops.isEmpty)
  }

  @Test("a transfer that fills its last packet is followed by an empty one", arguments: [64, 512])
  func zeroLengthPacket(maximumPacket: Int) {
    let rig = USBTMCRig(maximumPacket: maximumPacket)
    rig.instrument.answer = [UInt8](repeating: 65, count: maximumPacket - 12)
    _ = rig.send("x?")
    _ = rig.out(rig.request(4096, tag: rig.nextTag()))
    #expect(rig.in(maximumPacket)?.data.count == maximumPacket)
    #expect(rig.in(maximumPacket)?.data == [], "the next read gets the empty packet")
    _ = rig.send("x?")
    #expect(rig.read(maximumPacket - 12)?.payload.count == maximumPacket - 12, "a read with room takes both")
  }

  @Test("a request smaller than the response is followed by others, EOM only on the last")
  func split() {
    rig.instrument.answer = (0..<1000).map { UInt8(truncatingIfNeeded: $0) }
    _ = rig.send("x?")
    var all: [UInt8] = []
    var ends: [UInt8] = []
    for _ in 0..<4 {
      guard let part = rig.read(300) else { break }
      all += part.payload
      ends.append(part.attributes)
    }
    #expect(all == rig.instrument.answer)
    #expect(ends == [0, 0, 0, 1])
  }

  @Test("sizes beyond all bounds in a request are clamped, tags wrap past zero")
  func clampAndWrap() {
    for _ in 0..<300 {
      #expect(rig.send("x?")?.status == 0)
      #expect(rig.read(0x7FFF_FFFF, room: 1024)?.payload == Array("answer\n".utf8))
    }
  }

  @Test(
    "malformed headers halt Bulk-OUT until the host clears it",
    arguments: [
      "01 00 ff 00 01 00 00 00 01 00 00 00 41 00 00 00",  // bTag 0
      "01 05 05 00 01 00 00 00 01 00 00 00 41 00 00 00",  // complement
      "03 05 fa 00 01 00 00 00 01 00 00 00 41 00 00 00",  // MsgID
      "01 05 fa 00 00 00 00 00 01 00 00 00",  // no payload
      "01 05 fa 00 08 00 00 00 01 00 00 00 41",  // too short
      "01 05 fa 00 01 00 00 00 01 00 00 00 41 00 00 00 00 00 00 00",  // too long
      "01 05 fa 00 01 00",  // less than a header
      "02 05 fa 00 00 00 00 00 00 00 00 00",  // nothing asked for
      "02 05 fa 00 10 00 00 00 00 00 00 00 00 00 00 00",  // a request with payload
    ])
  func malformed(hex: String) {
    #expect(rig.out(bytes(hex))?.status == -EPIPE)
    #expect(rig.send("x?")?.status == -EPIPE, "still halted")
    #expect(rig.control(0x82, 0, 0, 0x01, 2)?.data == [1, 0])
    rig.clearHalt(0x01)
    #expect(rig.send("x?")?.status == 0)
    #expect(rig.read()?.payload == Array("answer\n".utf8))
    #expect(rig.instrument.received.count == 1)
  }

  @Test("a response is not there before it is ready, then the waiting transfer gets it")
  func waits() {
    rig.instrument.isReady = false
    _ = rig.send("x?")
    _ = rig.out(rig.request(100, tag: rig.nextTag()))
    nonisolated(unsafe) var done: USBCompletion?
    rig.device.submit(USBRequestBlock(endpoint: 0x82, receiving: 512), tag: 9000) { done = $0 }
    rig.device.tick(MonotonicTime(nanoseconds: 0))
    #expect(done == nil)
    #expect(rig.device.pendingCount == 1)
    rig.device.perform { rig.instrument.isReady = true }
    #expect(done?.data.count == 19)
  }

  @Test("a new message before the answer was read is an interrupted query, a request without query an unterminated one")
  func queryErrors() {
    _ = rig.send("x?")
    _ = rig.send("y")
    #expect(rig.instrument.drops == [.interrupted])
    #expect(rig.read() == nil)
    #expect(rig.instrument.drops == [.interrupted, .unterminated])
    _ = rig.send("x?")
    #expect(rig.read()?.payload == Array("answer\n".utf8), "the device goes on")
  }

  @Test("a second request while a transfer is under way halts Bulk-IN")
  func secondRequest() {
    rig.instrument.answer = [UInt8](repeating: 65, count: 2000)
    _ = rig.send("x?")
    _ = rig.out(rig.request(2000, tag: rig.nextTag()))
    #expect(rig.in(512)?.data.count == 512)
    _ = rig.out(rig.request(2000, tag: rig.nextTag()))
    #expect(rig.in(512)?.status == -EPIPE)
    rig.clearHalt(0x82)
    _ = rig.send("x?")
    #expect(rig.read(2000)?.payload.count == 2000)
  }

  @Test("Bulk-IN can be aborted at every packet, and counts what was sent")
  func abortIn() {
    rig.instrument.answer = [UInt8](repeating: 65, count: 2000)
    for packets in 0...3 {
      _ = rig.send("x?")
      let tag = rig.nextTag()
      _ = rig.out(rig.request(2000, tag: tag))
      for _ in 0..<packets { _ = rig.in(512) }
      #expect(rig.control(0xA2, 3, UInt16(tag ^ 64), 0x82, 2)?.data == [0x81, tag])
      #expect(rig.control(0xA2, 3, UInt16(tag), 0x82, 2)?.data == [1, tag])
      #expect(rig.control(0xA2, 4, 0, 0x82, 8)?.data.prefix(2) == [2, 1], "to be drained")
      #expect(rig.in(512)?.data == [])
      let sent = max(0, packets * 512 - 12)
      #expect(
        rig.control(0xA2, 4, 0, 0x82, 8)?.data == [1, 0, 0, 0, UInt8(sent & 255), UInt8(sent >> 8), 0, 0])
      #expect(rig.control(0xA2, 3, UInt16(tag), 0x82, 2)?.data == [0x80, 0], "nothing in progress")
    }
    #expect(rig.control(0xA2, 4, 0, 0x82, 8)?.data.first == 0x82)
  }

  @Test("a read without query times out, is aborted, and the device works on")
  func readWithoutQuery() {
    let tag = rig.nextTag()
    _ = rig.out(rig.request(100, tag: tag))
    #expect(rig.in(512) == nil)
    #expect(rig.control(0xA2, 3, UInt16(tag), 0x82, 2)?.data == [1, tag])
    #expect(rig.in(512)?.data == [])
    #expect(rig.control(0xA2, 4, 0, 0x82, 8)?.data.first == 1)
    _ = rig.send("x?")
    #expect(rig.read()?.payload == Array("answer\n".utf8))
  }

  @Test("Bulk-OUT can be aborted at each packet of a transfer", arguments: [1, 2, 3])
  func abortOut(packets: Int) {
    let tag = rig.nextTag()
    let whole = rig.message([UInt8](repeating: 65, count: 2000), tag: tag)
    _ = rig.out(Array(whole.prefix(512 * packets)))
    #expect(rig.control(0xA2, 1, UInt16(tag ^ 1), 0x01, 2)?.data == [0x81, tag])
    #expect(rig.control(0xA2, 1, UInt16(tag), 0x01, 2)?.data == [1, tag])
    let count = packets * 512 - 12
    #expect(rig.control(0xA2, 2, 0, 0x01, 8)?.data == [1, 0, 0, 0, UInt8(count & 255), UInt8(count >> 8), 0, 0])
    #expect(rig.send("x?")?.status == -EPIPE, "halted until cleared")
    rig.clearHalt(0x01)
    #expect(rig.send("x?")?.status == 0)
    #expect(rig.instrument.received == [Array("x?".utf8)])
    #expect(rig.control(0xA2, 1, 1, 0x01, 2)?.data.first == 0x80)
  }

  @Test("clear empties both ways and halts Bulk-OUT until the host clears it")
  func clear() {
    rig.instrument.answer = [UInt8](repeating: 65, count: 2000)
    _ = rig.send("x?")
    _ = rig.out(rig.request(2000, tag: rig.nextTag()))
    _ = rig.in(512)
    #expect(rig.control(0xA1, 5, 0, 0, 1)?.data == [1])
    #expect(rig.control(0xA1, 6, 0, 0, 2)?.data == [2, 1])
    #expect(rig.in(512)?.data == [])
    #expect(rig.control(0xA1, 6, 0, 0, 2)?.data == [1, 0])
    #expect(rig.send("x?")?.status == -EPIPE)
    rig.clearHalt(0x01)
    #expect(rig.instrument.clears == 1)
    _ = rig.send("x?")
    #expect(rig.read(2000)?.payload.count == 2000)
  }

  @Test("capabilities are the 24 bytes of the standard; remote and local are there with RL1 only")
  func capabilities() {
    let plain = rig.control(0xA1, 7, 0, 0, 24)?.data
    #expect(plain == bytes("01 00 00 01 00 01 00 00 00 00 00 00 00 01 05 0d 00 00 00 00 00 00 00 00"))
    #expect(rig.control(0xA1, 160, 1, 0, 1)?.status == -EPIPE)
    #expect(rig.control(0xA1, 64, 0, 0, 1)?.status == -EPIPE)
    #expect(rig.control(0xA1, 7, 0, 1, 24)?.status == -EPIPE, "another interface")
    let remote = USBTMCRig(remoteLocal: true)
    #expect(remote.control(0xA1, 7, 0, 0, 24)?.data[14...15] == [7, 15])
    for request: UInt8 in [160, 161, 162] { #expect(remote.control(0xA1, request, 1, 0, 1)?.data == [1]) }
  }

  @Test("the status byte comes on Interrupt-IN, and a second one waits for the first")
  func statusByte() {
    rig.instrument.status = 0x04
    _ = rig.send("x?")
    #expect(rig.control(0xA1, 128, 2, 0, 3)?.data == [1, 2, 0])
    #expect(rig.control(0xA1, 128, 3, 0, 3)?.data == [0x20, 3, 0])
    #expect(rig.interrupt() == [0x82, 0x14])
    #expect(rig.control(0xA1, 128, 1, 0, 3)?.data.first == 0x80, "1 would look like a service request")
    #expect(rig.interrupt() == nil)
  }

  @Test("a service request is told once, also between status answers")
  func serviceRequest() {
    #expect(rig.control(0xA1, 128, 127, 0, 3)?.data == [1, 127, 0])
    rig.device.perform { rig.instrument.status = 0x60 }
    rig.device.tick(MonotonicTime(nanoseconds: 0))
    rig.device.tick(MonotonicTime(nanoseconds: 0))
    #expect(rig.interrupt() == [0xFF, 0x00])
    #expect(rig.interrupt() == [0x81, 0x60])
    #expect(rig.interrupt() == nil)
    _ = rig.control(0xA1, 128, 5, 0, 3)
    #expect(rig.interrupt() == [0x85, 0x60])
    _ = rig.control(0xA1, 128, 6, 0, 3)
    #expect(rig.interrupt() == [0x86, 0x20], "reading it ended the request")
  }

  @Test("a trigger message triggers")
  func trigger() {
    #expect(rig.out(bytes("80 04 fb 00 00 00 00 00 00 00 00 00"))?.status == 0)
    #expect(rig.instrument.triggers == 1)
  }

  @Test("unconfiguring and unplugging are a loss of the host, the end of a program is not")
  func losses() {
    _ = rig.control(0x00, 9, 0, 0, 0)
    #expect(rig.instrument.losses == 1)
    _ = rig.control(0x00, 9, 1, 0, 0)
    let token = rig.device.attach {}
    rig.device.detach(token ?? 0)
    #expect(rig.instrument.losses == 1)
    rig.device.unplug()
    #expect(rig.instrument.losses == 2)
  }
}
