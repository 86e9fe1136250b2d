import Glibc
import Linux
import Quantities
import Testing
import USB

/// A USB/IP server that answers what the test says, byte by byte.
private final class ScriptedServer: Sendable {
  let path: String
  private let thread: NamedThread

  /// `body` gets the stream after the import and the descriptors, and has the rest of the conversation to itself.
  init(
    packetSize: UInt8 = 64, deviceCount: UInt8 = 1, _ body: @escaping @Sendable (UnixStream) throws(LinuxError) -> Void
  ) throws {
    path = "/tmp/insitud-usbip-\(getpid())-\(String(UInt32.random(in: 0 ... .max), radix: 16))"
    let listener = try UnixListener(path)
    thread = NamedThread("scripted") {
      do throws(LinuxError) {
        guard let listing = try listener.accept(within: Seconds(5)) else { return }
        _ = try listing.readExactly(8, within: Seconds(5))
        try listing.write([1, 0x11, 0, 5, 0, 0, 0, 0, 0, 0, 0, deviceCount] + Self.entry + [0, 0, 0, 0])
        guard let stream = try listener.accept(within: Seconds(5)) else { return }
        _ = try stream.readExactly(40, within: Seconds(5))
        try stream.write([1, 0x11, 0, 3, 0, 0, 0, 0] + Self.entry)
        for answer in Self.descriptors(packetSize) {
          let command = try stream.readExactly(48, within: Seconds(5))
          try stream.write(Self.answer(3, to: command, bytes: answer))
        }
        try body(stream)
      } catch {}
    }
  }

  deinit {
    thread.join()
    unlink(path)
  }

  private static let entry: [UInt8] =
    [UInt8](repeating: 0, count: 300) + [0x05, 0xE6, 0x24, 0x50] + [UInt8](repeating: 0, count: 8)

  /// The answers to: device, head of the configuration, whole configuration, current configuration.
  private static func descriptors(_ packetSize: UInt8) -> [[UInt8]] {
    let all: [UInt8] =
      [9, 2, 32, 0, 1, 1, 0, 0, 0] + [9, 4, 0, 0, 2, 0xFE, 3, 1, 0] + [7, 5, 0x01, 2, packetSize, 0, 0]
      + [7, 5, 0x82, 2, packetSize, 0, 0]
    // The vendor and the product that the list names: the transport compares them.
    let device: [UInt8] = [18, 1, 0, 2, 0, 0, 0, 64, 0xE6, 0x05, 0x50, 0x24, 0, 1, 0, 0, 0, 1]
    return [device, Array(all.prefix(9)), all, [1]]
  }

  static func answer(_ kind: UInt8, to command: [UInt8], status: Int8 = 0, length: UInt32? = nil, bytes: [UInt8] = [])
    -> [UInt8]
  {
    let length = length ?? UInt32(bytes.count)
    let high: UInt8 = status < 0 ? 0xFF : 0
    return [0, 0, 0, kind] + command[4..<8] + [UInt8](repeating: 0, count: 12)
      + [high, high, high, UInt8(bitPattern: status)]
      + (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32($0))) } + [UInt8](repeating: 0, count: 20)
      + bytes
  }

  func open() throws -> any USBTransport {
    try USBIPBus(address: path, patience: Seconds(0)).open(
      USBMatch(vendor: 0x05E6, product: 0x2450), .usbtmc, name: "instrument")
  }
}

@Suite("Answers over USB/IP")
struct USBIPAnswerTests {
  @Test("A reply that came after its transfer was given up left its bytes in the stream")
  func lateReply() throws {
    let server = try ScriptedServer { stream throws(LinuxError) in
      let first = try stream.readExactly(48, within: Seconds(5))
      // The time-out's unlink is not answered in its second; then the next transfer comes.
      let unlink = try stream.readExactly(48, within: Seconds(5))
      let second = try stream.readExactly(48, within: Seconds(5))
      try stream.write(ScriptedServer.answer(3, to: first, bytes: [UInt8](repeating: 0xEE, count: 60)))
      try stream.write(ScriptedServer.answer(4, to: unlink))
      try stream.write(ScriptedServer.answer(3, to: second, bytes: [7, 8, 9]))
    }
    let transport = try server.open()
    #expect(throws: USBError.self) { try transport.receive(64, from: 0x82, within: Seconds(0.02)) }
    #expect(try transport.receive(64, from: 0x82, within: Seconds(5)) == [7, 8, 9])
  }

  @Test("An answer that is longer than what was asked for, or answers nothing, ends the connection", arguments: [0, 1])
  func hostileAnswer(_ kind: Int) throws {
    let server = try ScriptedServer { stream throws(LinuxError) in
      let command = try stream.readExactly(48, within: Seconds(5))
      let unknown = [UInt8](repeating: 0x77, count: 48)
      try stream.write(ScriptedServer.answer(3, to: kind == 0 ? command : unknown, length: kind == 0 ? 65 : 3))
      _ = stream.isReadable(within: Seconds(5))
    }
    let transport = try server.open()
    #expect { try transport.receive(64, from: 0x82, within: Seconds(5)) } throws: { error in
      if case .disconnected? = error as? USBError { true } else { false }
    }
  }

  @Test("Several transfers are under way together; when one fails, the rest is taken back")
  func exchange() throws {
    let server = try ScriptedServer { stream throws(LinuxError) in
      // OUT, OUT, IN come without waiting for an answer.
      let first = try stream.readExactly(48 + 4, within: Seconds(5))
      let second = try stream.readExactly(48 + 4, within: Seconds(5))
      let third = try stream.readExactly(48, within: Seconds(5))
      try stream.write(ScriptedServer.answer(3, to: Array(first[..<48])))
      try stream.write(ScriptedServer.answer(3, to: Array(second[..<48])))
      try stream.write(ScriptedServer.answer(3, to: third, bytes: [7]))
      let fourth = try stream.readExactly(48 + 4, within: Seconds(5))
      _ = try stream.readExactly(48, within: Seconds(5))
      try stream.write(ScriptedServer.answer(3, to: Array(fourth[..<48]), status: -32))
      let unlink = try stream.readExactly(48, within: Seconds(5))
      try stream.write(ScriptedServer.answer(4, to: unlink, status: -104))
    }
    let transport = try server.open()
    let out: [[UInt8]] = [[1, 2, 3, 4], [5, 6, 7, 8]]
    #expect(try transport.exchange(out, to: 0x01, receiving: 64, from: 0x82, within: Seconds(5)) == [7])
    #expect(throws: USBError.stalled(device: "instrument", endpoint: 0x01)) {
      try transport.exchange([out[0]], to: 0x01, receiving: 64, from: 0x82, within: Seconds(5))
    }
  }

  @Test("A listener's transfers are kept posted, heard in order, and taken back at the end")
  func listen() throws {
    let taken = Monitor<[UInt8]>([])
    let server = try ScriptedServer { stream throws(LinuxError) in
      var posted: [[UInt8]] = []
      for _ in 0..<3 { posted.append(try stream.readExactly(48, within: Seconds(5))) }
      for number: UInt8 in 0..<10 {
        try stream.write(ScriptedServer.answer(3, to: posted.removeFirst(), bytes: [number]))
        posted.append(try stream.readExactly(48, within: Seconds(5)))
      }
      let unlinks = try (0..<3).map { _ throws(LinuxError) in try stream.readExactly(48, within: Seconds(5)) }
      taken.update { $0 = unlinks.map { $0[3] } }
    }
    let heard = Monitor<[UInt8]>([])
    let transport = try server.open()
    try transport.listen(to: 0x82, transfers: 3, most: 64) { result, _ in
      if case .success(let bytes) = result { heard.update { $0 += bytes } }
    }
    let all = heard.wait(atMost: Seconds(5)) { $0.count == 10 ? $0 : nil }
    #expect(all == Array(0..<10))
    transport.close()
    #expect(taken.wait(atMost: Seconds(5)) { $0.isEmpty ? nil : $0 } == [2, 2, 2])
  }

  @Test("A bulk endpoint with packets of no bytes divided by zero in the first read")
  func noPacketSize() throws {
    let server = try ScriptedServer(packetSize: 0) { _ in }
    let transport = try server.open()
    #expect(transport.interface.bulkIn == nil && transport.interface.bulkOut == nil)
    #expect(throws: USBError.self) { try USBTMC(transport, name: "x") }
  }

  @Test("A server that claims to export thousands of devices is refused")
  func tooManyDevices() throws {
    let server = try ScriptedServer(deviceCount: 65) { _ in }
    #expect(throws: USBError.self) { try server.open() }
    // Ends the script.
    _ = try? UnixStream.connect(server.path)
  }

  @Test("The sequence number trapped after 2³² commands; it begins again, without 0")
  func wraps() {
    var commands = USBIPCommands(lastSequence: .max - 1)
    let first = (0..<2).map { _ in commands.beginTransfer(mostBytes: 8) }
    #expect(first == [.max, 1])
    var again = USBIPCommands(lastSequence: .max)
    _ = again.beginTransfer(mostBytes: 0)
    _ = again.beginTransfer(mostBytes: 0)
    again.take(USBIPReply(status: 0, bytes: []), to: 1)
    #expect(again.mostBytes(after: 1) == nil && again.mostBytes(after: 2) == 0)
  }

  @Test("Commands given up are remembered until they are answered, and not without bound")
  func abandoned() {
    var commands = USBIPCommands()
    let transfer = commands.beginTransfer(mostBytes: 8)
    let unlink = commands.beginUnlink(of: transfer)
    for sequence in [transfer, unlink] { _ = commands.leave(sequence) }
    #expect(commands.mostBytes(after: transfer) == 8)
    // −ECONNRESET: taken back in time, the transfer itself is not answered any more.
    commands.take(USBIPReply(status: -104, bytes: []), to: unlink)
    #expect(commands.mostBytes(after: transfer) == nil)
    let reply = commands.reply(to: unlink)
    #expect(reply == nil)
    var isBearable: [Bool] = []
    for _ in 0...USBIPCommands.mostAbandoned {
      let sequence = commands.beginTransfer(mostBytes: 1)
      isBearable.append(commands.leave(sequence))
    }
    #expect(isBearable.dropLast().allSatisfy { $0 } && isBearable.last == false)
  }
}
