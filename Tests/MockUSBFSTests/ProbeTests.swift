import EmulatedUSB
import Glibc
import Linux
import MockUSBFS
import NanobatteryTwin
import Quantities
import Testing
import TwinBench

/// The daemon's USB client over real libusb, in a program of its own (`usb-probe`).
@Suite("The daemon's USB client reaches the emulated instruments by real libusb", .serialized)
final class ProbeTests {
  let bench: MockBench
  let probe: PreloadedProgram

  init() throws {
    bench = try MockBench()
    probe = try PreloadedProgram.probe(bench)
  }

  deinit {
    probe.kill()
    bench.end()
  }

  @Test("Devices are listed with what their descriptors say, and are opened by it")
  func list() throws {
    let list = try probe.ask("list")
    #expect(list.contains("05e6:2450 04412345 Keithley Instruments Inc. 2450 SourceMeter"))
    #expect(list.contains("1209:0b10 000001 Open Holder OBH-1 biasing holder"))
    #expect(list.contains("1209:7a01 SN0001 Emulated METER-1"))
    #expect(try probe.ask("open smu usbtmc 05E6:2450") == "05e6:2450 04412345 out 1 in 82 interrupt 83")
    #expect(try probe.ask("open holder usbtmc 1209:0B10:000001") == "1209:0b10 000001 out 1 in 81 interrupt 82")
    #expect(try probe.ask("query smu 2 *IDN?").hasPrefix("KEITHLEY INSTRUMENTS,MODEL 2450,04412345"))
    #expect(try probe.ask("query holder 2 *IDN?").hasPrefix("OPENHOLDER,OBH-1,000001"))
    #expect(try probe.refusal("open other usbtmc 1209:FFFF").contains("is not plugged in"))
  }

  @Test("A device that one program has is refused to a second, and free again when the first was killed")
  func busy() throws {
    try probe.ask("open smu usbtmc 05E6:2450")
    let second = try PreloadedProgram.probe(bench)
    defer { second.kill() }
    #expect(try second.refusal("open smu usbtmc 05E6:2450").contains("in use by"))
    #expect(try probe.ask("query smu 2 *IDN?").hasPrefix("KEITHLEY"))
    probe.kill()
    while bench.instruments.potentiostat.isAttached { sleepThread(for: Seconds(0.001)) }
    try second.ask("open smu usbtmc 05E6:2450")
    #expect(try second.ask("query smu 2 *IDN?").hasPrefix("KEITHLEY"))
  }

  @Test("Answers arrive whole, from one byte to a megabyte")
  func blocks() throws {
    try probe.ask("open meter usbtmc 1209:7A01")
    for count in [1, 500, 512, 65_536, 1_000_000] {
      let digits = "\(count)"
      var bytes = Array("#\(digits.count)\(digits)".utf8) + (0..<count).map { UInt8($0 % 251) }
      // The client takes zeros and line ends off an answer.
      while let last = bytes.last, [0, 10, 13].contains(last) { bytes.removeLast() }
      let sum = bytes.withUnsafeBytes { crc32c($0) }
      #expect(try probe.ask("block meter 10 BLOCK? \(count)", within: Seconds(20)) == "\(bytes.count) \(sum)")
    }
  }

  @Test("A question that is not answered ends in its time, and the next is answered")
  func timeouts() throws {
    try probe.ask("open meter usbtmc 1209:7A01")
    // Those that wait for notifications stay.
    let posted = bench.meter.pendingCount
    #expect(try probe.refusal("query meter 0.1 NEVER?").contains("did not answer in time"))
    #expect(try probe.ask("query meter 2 *IDN?") == "EMULATED,METER-1,SN0001,0.1")
    #expect(try probe.refusal("receive meter 82 512 0.05").contains("did not answer in time"))
    #expect(try probe.ask("query meter 2 LATE? 40") == "late")
    #expect(bench.meter.pendingCount == posted)
  }

  @Test("A STALL is told as one, and the endpoint works again", arguments: [UInt8(0x82), 0x01])
  func stalls(endpoint: UInt8) throws {
    try probe.ask("open meter usbtmc 1209:7A01")
    bench.meter.inject(USBFault(endpoint: endpoint, transfer: 1, kind: .stall))
    let refusal = try probe.refusal("query meter 2 *IDN?")
    #expect(refusal.contains("STALL on endpoint"))
    #expect(try probe.ask("query meter 2 *IDN?") == "EMULATED,METER-1,SN0001,0.1")
  }

  @Test("Status byte, device clear and the end of a halt")
  func control() throws {
    try probe.ask("open meter usbtmc 1209:7A01")
    #expect(try probe.ask("status meter") == "0")
    try probe.ask("send meter *IDN?")
    #expect(try probe.ask("status meter") == "16")
    try probe.ask("clear meter")
    #expect(try probe.ask("status meter") == "0")
    try probe.ask("halt meter 82")
    #expect(try probe.ask("query meter 2 *IDN?") == "EMULATED,METER-1,SN0001,0.1")
  }

  @Test("32 transfers under way are all taken back by closing")
  func manyInFlight() throws {
    for _ in 0..<5 {
      try probe.ask("open meter usbtmc 1209:7A01")
      let posted = bench.meter.pendingCount
      try probe.ask("listen meter 82 32 16384")
      #expect(bench.meter.pendingCount == posted + 32)
      try probe.ask("close meter")
      #expect(bench.meter.pendingCount == 0)
    }
    try probe.ask("open meter usbtmc 1209:7A01")
    #expect(try probe.ask("query meter 2 *IDN?") == "EMULATED,METER-1,SN0001,0.1")
  }

  @Test("A cable pulled with transfers under way, and put back, a hundred times")
  func replug() throws {
    try probe.ask("watch")
    for round in 0..<100 {
      try probe.ask("open meter usbtmc 1209:7A01")
      #expect(try probe.ask("query meter 2 *IDN?") == "EMULATED,METER-1,SN0001,0.1", "round \(round)")
      try probe.ask("listen meter 82 4 512")
      // By the mock or at the device itself: the same is seen.
      if round.isMultiple(of: 2) { bench.mock.unplug(MockBench.Port.meter) } else { bench.meter.unplug() }
      // In which order the two are told is libusb's affair.
      var told = [try probe.event(""), try probe.event("")].sorted()
      #expect(told.removeFirst().hasPrefix("heard meter error meter is unplugged"), "round \(round)")
      #expect(told == ["left 1209:7a01 SN0001"], "round \(round)")
      #expect(try probe.refusal("query meter 2 *IDN?").contains("unplugged"))
      try probe.ask("close meter")
      if round.isMultiple(of: 2) { bench.mock.plug(MockBench.Port.meter) } else { bench.meter.plug() }
      try probe.event("arrived 1209:7a01")
    }
    #expect(bench.meter.pendingCount == 0)
  }

  @Test("An open device without anything to do costs no processor time")
  func idle() throws {
    try probe.ask("open meter usbtmc 1209:7A01")
    try probe.ask("listen meter 82 2 512")
    let milliseconds = try #require(Double(try probe.ask("idle 1")))
    print("idle, with a listener: \(milliseconds) ms of processor time in a second")
    #expect(milliseconds < 50)
  }

  @Test("A question takes about a millisecond")
  func time() throws {
    try probe.ask("open meter usbtmc 1209:7A01")
    let meter = try #require(Double(try probe.ask("time meter 300 *IDN?", within: Seconds(30))))
    print("*IDN? by libusb through the mock: \(Int(meter)) µs")
    #expect(meter < 20_000)
  }
}

/// Where other ways to a device differ from the mock as it is.
@Suite("The mock shows the differences of real controllers", .serialized)
struct MockOptionTests {
  private func with(
    _ options: MockUSBFS.Options, _ body: (MockBench, PreloadedProgram) throws -> Void
  ) throws {
    let bench = try MockBench(options)
    defer { bench.end() }
    let probe = try PreloadedProgram.probe(bench)
    defer { probe.kill() }
    try body(bench, probe)
  }

  @Test("Endpoints that a controller renumbered are found by their descriptors")
  func renumbered() throws {
    var options = MockUSBFS.Options()
    options.renumbersEndpoints = true
    try with(options) { bench, probe in
      #expect(try probe.ask("open smu usbtmc 05E6:2450") == "05e6:2450 04412345 out 2 in 81 interrupt 85")
      #expect(try probe.ask("query smu 2 *IDN?").hasPrefix("KEITHLEY"))
      try probe.ask("open meter usbtmc 1209:7A01")
      #expect(try probe.refusal("query meter 0.1 NEVER?").contains("did not answer in time"))
      #expect(try probe.ask("query meter 2 *IDN?") == "EMULATED,METER-1,SN0001,0.1")
      bench.meter.inject(USBFault(endpoint: 0x82, transfer: 1, kind: .stall))
      #expect(try probe.refusal("query meter 2 *IDN?").contains("STALL on endpoint 0x81"))
      #expect(try probe.ask("query meter 2 *IDN?") == "EMULATED,METER-1,SN0001,0.1")
    }
  }

  @Test("A pulled cable that shows as a protocol error is known for what it is")
  func errorAtUnplug() throws {
    var options = MockUSBFS.Options()
    options.unplugGivesError = true
    try with(options) { bench, probe in
      try probe.ask("watch")
      try probe.ask("open meter usbtmc 1209:7A01")
      try probe.ask("listen meter 82 4 512")
      bench.mock.unplug(MockBench.Port.meter)
      var told = [try probe.event(""), try probe.event("")].sorted()
      #expect(told.removeFirst().hasPrefix("heard meter error meter is unplugged"))
      #expect(told == ["left 1209:7a01 SN0001"])
      #expect(try probe.refusal("query meter 2 *IDN?").contains("unplugged"))
    }
  }

  @Test("Without a kernel driver there is none to detach")
  func noDriver() throws {
    var options = MockUSBFS.Options()
    options.hasKernelDrivers = false
    try with(options) { _, probe in
      try probe.ask("open smu usbtmc 05E6:2450")
      #expect(try probe.ask("query smu 2 *IDN?").hasPrefix("KEITHLEY"))
    }
  }

  @Test("A root that is too long for sockets is refused by name")
  func longRoot() throws {
    let root = "/dev/shm/" + String(repeating: "x", count: 90)
    #expect(throws: LinuxError("socket path", root, number: ENAMETOOLONG)) {
      _ = try MockUSBFS(root: root, devices: [])
    }
  }
}
