import Linux
package import Quantities

/// One device attached over USB/IP. A thread of its own reads the replies, so that several transfers may be under way.
package final class USBIPTransport: USBTransport {
  package let device: USBDeviceFacts
  package let interface: USBInterface
  private let wire: Wire

  /// Reads the descriptors, sets the configuration and picks the interface.
  init(_ stream: UnixStream, deviceID: UInt32, kind: USBInterfaceKind, name: String) throws(USBError) {
    let wire = Wire(stream, deviceID: deviceID, name: name)
    do throws(USBError) {
      let second = Seconds(1)
      let device = try wire.control(
        USBSetup(0x80, 6, value: 0x0100, length: 18), sending: [], within: second)
      let head = try wire.control(USBSetup(0x80, 6, value: 0x0200, length: 9), sending: [], within: second)
      guard device.count >= 18, head.count >= 9 else { throw .malformed(device: name, reason: "short descriptors") }
      let total = UInt16(head[2]) | UInt16(head[3]) << 8
      let all = try wire.control(USBSetup(0x80, 6, value: 0x0200, length: total), sending: [], within: second)
      guard let interface = USBInterface.first(kind, in: all) else {
        throw .malformed(device: name, reason: "it has no interface of the kind that the driver speaks (\(kind))")
      }
      // Setting the configuration that is set already would reset the device (usbtmc.md §1).
      let current = try wire.control(USBSetup(0x80, 8, length: 1), sending: [], within: second)
      if current.first != interface.configuration {
        _ = try wire.control(
          USBSetup(0x00, 9, value: UInt16(interface.configuration)), sending: [], within: second)
      }
      self.interface = interface
      func text(_ index: UInt8) throws(USBError) -> String { try index == 0 ? "" : wire.string(index) }
      self.device = USBDeviceFacts(
        vendor: UInt16(device[8]) | UInt16(device[9]) << 8, product: UInt16(device[10]) | UInt16(device[11]) << 8,
        release: UInt16(device[12]) | UInt16(device[13]) << 8, serial: try text(device[16]),
        manufacturerName: try text(device[14]), productName: try text(device[15]))
      self.wire = wire
    } catch {
      wire.close()
      throw error
    }
  }

  deinit { wire.close() }

  package func control(_ setup: USBSetup, sending: [UInt8], within limit: Seconds) throws(USBError) -> [UInt8] {
    try wire.control(setup, sending: sending, within: limit)
  }

  package func send(_ bytes: [UInt8], to endpoint: UInt8, endingWithZeroPacket: Bool, within limit: Seconds)
    throws(USBError)
  {
    _ = try wire.transfer(
      endpoint, setup: nil, sending: bytes, receiving: 0, flags: endingWithZeroPacket ? Wire.zeroPacket : 0,
      within: limit)
  }

  package func receive(_ most: Int, from endpoint: UInt8, within limit: Seconds) throws(USBError) -> [UInt8] {
    try wire.transfer(endpoint, setup: nil, sending: [], receiving: most, within: limit)
  }

  package func listen(
    to endpoint: UInt8, transfers: Int, most: Int,
    _ heard: @escaping @Sendable (Result<[UInt8], USBError>, MonotonicTime) -> Void
  ) throws(USBError) {
    _ = NamedThread("usbip-listen") { [wire] in
      while true {
        do throws(USBError) {
          heard(
            .success(
              try wire.transfer(endpoint, setup: nil, sending: [], receiving: most, within: Seconds(3600))), .now)
        } catch .timedOut {
          continue
        } catch {
          heard(.failure(error), .now)
          return
        }
      }
    }
  }

  package func clearHalt(_ endpoint: UInt8) throws(USBError) {
    _ = try wire.control(USBSetup(0x02, 1, index: UInt16(endpoint)), sending: [], within: Seconds(1))
  }

  package func close() { wire.close() }
}

/// The connection: URBs out, replies in.
private final class Wire: Sendable {
  private struct State {
    var commands = USBIPCommands()
    var ended = false
  }

  /// URB_ZERO_PACKET.
  static let zeroPacket: UInt32 = 0x40

  private let stream: UnixStream
  private let deviceID: UInt32
  private let name: String
  private let state = Monitor(State())
  private let writing = Monitor(())

  init(_ stream: UnixStream, deviceID: UInt32, name: String) {
    self.stream = stream
    self.deviceID = deviceID
    self.name = name
    _ = NamedThread("usbip") { [stream, state] in Wire.readReplies(stream, state) }
  }

  func close() { stream.shutdown() }

  func string(_ index: UInt8) throws(USBError) -> String {
    let bytes = try control(
      USBSetup(0x80, 6, value: 0x0300 | UInt16(index), index: 0x0409, length: 255), sending: [], within: Seconds(1))
    guard bytes.count > 2 else { return "" }
    let units = stride(from: 2, to: bytes.count - 1, by: 2).map { UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8 }
    return String(decoding: units, as: UTF16.self)
  }

  func control(_ setup: USBSetup, sending: [UInt8], within limit: Seconds) throws(USBError) -> [UInt8] {
    let isIn = setup.requestType & 0x80 != 0
    return try transfer(
      isIn ? 0x80 : 0, setup: setup, sending: sending, receiving: isIn ? Int(setup.length) : 0, within: limit)
  }

  /// USBIP_CMD_SUBMIT and its reply; on a time-out USBIP_CMD_UNLINK, and what had arrived by then is not lost.
  func transfer(
    _ endpoint: UInt8, setup: USBSetup?, sending: [UInt8], receiving: Int, flags: UInt32 = 0, within limit: Seconds
  )
    throws(USBError) -> [UInt8]
  {
    let isIn = endpoint & 0x80 != 0
    let sequence = state.update { $0.commands.beginTransfer(mostBytes: isIn ? receiving : 0) }
    defer { leave(sequence) }

    var message = header(1, sequence, isIn: isIn, endpoint: endpoint)
    message += bigEndian(flags) + bigEndian(UInt32(isIn ? receiving : sending.count)) + bigEndian(0)
    message += bigEndian(0xFFFF_FFFF) + bigEndian(0)
    message += setup?.bytes ?? [UInt8](repeating: 0, count: 8)
    if !isIn { message += sending }
    try write(message)

    if let reply = reply(to: sequence, within: limit) { return try result(reply, endpoint) }
    if state.read({ $0.ended }) { throw .disconnected(device: name) }

    let unlink = state.update { $0.commands.beginUnlink(of: sequence) }
    defer { leave(unlink) }
    try write(
      header(2, unlink, isIn: false, endpoint: 0) + bigEndian(sequence) + [UInt8](repeating: 0, count: 24))
    _ = reply(to: unlink, within: Seconds(1))
    // The transfer may have been completed while it was being taken back.
    if let reply = state.update({ $0.commands.reply(to: sequence) }), reply.status == 0 {
      return reply.bytes
    }
    throw .timedOut(
      device: name, operation: setup.map { "control request \($0.request)" } ?? "endpoint \(hex(endpoint))")
  }

  private func leave(_ sequence: UInt32) {
    if !state.update({ $0.commands.leave(sequence) }) { close() }
  }

  private func reply(to sequence: UInt32, within limit: Seconds) -> USBIPReply? {
    state.wait(atMost: limit) { state -> USBIPReply?? in
      if let reply = state.commands.reply(to: sequence) { return .some(reply) }
      return state.ended ? .some(nil) : nil
    } ?? nil
  }

  private func result(_ reply: USBIPReply, _ endpoint: UInt8) throws(USBError) -> [UInt8] {
    switch reply.status {
    case 0: return reply.bytes
    case -32: throw .stalled(device: name, endpoint: endpoint)  // EPIPE
    case -121: return reply.bytes  // EREMOTEIO: a short packet, which is how messages end
    case -19, -108, -104: throw .disconnected(device: name)  // ENODEV, ESHUTDOWN, ECONNRESET
    default: throw .malformed(device: name, reason: "transfer ended with status \(reply.status)")
    }
  }

  private func write(_ message: [UInt8]) throws(USBError) {
    do throws(LinuxError) {
      try writing.update { (_: inout Void) throws(LinuxError) in try stream.write(message) }
    } catch {
      throw .disconnected(device: name)
    }
  }

  /// The 20 bytes in front of every command.
  private func header(_ command: UInt32, _ sequence: UInt32, isIn: Bool, endpoint: UInt8) -> [UInt8] {
    bigEndian(command) + bigEndian(sequence) + bigEndian(deviceID) + bigEndian(isIn ? 1 : 0)
      + bigEndian(UInt32(endpoint & 0x0F))
  }

  private func bigEndian(_ value: UInt32) -> [UInt8] {
    [UInt8(value >> 24), UInt8(value >> 16 & 0xFF), UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)]
  }

  private static func readReplies(_ stream: UnixStream, _ state: Monitor<State>) {
    while true {
      do throws(LinuxError) {
        guard stream.isReadable(within: Seconds(60)) else { continue }
        let head = try stream.readExactly(48, within: Seconds(5))
        let sequence = UInt32(bigEndian: head[4...])
        let status = Int32(bitPattern: UInt32(bigEndian: head[20...]))
        let length = Int(UInt32(bigEndian: head[24...]))
        let isSubmit = UInt32(bigEndian: head) == 3
        // What answers nothing, or with more than was asked for, cannot be told from what comes after it.
        guard let most = state.read({ $0.commands.mostBytes(after: sequence) }),
          most == 0 || !isSubmit || length <= most
        else { throw LinuxError("recv", number: 71) }  // EPROTO
        let bytes = isSubmit && most > 0 ? try stream.readExactly(length, within: Seconds(5)) : []
        state.update { $0.commands.take(USBIPReply(status: status, bytes: bytes), to: sequence) }
      } catch {
        stream.shutdown()
        state.update { $0.ended = true }
        return
      }
    }
  }
}

extension UInt32 {
  fileprivate init(bigEndian bytes: [UInt8]) { self.init(bigEndian: bytes[...]) }
}
