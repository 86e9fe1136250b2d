import EmulatedUSB
import Glibc
import Linux
import Quantities
import Testing

/// The least of a USB/IP client, written from the kernel's documentation.
struct USBIPClient {
  let stream: UnixStream

  init(_ path: String) throws { stream = try UnixStream.connect(path) }

  static func word(_ value: Int, _ count: Int = 4) -> [UInt8] {
    (0..<count).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }
  static func number(_ bytes: some Collection<UInt8>) -> Int {
    let value = bytes.reduce(0) { $0 << 8 | Int($1) }
    return bytes.count == 4 ? Int(Int32(truncatingIfNeeded: value)) : value
  }

  func operation(_ code: Int, _ rest: [UInt8] = []) throws -> (code: Int, status: Int) {
    try stream.write(Self.word(0x0111, 2) + Self.word(code, 2) + Self.word(0) + rest)
    let reply = try stream.readExactly(8, within: Seconds(5))
    #expect(reply[0...1] == [0x01, 0x11])
    return (Self.number(reply[2..<4]), Self.number(reply[4..<8]))
  }

  func importDevice(_ busID: String) throws -> (status: Int, device: [UInt8]) {
    let name = Array(busID.utf8) + [UInt8](repeating: 0, count: 32 - busID.utf8.count)
    let reply = try operation(0x8003, name)
    #expect(reply.code == 3)
    return (reply.status, reply.status == 0 ? try stream.readExactly(312, within: Seconds(5)) : [])
  }

  func submit(
    _ sequence: Int, endpoint: Int, isIn: Bool, _ data: [UInt8] = [], length: Int? = nil,
    setup: [UInt8] = [UInt8](repeating: 0, count: 8)
  ) throws {
    var bytes = Self.word(1) + Self.word(sequence) + Self.word(0x0001_0002) + Self.word(isIn ? 1 : 0)
    bytes += Self.word(endpoint) + Self.word(0) + Self.word(length ?? data.count) + Self.word(0) + Self.word(-1)
    try stream.write(bytes + Self.word(0) + setup + data)
  }

  func unlink(_ sequence: Int, of other: Int) throws {
    try stream.write(
      Self.word(2) + Self.word(sequence) + Self.word(0x0001_0002) + Self.word(0) + Self.word(0) + Self.word(other)
        + [UInt8](repeating: 0, count: 24))
  }

  struct Reply: Equatable {
    var command: Int
    var sequence: Int
    var status: Int
    var data: [UInt8]
  }

  /// - Parameter incoming: sequence numbers whose replies carry data.
  func reply(incoming: Set<Int> = []) throws -> Reply {
    let header = try stream.readExactly(48, within: Seconds(5))
    let sequence = Self.number(header[4..<8])
    let actual = Self.number(header[24..<28])
    let command = Self.number(header[0..<4])
    let data =
      command == 3 && incoming.contains(sequence) && actual > 0
      ? try stream.readExactly(actual, within: Seconds(5)) : []
    return Reply(command: command, sequence: sequence, status: Self.number(header[20..<24]), data: data)
  }
}

@Suite("USB/IP server")
struct USBIPServerTests {
  let rig = USBTMCRig()
  let other = USBTMCRig()
  let server: USBIPServer

  init() throws {
    let path = "/tmp/usbip-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    server = try USBIPServer(
      path, [.init(busID: "1-1", device: rig.device), .init(busID: "1-2", device: other.device)])
  }

  @Test("lists its devices with their interfaces, without those that are unplugged")
  func list() throws {
    defer { server.stop() }
    let client = try USBIPClient(server.path)
    #expect(try client.operation(0x8005) == (5, 0))
    #expect(USBIPClient.number(try client.stream.readExactly(4, within: Seconds(5))) == 2)
    let first = try client.stream.readExactly(316, within: Seconds(5))
    #expect(Array(first[256..<260]) == Array("1-1\0".utf8))
    #expect(Array(first[288..<300]) == bytes("00000001 00000002 00000003"), "bus, device, high speed")
    #expect(Array(first[300..<316]) == bytes("1209 7a01 0100 00 00 00 01 01 01 fe 03 01 00"))
    let second = try client.stream.readExactly(316, within: Seconds(5))
    #expect(Array(second[256..<260]) == Array("1-2\0".utf8))
    rig.device.unplug()
    let again = try USBIPClient(server.path)
    #expect(try again.operation(0x8005) == (5, 0))
    #expect(USBIPClient.number(try again.stream.readExactly(4, within: Seconds(5))) == 1)
  }

  @Test("an imported device answers control, bulk and interrupt transfers")
  func transfers() throws {
    defer { server.stop() }
    let client = try USBIPClient(server.path)
    let imported = try client.importDevice("1-1")
    #expect(imported.status == 0)
    #expect(Array(imported.device[300..<304]) == bytes("1209 7a01"))
    try client.submit(1, endpoint: 0, isIn: true, length: 18, setup: bytes("80 06 00 01 00 00 12 00"))
    #expect(try client.reply(incoming: [1]).data.prefix(4) == [18, 1, 0, 2])
    try client.submit(2, endpoint: 2, isIn: true, length: 512)
    try client.submit(3, endpoint: 1, isIn: false, bytes("01 01 fe 00 06 00 00 00 01 00 00 00 2a 49 44 4e 3f 0a 00 00"))
    #expect(try client.reply() == .init(command: 3, sequence: 3, status: 0, data: []))
    try client.submit(4, endpoint: 1, isIn: false, bytes("02 02 fd 00 00 04 00 00 00 00 00 00"))
    let replies = [try client.reply(incoming: [2]), try client.reply(incoming: [2])]
    #expect(Set(replies.map(\.sequence)) == [2, 4])
    #expect(replies.first { $0.sequence == 2 }?.data.dropFirst(12).elementsEqual("answer\n".utf8) == true)
    try client.submit(5, endpoint: 3, isIn: true, length: 8)
    try client.submit(6, endpoint: 0, isIn: true, length: 3, setup: bytes("a1 80 02 00 00 00 03 00"))
    let status = [try client.reply(incoming: [5, 6]), try client.reply(incoming: [5, 6])]
    #expect(status.first { $0.sequence == 5 }?.data == [0x82, 0])
    #expect(status.first { $0.sequence == 6 }?.data == [1, 2, 0])
    try client.submit(7, endpoint: 1, isIn: false, [1, 2, 3])
    #expect(try client.reply() == .init(command: 3, sequence: 7, status: Int(-EPIPE), data: []))
    try client.submit(8, endpoint: 9, isIn: false, [1])
    #expect(try client.reply().status == Int(-ENOENT))
  }

  @Test("taking a transfer back is answered, whether it was pending or over")
  func unlink() throws {
    defer { server.stop() }
    let client = try USBIPClient(server.path)
    _ = try client.importDevice("1-1")
    try client.submit(1, endpoint: 2, isIn: true, length: 512)
    try client.unlink(2, of: 1)
    #expect(try client.reply() == .init(command: 4, sequence: 2, status: Int(-ECONNRESET), data: []))
    try client.unlink(3, of: 1)
    #expect(try client.reply() == .init(command: 4, sequence: 3, status: 0, data: []))
    #expect(rig.device.pendingCount == 0)
  }

  @Test("a device is for one client, several devices for several")
  func exclusive() throws {
    defer { server.stop() }
    let first = try USBIPClient(server.path)
    let second = try USBIPClient(server.path)
    #expect(try first.importDevice("1-1").status == 0)
    #expect(try second.importDevice("1-1").status == 2)
    #expect(try second.importDevice("9-9").status == 4)
    #expect(try second.importDevice("1-2").status == 0)
    try second.submit(1, endpoint: 0, isIn: true, length: 1, setup: bytes("80 08 00 00 00 00 01 00"))
    #expect(try second.reply(incoming: [1]).data == [1])
    try first.submit(1, endpoint: 0, isIn: true, length: 1, setup: bytes("80 08 00 00 00 00 01 00"))
    #expect(try first.reply(incoming: [1]).data == [1])
  }

  @Test("unplugging ends the transfers and the connection; importing works again when it is plugged")
  func unplug() throws {
    defer { server.stop() }
    let client = try USBIPClient(server.path)
    _ = try client.importDevice("1-1")
    try client.submit(1, endpoint: 2, isIn: true, length: 512)
    try client.submit(2, endpoint: 0, isIn: true, length: 1, setup: bytes("80 08 00 00 00 00 01 00"))
    _ = try client.reply(incoming: [2])
    rig.device.unplug()
    #expect(try client.reply() == .init(command: 3, sequence: 1, status: Int(-ESHUTDOWN), data: []))
    #expect(throws: LinuxError.self) { try client.stream.readExactly(1, within: Seconds(5)) }
    #expect(try USBIPClient(server.path).importDevice("1-1").status == 4)
    rig.device.plug()
    #expect(try USBIPClient(server.path).importDevice("1-1").status == 0)
  }

  @Test("a client that goes away leaves the device free, and the instrument as it is")
  func clientGone() throws {
    defer { server.stop() }
    do {
      let client = try USBIPClient(server.path)
      _ = try client.importDevice("1-1")
      client.stream.shutdown()
    }
    var status = 2
    for _ in 0..<200 where status != 0 {
      status = try USBIPClient(server.path).importDevice("1-1").status
      if status != 0 { sleepThread(for: Seconds(0.01)) }
    }
    #expect(status == 0)
    #expect(rig.device.perform { rig.instrument.losses } == 0)
  }

  @Test("garbage closes its own connection and nobody else's")
  func garbage() throws {
    defer { server.stop() }
    let good = try USBIPClient(server.path)
    #expect(try good.importDevice("1-2").status == 0)
    for hex in ["00000000 00000000", "0111 1234 00000000"] {
      let bad = try USBIPClient(server.path)
      try bad.stream.write(bytes(hex))
      #expect(throws: LinuxError.self) { try bad.stream.readExactly(1, within: Seconds(5)) }
    }
    let bad = try USBIPClient(server.path)
    _ = try bad.importDevice("1-1")
    try bad.submit(1, endpoint: 1, isIn: false, length: 1 << 30)
    #expect(throws: LinuxError.self) { try bad.stream.readExactly(1, within: Seconds(5)) }
    try good.submit(1, endpoint: 0, isIn: true, length: 1, setup: bytes("80 08 00 00 00 00 01 00"))
    #expect(try good.reply(incoming: [1]).data == [1])
  }
}
