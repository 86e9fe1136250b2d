import EmulatedUSB
import Linux
import Quantities
import Testing
import TwinBench
import USB

@Suite("USBTMC against a device")
struct USBTMCDeviceTests {
  @Test(
    "Any payload goes both ways in any packet size; a full last packet is followed by an empty one (a, b)",
    arguments: [8, 64, 512, 1024], [false, true])
  func roundTrips(packetSize: Int, pads: Bool) throws {
    let bench = QuestionBench(packetSize: packetSize, pads: pads, patience: 1)
    let messages = try bench.messages()
    // Header and payload make whole packets.
    var counts = [1, 2, 3, 4, 5, 6, 51, 500, 4999, 5000]
    for packets in 1...3 { counts += (packetSize * packets - 15)...(packetSize * packets - 11) }
    for count in counts where count > 0 {
      let text = String(repeating: "n", count: count)
      #expect(try messages.query(Array((text + "?").utf8)) == QuestionInstrument.answer(text), "\(count) bytes")
    }
    #expect(bench.instrument.errors.isEmpty && bench.instrument.clears == 0)
  }

  @Test("A response longer than a request is fetched in several, and a message longer than a transfer is joined (d)")
  func long() throws {
    let bench = QuestionBench(patience: 1)
    let connection = try bench.open()
    let count = USBTMC.firstRequest + USBTMC.laterRequest + 12_345
    let block = try connection.queryBlock("big\(count)?")
    #expect(block.count == count)
    #expect(block.enumerated().allSatisfy { $0.element == UInt8(truncatingIfNeeded: $0.offset &* 7) })
    let long = String(repeating: "L", count: 3 * USBTMC.mostPerTransfer + 5)
    try connection.send(long)
    #expect(bench.instrument.received.last == Array((long + "\n").utf8))
    #expect(try connection.query("n1?") == "n1!")
    #expect(throws: InstrumentError.self) { try connection.queryBlock("big5000?", most: 4000) }
    #expect(try connection.query("n2?") == "n2!")
  }

  @Test(
    "A question that timed out did not poison the next one, however late its answer came", arguments: [true, false])
  func lateAnswers(forgetsOnAbort: Bool) throws {
    let bench = QuestionBench(patience: 0.01)
    bench.instrument.forgetsOnAbort = forgetsOnAbort
    let connection = try bench.open()
    for round in 0..<20 {
      bench.device.perform { bench.instrument.delay = Seconds(3600) }
      #expect(throws: InstrumentError.self) { try connection.query("late\(round)?", within: Seconds(0.5)) }
      // Its answer, if it is not forgotten, is ready in the middle of the next question.
      bench.device.perform {
        bench.instrument.hurry()
        bench.instrument.delay = Seconds(round % 2 == 0 ? 0 : 0.004)
      }
      #expect(try connection.query("n\(round)?", within: Seconds(500)) == "n\(round)!")
    }
    #expect(bench.instrument.errors.isEmpty, "no query was interrupted or unterminated")
  }

  @Test("The bytes of a transfer that never ended are taken")
  func missingEnd() throws {
    // The message fills its packet, and the empty packet after it is lost: the transfer never ends.
    let bench = QuestionBench(packetSize: 64, patience: 0.01)
    let messages = try bench.messages()
    let text = String(repeating: "n", count: 64 - 12 - 2)
    bench.device.inject(USBFault(endpoint: 0x82, transfer: 1, kind: .withoutEnd))
    #expect(try messages.query(Array((text + "?").utf8)) == QuestionInstrument.answer(text))
    #expect(try messages.query(Array("n2?".utf8)) == QuestionInstrument.answer("n2"))
  }

  @Test("Block data is counted: line feeds in it are bytes, and what is no block is told")
  func blocks() throws {
    func content(_ text: String) -> String? {
      SCPIBlock.content(of: Array(text.utf8)).map { String(decoding: $0, as: UTF8.self) }
    }
    #expect(content("#15ab\ncd\n") == "ab\ncd")
    #expect(content("#210abcdefghij") == "abcdefghij")
    #expect(content("#0ab\ncd\n") == "ab\ncd")
    #expect(content("#10\n") == "")
    for wrong in ["", "#", "#5", "#15abcd", "#1xab", "12\n", "#15abcdefg", "#9999999999a", "\n#11a"] {
      #expect(content(wrong) == nil, "\(wrong)")
    }
    let bench = QuestionBench(patience: 1)
    #expect {
      try bench.open().queryBlock("n1?")
    } throws: { "\($0)".contains("not one whole block") }
  }

  // MARK: USB488

  @Test("The status byte is read beside a busy instrument, tags 2 to 127, and requests for service in between (g)")
  func statusByte() throws {
    let bench = QuestionBench(patience: 1)
    let connection = try bench.open()
    for round in 0..<300 {
      let wantsService = round % 3 == 0
      bench.device.perform { bench.instrument.status = wantsService ? 0x44 : 0x04 }
      // Bit 6 is looked at when time passes.
      bench.device.tick(.now)
      let status = try connection.statusByte()
      #expect(status & 0x04 != 0)
      let expected = round / 3 + 1
      for _ in 0..<5000 where connection.serviceRequests < expected { sleepThread(for: Seconds(0.001)) }
      #expect(connection.serviceRequests == expected)
    }
    bench.device.perform { bench.instrument.status = 0 }
    bench.instrument.delay = Seconds(0.02)
    let transfers = bench.bus.transferCount(of: bench.device)
    #expect(try connection.statusByte() & 0x10 == 0)
    #expect(bench.bus.transferCount(of: bench.device) - transfers <= 3)
    #expect(try connection.query("n1?") == "n1!")
  }

  @Test("What a device does not declare is not sent to it")
  func declared() throws {
    let plain = QuestionBench(
      patience: 1, capabilities: USBTMCCapabilities(endsOnTermChar: false, trigger: false, remoteLocal: false))
    let connection = try plain.open()
    #expect {
      try connection.trigger()
    } throws: { if case .unable? = $0 as? InstrumentError { true } else { false } }
    try connection.goToLocal()
    #expect(plain.instrument.triggers == 0 && plain.instrument.remote == nil)
    let messages = QuestionBench(patience: 1)
    let full = try messages.open()
    try full.trigger()
    try full.goToLocal()
    #expect(messages.instrument.triggers == 1)
    #expect(messages.instrument.remote?.isRemote == false)
    // A STALLed or short answer to GET_CAPABILITIES means none.
    let scripted = ScriptedTransport()
    #expect(try USBTMC(scripted, name: "x").abilities() == .none)
    scripted.controlAnswers[7] = [1, 0, 0, 1]
    #expect(try USBTMC(scripted, name: "x").abilities() == .none)
  }

  @Test("Opening and closing sends no message, and asks for nothing that changes the instrument")
  func connecting() throws {
    let bench = QuestionBench(patience: 1)
    for _ in 0..<3 { try bench.open().close() }
    #expect(bench.instrument.received.isEmpty && bench.instrument.remote == nil && bench.instrument.triggers == 0)
  }
}
