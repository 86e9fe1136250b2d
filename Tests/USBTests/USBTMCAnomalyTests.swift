import EmulatedUSB
import Linux
import Quantities
import Testing
import TwinBench
import USB

@Suite("Whatever happens to a transfer of a USBTMC session")
struct USBTMCAnomalyTests {
  /// A bit of everything: short and long answers, a block, a command, status byte and trigger.
  private func session(_ connection: SCPIConnection) throws {
    _ = try connection.query("n1?")
    try connection.send("set")
    _ = try connection.queryBlock("big2000?")
    _ = try connection.statusByte()
    try connection.trigger()
    _ = try connection.query("n2?")
    try connection.clear()
    _ = try connection.query("n3?")
  }

  private static let kinds: [USBFault.Kind] = [
    .stall, .timeOut, .short(0), .short(5), .short(13), .garbage(seed: 7), .garbage(seed: 12345), .withoutEnd,
    .delay(Seconds(0.004)), .unplug, .unplugAndReplug(after: Seconds(0.003)),
  ]

  @Test("the next question is answered right, or the device is gone and can be opened again (e, h)", arguments: kinds)
  func everyTransfer(kind: USBFault.Kind) throws {
    let sound = QuestionBench()
    try session(try sound.open())
    let count = sound.bus.transferCount(of: sound.device)
    #expect(count > 20)
    var slowest = Seconds(0)
    var failures = 0
    for transfer in 1...count {
      let bench = QuestionBench()
      bench.device.inject(USBFault(endpoint: nil, transfer: transfer, kind: kind))
      let began = MonotonicTime.now
      var connection: SCPIConnection?
      do {
        connection = try bench.open()
        if let connection { try session(connection) }
      } catch {
        failures += 1
        if (error as? InstrumentError)?.isGone == true { connection = nil }
      }
      bench.device.forgetFaults()
      if connection == nil {
        bench.device.plug()
        connection = try bench.open()
      }
      let now = try #require(connection)
      // A recovery that was cut short itself is done before the next message.
      if (try? now.query("n8?")) == nil, !bench.device.isPlugged { bench.device.plug() }
      let again = bench.device.isAttached ? now : try bench.open()
      #expect(try again.query("n9?", within: Seconds(50)) == "n9!", "\(kind) at transfer \(transfer)")
      #expect(try again.queryBlock("big700?", within: Seconds(50)).count == 700, "\(kind) at transfer \(transfer)")
      slowest = max(slowest, .now - began)
      now.close()
    }
    print("\(kind): \(count) cases, \(failures) were told of, the slowest took \(slowest.value) s")
    #expect(slowest < Seconds(4))
  }

  @Test("Bulk transfers that end at any byte do not poison the next question (f)")
  func everyByte() throws {
    let bench = QuestionBench(packetSize: 64)
    let connection = try bench.open()
    var cases = 0
    for count in 0..<220 {
      for endpoint: UInt8 in [0x01, 0x82] {
        bench.device.inject(USBFault(endpoint: endpoint, transfer: 1, kind: .short(count)))
        _ = try? connection.queryBlock("big200?")
        #expect(try connection.query("n\(count)?", within: Seconds(50)) == "n\(count)!", "\(endpoint), \(count) bytes")
        cases += 1
      }
    }
    print("transfers cut short: \(cases) cases")
  }

  @Test("A device that answers nothing any more is told of within a second and a half")
  func dead() throws {
    let bench = QuestionBench(patience: 1)
    let connection = try bench.open()
    for transfer in 1...40 {
      bench.device.inject(USBFault(endpoint: nil, transfer: transfer, kind: .timeOut))
    }
    let began = MonotonicTime.now
    #expect(throws: InstrumentError.self) { try connection.query("n1?", within: Seconds(0.1)) }
    #expect(MonotonicTime.now - began < Seconds(1.5))
  }
}
