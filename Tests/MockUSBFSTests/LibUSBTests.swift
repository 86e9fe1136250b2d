import EmulatedUSB
import Glibc
import Linux
import MockUSBFS
import Quantities
import Testing
import USB

/// One mock with its devices, and a bus of libusb on it.
private final class Bench: @unchecked Sendable {
  let functions: [WireFunction]
  let devices: [EmulatedUSBDevice]
  let mock: MockUSBFS
  let bus = LibUSBBus()
  static let match = USBMatch(vendor: 0x1209, product: 0x7A01)

  init(_ functions: [WireFunction] = [WireFunction()], _ options: MockUSBFS.Options = .init()) throws {
    self.functions = functions
    devices = functions.map { EmulatedUSBDevice($0) }
    mock = try MockUSBFS(root: try #require(LibUSBChild.root), devices: devices, options: options)
  }

  deinit { mock.stop() }

  func open(_ match: USBMatch = match, _ kind: USBInterfaceKind = .usbtmc) throws -> any USBTransport {
    try bus.open(match, kind, name: "wire")
  }

  /// Waits for what another thread does; bounded.
  func waits(until isTrue: () -> Bool) -> Bool {
    let end = MonotonicTime.now + Seconds(3)
    while !isTrue() {
      if MonotonicTime.now > end { return false }
      sleepThread(for: Seconds(0.001))
    }
    return true
  }
}

private let second = Seconds(1)

private func error(_ body: () throws -> Void) -> USBError? {
  do {
    try body()
    return nil
  } catch { return error as? USBError }
}

@Suite("libusb on the mock of usbfs", .serialized, .enabled(if: LibUSBChild.isHere))
struct LibUSBTests {
  @Test("A device is opened with its names, serial number, endpoints and packet sizes, and closed")
  func opens() throws {
    let bench = try Bench()
    let transport = try bench.open()
    #expect(transport.device.serial == "SN0001")
    #expect(transport.device.manufacturerName == "Maker")
    #expect(transport.device.productName == "Wire")
    #expect(transport.device.release == 0x0100)
    #expect(transport.interface.bulkIn == .init(address: 0x82, packetSize: 512))
    #expect(transport.interface.bulkOut == .init(address: 0x01, packetSize: 512))
    #expect(transport.interface.interruptIn == .init(address: 0x83, packetSize: 8))
    #expect(bench.mock.openHandles == 1)
    transport.close()
    #expect(bench.waits { bench.mock.openHandles == 0 })
    #expect(error { try transport.send([1], to: 1, within: second) } == .disconnected(device: "wire"))
  }

  @Test("Endpoint addresses are the host's, not the device's")
  func renumbered() throws {
    var options = MockUSBFS.Options()
    options.renumbersEndpoints = true
    let bench = try Bench([WireFunction()], options)
    let transport = try bench.open()
    let address = try #require(transport.interface.bulkIn?.address)
    #expect(address != 0x82)
    bench.devices[0].perform { bench.functions[0].outbox[0x82] = [[7]] }
    #expect(try transport.receive(64, from: address, within: second) == [7])
    transport.close()
  }

  @Test("What is sent arrives in packets, with an empty one at the end if asked for; control requests go both ways")
  func sends() throws {
    let bench = try Bench()
    let transport = try bench.open()
    let message = (0..<1024).map { UInt8(truncatingIfNeeded: $0) }
    try transport.send(message, to: 1, endingWithZeroPacket: true, within: second)
    try transport.send([9], to: 1, within: second)
    let inbox = bench.devices[0].perform { bench.functions[0].inbox }
    #expect(inbox == [Array(message[..<512]), Array(message[512...]), [], [9]])
    #expect(try transport.control(USBSetup(0xC0, 0x10, length: 3), sending: [], within: second) == [1, 2, 3])
    #expect(try transport.control(USBSetup(0x40, 0x10, value: 5), sending: [], within: second) == [])
    #expect(bench.devices[0].perform { bench.functions[0].controls.last?.value } == 5)
    transport.close()
  }

  @Test("A message of more than 1 MiB is read in pieces and comes back as one", arguments: [1 << 20, (2 << 20) + 100])
  func longMessages(count: Int) throws {
    let bench = try Bench()
    let transport = try bench.open()
    let message = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 9) }
    bench.devices[0].perform { bench.functions[0].outbox[0x82] = packets(message) + [[1]] }
    let received = try transport.receive(4 << 20, from: 0x82, within: Seconds(5))
    #expect(received == message)
    #expect(try transport.receive(64, from: 0x82, within: second) == [1], "the next message is a message of its own")
    transport.close()
  }

  @Test("A time-out takes the transfer back in time, and what comes afterwards is for the next one")
  func timesOut() throws {
    let bench = try Bench()
    let transport = try bench.open()
    let begin = MonotonicTime.now
    let timedOut = error { _ = try transport.receive(64, from: 0x82, within: Seconds(0.05)) }
    #expect(timedOut == .timedOut(device: "wire", operation: "endpoint 0x82"))
    #expect(MonotonicTime.now - begin < Seconds(0.5))
    #expect(bench.devices[0].pendingCount == 0)
    bench.devices[0].perform { bench.functions[0].outbox[0x82] = [[5, 6]] }
    #expect(try transport.receive(64, from: 0x82, within: second) == [5, 6])
    let refused = error {
      _ = try transport.control(USBSetup(0xC0, 0x11, length: 1), sending: [], within: Seconds(0.05))
    }
    #expect(refused == .timedOut(device: "wire", operation: "control request 17"))
    transport.close()
  }

  @Test("STALL is told with its endpoint, and cleared")
  func stalls() throws {
    let bench = try Bench()
    let transport = try bench.open()
    bench.devices[0].inject(USBFault(endpoint: 0x82, transfer: 1, kind: .stall))
    #expect(
      error { _ = try transport.receive(64, from: 0x82, within: second) } == .stalled(device: "wire", endpoint: 0x82))
    #expect(
      error { _ = try transport.receive(64, from: 0x82, within: second) } == .stalled(device: "wire", endpoint: 0x82))
    try transport.clearHalt(0x82)
    bench.devices[0].perform { bench.functions[0].outbox[0x82] = [[8]] }
    #expect(try transport.receive(64, from: 0x82, within: second) == [8])
    #expect(
      error { _ = try transport.control(USBSetup(0xC0, 0x99, length: 1), sending: [], within: second) }
        == .stalled(device: "wire", endpoint: 0x80))
    transport.close()
  }

  @Test("A question and its answer are under way together; when the question fails the answer is not waited for")
  func exchanges() throws {
    let bench = try Bench()
    let transport = try bench.open()
    bench.devices[0].perform { bench.functions[0].outbox[0x82] = [[3]] }
    #expect(try transport.exchange([[1], [2, 2]], to: 1, receiving: 512, from: 0x82, within: second) == [3])
    #expect(bench.devices[0].perform { bench.functions[0].inbox } == [[1], [2, 2]])

    bench.devices[0].inject(USBFault(endpoint: 0x01, transfer: 1, kind: .stall))
    let begin = MonotonicTime.now
    let failed = error { _ = try transport.exchange([[1], [2]], to: 1, receiving: 512, from: 0x82, within: second) }
    #expect(failed == .stalled(device: "wire", endpoint: 1))
    #expect(MonotonicTime.now - begin < Seconds(0.5))
    #expect(bench.devices[0].pendingCount == 0, "nothing stays posted that would take the next answer")
    try transport.clearHalt(0x01)
    bench.devices[0].perform { bench.functions[0].takes = false }
    let timedOut = error {
      _ = try transport.exchange([[1]], to: 1, receiving: 512, from: 0x82, within: Seconds(0.05))
    }
    #expect(timedOut == .timedOut(device: "wire", operation: "endpoint 0x01"))
    #expect(bench.devices[0].pendingCount == 0)
    transport.close()
  }

  @Test("Thirty-two transfers stay posted: what they bring is heard in order, and closing takes them all back")
  func listens() throws {
    let bench = try Bench()
    let transport = try bench.open()
    let heard = Monitor<[(UInt8?, MonotonicTime)]>([])
    let failures = Monitor<[USBError]>([])
    try transport.listen(to: 0x82, transfers: 32, most: 512) { result, time in
      switch result {
      case .success(let bytes): heard.update { $0.append((bytes.first, time)) }
      case .failure(let error): failures.update { $0.append(error) }
      }
    }
    #expect(bench.waits { bench.devices[0].pendingCount == 32 })
    for first in stride(from: 0, to: 200, by: 20) {
      let some = (first..<first + 20).map { [UInt8($0), 0, 0] }
      bench.devices[0].perform { bench.functions[0].outbox[0x82, default: []] += some }
    }
    #expect(bench.waits { heard.read { $0.count } == 200 })
    #expect(heard.read { $0.map(\.0) } == (0..<200).map { UInt8($0) })
    let times = heard.read { $0.map(\.1) }
    #expect(times == times.sorted())
    transport.close()
    #expect(bench.devices[0].pendingCount == 0)
    #expect(bench.waits { bench.mock.openHandles == 0 })
    #expect(failures.read { $0 } == [], "closing is no failure")
  }

  @Test("A transport that is let go of while transfers are posted leaves nothing open")
  func dropped() throws {
    let bench = try Bench()
    do {
      let transport = try bench.open()
      try transport.listen(to: 0x83, transfers: 4, most: 2) { _, _ in }
      #expect(bench.waits { bench.devices[0].pendingCount == 4 })
    }
    #expect(bench.waits { bench.devices[0].pendingCount == 0 && bench.mock.openHandles == 0 })
    try bench.open().close()
  }

  @Test("A transport that goes away on libusb's own thread does not hang it")
  func droppedInCallback() throws {
    let bench = try Bench()
    let box = Monitor<(any USBTransport)?>(nil)
    do {
      let transport = try bench.open()
      try transport.listen(to: 0x82, transfers: 2, most: 512) { [box] _, _ in box.update { $0 = nil } }
      box.update { $0 = transport }
    }
    bench.devices[0].perform { bench.functions[0].outbox[0x82] = [[1]] }
    #expect(bench.waits { bench.mock.openHandles == 0 })
    try bench.open().close()
  }

  @Test("A cable pulled while a transfer waits is told at once, whatever libusb calls it", arguments: [false, true])
  func unplugged(givesError: Bool) throws {
    var options = MockUSBFS.Options()
    options.unplugGivesError = givesError
    let bench = try Bench([WireFunction()], options)
    for _ in 0..<10 {
      let transport = try bench.open()
      let heard = Monitor<[USBError]>([])
      try transport.listen(to: 0x83, transfers: 4, most: 8) { result, _ in
        if case .failure(let error) = result { heard.update { $0.append(error) } }
      }
      let puller = NamedThread("puller") {
        _ = bench.waits { bench.devices[0].pendingCount == 5 }
        bench.mock.unplug(0)
      }
      let begin = MonotonicTime.now
      let told = error { _ = try transport.receive(64, from: 0x82, within: Seconds(5)) }
      #expect(told == .disconnected(device: "wire"))
      #expect(MonotonicTime.now - begin < Seconds(2))
      #expect(error { try transport.send([1], to: 1, within: second) } == .disconnected(device: "wire"))
      #expect(bench.waits { heard.read { $0 } == [.disconnected(device: "wire")] })
      puller.join()
      transport.close()
      #expect(bench.waits { bench.mock.openHandles == 0 })
      bench.mock.plug(0)
      #expect(bench.waits { (try? bench.open().close()) != nil })
    }
  }

  @Test("Those who watch are told of each cable pulled and put back, a hundred times")
  func watches() throws {
    let bench = try Bench()
    let changes = Monitor<[USBChange]>([])
    bench.bus.watch { change in changes.update { $0.append(change) } }
    try bench.open().close()
    for turn in 1...100 {
      bench.mock.unplug(0)
      #expect(bench.waits { changes.read { $0.count } == 2 * turn - 1 })
      bench.mock.plug(0)
      #expect(bench.waits { changes.read { $0.count } == 2 * turn })
    }
    let told = changes.read { $0 }
    let bare = USBDeviceFacts(vendor: 0x1209, product: 0x7A01, release: 0x0100)
    var known = bare
    (known.serial, known.manufacturerName, known.productName) = ("SN0001", "Maker", "Wire")
    #expect(told[0] == .left(known), "what had been learned of it is told when it leaves")
    #expect(told[1] == .arrived(bare))
    #expect(USBMatch(vendor: 0x1209, product: 0x7A01, serial: "SN0001").mayMean(bare))
    #expect(told.count == 200)
  }

  @Test("Of two alike one is chosen by its serial number; without it the error names both")
  func twoAlike() throws {
    let bench = try Bench([WireFunction(serial: "A1"), WireFunction(serial: "B2")])
    for serial in ["A1", "B2"] {
      let transport = try bench.open(USBMatch(vendor: 0x1209, product: 0x7A01, serial: serial))
      #expect(transport.device.serial == serial)
      transport.close()
    }
    let transport = try bench.open(USBMatch(serial: "B2"))
    #expect(transport.device.serial == "B2")
    transport.close()
    let ambiguous = try #require(error { _ = try bench.open() })
    #expect("\(ambiguous)".contains("A1") && "\(ambiguous)".contains("B2"))
    let missing = try #require(error { _ = try bench.open(USBMatch(vendor: 0x1209, product: 0x7A01, serial: "C3")) })
    #expect("\(missing)".contains("with serial number C3") && "\(missing)".contains("1209:7A01 Maker Wire"))
  }

  @Test("A device that is not there, or is of another kind, is named beside those that are")
  func notFound() throws {
    let bench = try Bench()
    let missing = try #require(error { _ = try bench.open(USBMatch(vendor: 0x05E6, product: 0x2450)) })
    #expect("\(missing)".contains("USB device 05E6:2450"))
    #expect("\(missing)".contains("1209:7A01 Maker Wire, serial number SN0001"))
    let other = try #require(error { _ = try bench.open(Bench.match, .cdcACM) })
    #expect("\(other)".contains("has no interface of the kind"))
    #expect(missing.isGone && other.isGone)
  }

  @Test("After a reset nothing is posted any more, the interface is still ours, and transfers and listening go on")
  func resets() throws {
    let bench = try Bench()
    let transport = try bench.open()
    let heard = Monitor<[Result<[UInt8], USBError>]>([])
    func listen() throws {
      try transport.listen(to: 0x83, transfers: 2, most: 8) { result, _ in heard.update { $0.append(result) } }
    }
    try listen()
    try transport.reset()
    #expect(bench.devices[0].pendingCount == 0)
    #expect(heard.read { $0 }.isEmpty)
    try listen()
    bench.devices[0].perform { bench.functions[0].outbox[0x83] = [[0x81, 0x40]] }
    #expect(bench.waits { heard.read { $0.count } == 1 })
    try transport.send([3], to: 1, within: second)
    #expect("\(try #require(error { _ = try bench.open() }))".contains("in use"))
    transport.close()
    #expect(bench.waits { bench.mock.openHandles == 0 })
    #expect(error { try transport.reset() } == .disconnected(device: "wire"))
  }

  @Test("A device that has been pulled cannot be reset")
  func resetOfNothing() throws {
    let bench = try Bench()
    let transport = try bench.open()
    bench.mock.unplug(0)
    #expect(error { try transport.reset() } == .disconnected(device: "wire"))
    transport.close()
  }

  @Test("Unknown devices are asked for their names one after the other without waiting, and left closed")
  func asksQuickly() throws {
    let bench = try Bench((0..<4).map { _ in WireFunction() })
    let begin = MonotonicTime.now
    #expect(try bench.bus.devices(name: "test").map(\.productName) == Array(repeating: "Wire", count: 4))
    // Each costs a second where something outlives its closing.
    #expect(MonotonicTime.now - begin < Seconds(0.9))
    #expect(bench.waits { bench.mock.openHandles == 0 })
  }

  @Test("An interface that another has is an error that says so")
  func busy() throws {
    let bench = try Bench()
    let first = try bench.open()
    let second = try #require(error { _ = try bench.open() })
    #expect("\(second)".contains("in use"))
    first.close()
    try bench.open().close()
  }

  @Test("Both interfaces of a CDC function are claimed, and given back")
  func communication() throws {
    let bench = try Bench([WireFunction(.cdcACM)])
    let match = USBMatch(vendor: 0x1209, product: 0x7A02)
    let transport = try bench.open(match, .cdcACM)
    #expect(transport.interface.number == 1)
    #expect(transport.interface.controlNumber == 0)
    #expect(transport.interface.interruptIn?.address == 0x83)
    bench.devices[0].perform { bench.functions[0].outbox[0x83] = [[0xA1, 0x20]] }
    #expect(try transport.receive(8, from: 0x83, within: Seconds(1)) == [0xA1, 0x20])
    transport.close()
    try bench.open(match, .cdcACM).close()
  }
}

@Suite("libusb, in a child with the mock")
struct LibUSBChildTests {
  @Test("Everything of the suite for libusb holds", .enabled(if: !LibUSBChild.isHere))
  func child() throws {
    let report = try LibUSBChild.run("MockUSBFSTests.LibUSBTests", within: Seconds(60))
    #expect(report.code == 0, "\(report.output)")
    #expect(report.output.contains("Test run with 19 tests"), "\(report.output.suffix(200))")
  }
}
