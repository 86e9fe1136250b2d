import Linux
import Quantities

/// One client of the USB/IP server: first operations (list, import), after an import the transfers of one device.
final class USBIPConnection: @unchecked Sendable {
  private enum Outgoing: Sendable { case bytes([UInt8]), end }

  /// Replies that may wait for a client that does not read.
  private static let maximumWaitingReplies = 2048
  private static let messagePatience = Seconds(5)

  private let stream: UnixStream
  private let exports: [USBIPServer.Export]
  private let endPullsCable: Bool
  private let outgoing = BoundedQueue<Outgoing>(limit: maximumWaitingReplies)
  private let over = Monitor(false)
  private var threads: [NamedThread] = []

  /// - Parameter endPullsCable: the device feels the end of the connection as the cable being pulled and put back.
  init(_ stream: UnixStream, _ exports: [USBIPServer.Export], endPullsCable: Bool) {
    self.stream = stream
    self.exports = exports
    self.endPullsCable = endPullsCable
    threads = [
      NamedThread("usbip-write") { [self] in write() },
      NamedThread("usbip-read") { [self] in
        serve()
        outgoing.push(.end)
        outgoing.close()
        over.update { $0 = true }
      },
    ]
  }

  var isOver: Bool { over.read { $0 } }

  func close() {
    stream.shutdown()
    for thread in threads { thread.join() }
  }

  private func write() {
    while true {
      guard let next = outgoing.pop(atMost: USBIPServer.patience) else {
        if isOver { break }
        continue
      }
      guard case .bytes(let bytes) = next, (try? stream.write(bytes, within: Self.messagePatience)) != nil else {
        break
      }
    }
    // Ends the reader too, when the device was unplugged or the client stopped reading.
    stream.shutdown()
  }

  /// A client that does not take its replies loses its connection; nothing grows without a bound.
  private func send(_ bytes: [UInt8]) { if !outgoing.push(.bytes(bytes)) { stream.shutdown() } }

  private func serve() {
    while let request = read(8) {
      let code = UInt16(bigEndian: request, at: 2)
      if code == USBIP.requestDeviceList {
        send(deviceList())
      } else if code == USBIP.requestImport, let name = read(USBIP.busIDBytes) {
        let busID = String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)
        guard importDevice(busID) else { continue }
        return
      } else {
        return
      }
    }
  }

  private func read(_ count: Int) -> [UInt8]? {
    while !stream.isReadable(within: USBIPServer.patience) { if isOver { return nil } }
    return try? stream.readExactly(count, within: Self.messagePatience)
  }

  private func deviceList() -> [UInt8] {
    let present = exports.enumerated().filter { $0.element.device.isPlugged }
    var bytes = USBIP.operationReply(USBIP.replyDeviceList, USBIP.OperationStatus.ok)
    bytes += UInt32(present.count).bigEndianBytes
    for (number, export) in present {
      bytes += describe(export, number) + USBIP.interfaces(export.device.descriptors)
    }
    return bytes
  }

  private func describe(_ export: USBIPServer.Export, _ number: Int) -> [UInt8] {
    USBIP.device(
      export.device.descriptors, busID: export.busID, number: UInt32(number + 2),
      configuration: export.device.configuration)
  }

  /// True when the device was imported and its conversation is over.
  private func importDevice(_ busID: String) -> Bool {
    guard let number = exports.firstIndex(where: { $0.busID == busID }), exports[number].device.isPlugged else {
      send(USBIP.operationReply(USBIP.replyImport, USBIP.OperationStatus.noDevice))
      return false
    }
    let device = exports[number].device
    let outgoing = outgoing
    guard let token = device.attach({ outgoing.push(.end) }) else {
      send(USBIP.operationReply(USBIP.replyImport, USBIP.OperationStatus.busy))
      return false
    }
    send(USBIP.operationReply(USBIP.replyImport, USBIP.OperationStatus.ok) + describe(exports[number], number))
    while let bytes = read(USBIP.headerBytes), handle(USBIP.Header(bytes), device) {}
    // A cable that was pulled at the instrument's side stays out: `unplug` then finds nothing to do.
    if endPullsCable && device.isPlugged {
      device.unplug()
      device.plug()
    } else {
      device.detach(token)
    }
    return true
  }

  /// False when the client breaks the protocol.
  private func handle(_ header: USBIP.Header, _ device: EmulatedUSBDevice) -> Bool {
    switch header.command {
    case USBIP.Command.submit:
      guard header.length >= 0, header.length <= EmulatedUSBDevice.maximumBytesInFlight, header.endpoint < 16 else {
        return false
      }
      // Isochronous transfers carry packet descriptors that no device here has a use for.
      guard header.packets <= 0 else { return false }
      var data: [UInt8] = []
      if !header.isIn && header.length > 0 {
        guard let sent = try? stream.readExactly(Int(header.length), within: Self.messagePatience) else { return false }
        data = sent
      }
      let sequence = header.sequence
      device.submit(request(header, data), tag: UInt64(sequence)) { [self] completion in
        send(USBIP.submitReply(sequence, completion))
      }
    case USBIP.Command.unlink:
      // Answered under the device's lock: a client must see the reply to the transfer first when it had ended.
      device.cancel(tag: UInt64(header.first)) { [self] wasPending, _ in
        send(USBIP.unlinkReply(header.sequence, wasPending ? USBStatus.cancelled : USBStatus.ok))
      }
    default: return false
    }
    return true
  }

  private func request(_ header: USBIP.Header, _ data: [UInt8]) -> USBRequestBlock {
    if header.endpoint == 0 {
      return USBRequestBlock(setup: header.setup, data: data, length: Int(header.length))
    }
    if header.isIn {
      var block = USBRequestBlock(endpoint: UInt8(header.endpoint) | 0x80, receiving: Int(header.length))
      block.shortIsError = header.first & USBIP.TransferFlag.shortNotOK != 0
      return block
    }
    var block = USBRequestBlock(endpoint: UInt8(header.endpoint), sending: data)
    block.endsWithZeroPacket = header.first & USBIP.TransferFlag.zeroPacket != 0
    return block
  }
}
