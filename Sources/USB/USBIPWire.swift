import Linux
import Quantities

/// The connection to one device over USB/IP: URBs out, replies in. One thread reads the replies, of listeners too.
final class USBIPWire: Sendable {
  /// One URB.
  struct Transfer {
    /// With 0x80 for IN; of control transfers 0 or 0x80.
    var endpoint: UInt8
    var setup: USBSetup?
    var bytes: [UInt8] = []
    var most = 0
    var flags: UInt32 = 0

    init(endpoint: UInt8, sending bytes: [UInt8]) {
      self.endpoint = endpoint
      self.bytes = bytes
    }

    init(endpoint: UInt8, receiving most: Int) {
      self.endpoint = endpoint
      self.most = most
    }

    init(_ setup: USBSetup, sending bytes: [UInt8]) {
      let isIn = setup.requestType & 0x80 != 0
      endpoint = isIn ? 0x80 : 0
      self.setup = setup
      self.bytes = isIn ? [] : bytes
      most = isIn ? Int(setup.length) : 0
    }

    var isIn: Bool { endpoint & 0x80 != 0 }
  }

  /// One `listen`: its transfers are renewed by the thread that reads the replies.
  final class Listener: Sendable {
    let transfer: Transfer
    let heard: @Sendable (Result<[UInt8], USBError>, MonotonicTime) -> Void
    /// It has been told of an error, and nothing more is told.
    let hasEnded = Monitor(false)

    init(_ transfer: Transfer, _ heard: @escaping @Sendable (Result<[UInt8], USBError>, MonotonicTime) -> Void) {
      self.transfer = transfer
      self.heard = heard
    }

    func fail(_ error: USBError, at arrival: MonotonicTime) {
      let isFirst = hasEnded.update { ended in
        defer { ended = true }
        return !ended
      }
      if isFirst { heard(.failure(error), arrival) }
    }
  }

  private struct State {
    var commands = USBIPCommands()
    /// By the sequence number of the transfer that is under way.
    var listeners: [UInt32: Listener] = [:]
    var ended = false
  }

  /// URB_ZERO_PACKET.
  static let zeroPacket: UInt32 = 0x40
  /// A server that takes nothing for so long is gone.
  private static let writeTime = Seconds(1)
  /// The server's answer to "take it back".
  private static let unlinkTime = Seconds(1)

  private let stream: UnixStream
  private let deviceID: UInt32
  private let name: String
  private let state = Monitor(State())
  private let writing = Monitor(())

  init(_ stream: UnixStream, deviceID: UInt32, name: String) {
    self.stream = stream
    self.deviceID = deviceID
    self.name = name
    _ = NamedThread("usbip") { [stream, state, weak self] in
      while let arrived = Self.readReply(stream, state) {
        guard let listener = arrived.listener else { continue }
        // Gone when the transport was dropped: the end of the stream comes next.
        self?.hear(arrived.reply, listener, at: .now)
      }
      let listeners = state.update { state in
        state.ended = true
        defer { state.listeners = [:] }
        return state.listeners.values.map { $0 }
      }
      for listener in listeners { listener.fail(.disconnected(device: name), at: .now) }
    }
  }

  /// Takes back what listeners have under way, then ends the connection.
  func close() {
    let (sequences, unlinks) = state.update { state in
      let sequences = state.listeners.keys.sorted()
      state.listeners = [:]
      return (sequences, sequences.map { state.commands.beginUnlink(of: $0) })
    }
    for (sequence, unlink) in zip(sequences, unlinks) { try? write(unlinkCommand(unlink, of: sequence)) }
    stream.shutdown()
  }

  func string(_ index: UInt8) throws(USBError) -> String {
    let bytes = try control(
      USBSetup(0x80, 6, value: 0x0300 | UInt16(index), index: 0x0409, length: 255), sending: [], within: Seconds(1))
    guard bytes.count > 2 else { return "" }
    let units = stride(from: 2, to: bytes.count - 1, by: 2).map { UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8 }
    return String(decoding: units, as: UTF16.self)
  }

  func control(_ setup: USBSetup, sending: [UInt8], within limit: Seconds) throws(USBError) -> [UInt8] {
    try perform([Transfer(setup, sending: sending)], within: limit)
  }

  // MARK: transfers

  private enum Outcome { case done(USBIPReply), failed(USBIPReply, UInt8), gone }

  /// Submits all, waits for all, and gives what the last one brought. When one before it fails, the rest is taken back.
  func perform(_ transfers: [Transfer], within limit: Seconds) throws(USBError) -> [UInt8] {
    let sequences = state.update { state in
      transfers.map { state.commands.beginTransfer(mostBytes: $0.isIn ? $0.most : 0) }
    }
    defer { for sequence in sequences { leave(sequence) } }
    try write(zip(transfers, sequences).flatMap { submitCommand($0, $1) })

    var waiting = 0
    let outcome = state.wait(atMost: limit) { state -> Outcome? in
      while let reply = state.commands.reply(to: sequences[waiting]) {
        if waiting == sequences.count - 1 { return .done(reply) }
        guard reply.status == 0 else { return .failed(reply, transfers[waiting].endpoint) }
        waiting += 1
      }
      return state.ended ? .gone : nil
    }
    switch outcome {
    case .done(let reply): return try result(reply, transfers[waiting].endpoint)
    case .gone: throw .disconnected(device: name)
    case .failed(let reply, let endpoint):
      takeBack(sequences[(waiting + 1)...])
      return try result(reply, endpoint)
    case nil:
      takeBack(sequences[waiting...])
      // The last one may have ended while it was being taken back.
      let late = state.update { state in
        sequences[waiting...].map { state.commands.reply(to: $0) }
      }
      if late.allSatisfy({ $0?.status == 0 }), let last = late.last ?? nil { return last.bytes }
      throw .timedOut(
        device: name,
        operation: transfers[waiting].setup.map { "control request \($0.request)" }
          ?? "endpoint \(hex(transfers[waiting].endpoint))")
    }
  }

  /// USBIP_CMD_UNLINK for transfers that nobody waits for any more.
  private func takeBack(_ sequences: ArraySlice<UInt32>) {
    let unlinks = state.update { state in sequences.map { state.commands.beginUnlink(of: $0) } }
    defer { for unlink in unlinks { leave(unlink) } }
    for (sequence, unlink) in zip(sequences, unlinks) {
      guard (try? write(unlinkCommand(unlink, of: sequence))) != nil else { return }
    }
    var open = unlinks[...]
    _ = state.wait(atMost: Self.unlinkTime) { state -> Bool? in
      while let first = open.first, state.commands.reply(to: first) != nil { open.removeFirst() }
      return open.isEmpty || state.ended ? true : nil
    }
  }

  private func leave(_ sequence: UInt32) {
    if !state.update({ $0.commands.leave(sequence) }) { close() }
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

  // MARK: listeners

  func listen(
    _ transfer: Transfer, transfers: Int,
    _ heard: @escaping @Sendable (Result<[UInt8], USBError>, MonotonicTime) -> Void
  ) throws(USBError) {
    let listener = Listener(transfer, heard)
    for _ in 0..<transfers { try post(listener) }
  }

  private func post(_ listener: Listener) throws(USBError) {
    let sequence = state.update { state -> UInt32? in
      guard !state.ended else { return nil }
      let sequence = state.commands.beginTransfer(mostBytes: listener.transfer.most)
      state.listeners[sequence] = listener
      return sequence
    }
    guard let sequence else { throw .disconnected(device: name) }
    try write(submitCommand(listener.transfer, sequence))
  }

  private func hear(_ reply: USBIPReply, _ listener: Listener, at arrival: MonotonicTime) {
    guard !listener.hasEnded.read({ $0 }) else { return }
    let bytes: [UInt8]
    do throws(USBError) { bytes = try result(reply, listener.transfer.endpoint) } catch {
      return listener.fail(error, at: arrival)
    }
    // Posted anew before it is told, so that the device never finds fewer than were asked for.
    var failure: USBError?
    do throws(USBError) { try post(listener) } catch { failure = error }
    listener.heard(.success(bytes), arrival)
    if let failure { listener.fail(failure, at: arrival) }
  }

  // MARK: the stream

  private func write(_ message: [UInt8]) throws(USBError) {
    do throws(LinuxError) {
      try writing.update { (_: inout Void) throws(LinuxError) in try stream.write(message, within: Self.writeTime) }
    } catch {
      // Half a message may be out: what came after it would not be understood.
      stream.shutdown()
      throw .disconnected(device: name)
    }
  }

  private func submitCommand(_ transfer: Transfer, _ sequence: UInt32) -> [UInt8] {
    var message = header(1, sequence, isIn: transfer.isIn, endpoint: transfer.endpoint)
    message += bigEndian(transfer.flags)
    message += bigEndian(UInt32(transfer.isIn ? transfer.most : transfer.bytes.count)) + bigEndian(0)
    message += bigEndian(0xFFFF_FFFF) + bigEndian(0)
    message += transfer.setup?.bytes ?? [UInt8](repeating: 0, count: 8)
    return message + transfer.bytes
  }

  private func unlinkCommand(_ unlink: UInt32, of sequence: UInt32) -> [UInt8] {
    header(2, unlink, isIn: false, endpoint: 0) + bigEndian(sequence) + [UInt8](repeating: 0, count: 24)
  }

  /// The 20 bytes in front of every command.
  private func header(_ command: UInt32, _ sequence: UInt32, isIn: Bool, endpoint: UInt8) -> [UInt8] {
    bigEndian(command) + bigEndian(sequence) + bigEndian(deviceID) + bigEndian(isIn ? 1 : 0)
      + bigEndian(UInt32(endpoint & 0x0F))
  }

  private func bigEndian(_ value: UInt32) -> [UInt8] {
    [UInt8(value >> 24), UInt8(value >> 16 & 0xFF), UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)]
  }

  /// The next reply, taken in; nil at the end of the connection.
  private static func readReply(_ stream: UnixStream, _ state: Monitor<State>)
    -> (reply: USBIPReply, listener: Listener?)?
  {
    do throws(LinuxError) {
      while !stream.isReadable(within: Seconds(60)) {}
      let head = try stream.readExactly(48, within: Seconds(5))
      let sequence = UInt32(bigEndian: head[4...])
      let status = Int32(bitPattern: UInt32(bigEndian: head[20...]))
      let length = Int(UInt32(bigEndian: head[24...]))
      let isSubmit = UInt32(bigEndian: head[...]) == 3
      // What answers nothing, or with more than was asked for, cannot be told from what comes after it.
      guard let most = state.read({ $0.commands.mostBytes(after: sequence) }),
        most == 0 || !isSubmit || length <= most
      else { throw LinuxError("recv", number: 71) }  // EPROTO
      let bytes = isSubmit && most > 0 ? try stream.readExactly(length, within: Seconds(5)) : []
      let reply = USBIPReply(status: status, bytes: bytes)
      let listener = state.update { state -> Listener? in
        state.commands.take(reply, to: sequence)
        guard let listener = state.listeners.removeValue(forKey: sequence) else { return nil }
        _ = state.commands.reply(to: sequence)
        return listener
      }
      return (reply, listener)
    } catch {
      stream.shutdown()
      return nil
    }
  }
}
