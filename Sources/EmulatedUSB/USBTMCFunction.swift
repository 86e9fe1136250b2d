package import Quantities

/// The device side of USBTMC 1.0 with the USB488 subclass, in front of one `MessageInstrument`.
///
/// Sources: usbtmc.md §§1–5, which name theirs. One interface, Bulk-OUT, Bulk-IN and Interrupt-IN.
package final class USBTMCFunction: USBFunction {
  package typealias Identity = USBIdentity

  /// Longest program message taken in; a longer one halts Bulk-OUT.
  package static let maximumMessage = 1 << 20

  package let descriptors: USBDescriptors
  package let identity: Identity
  package let capabilities: USBTMCCapabilities
  /// Bulk-IN data is padded to a multiple of four bytes, as some makers do (usbtmc.md §2).
  package let padsResponses: Bool
  package let instrument: any MessageInstrument
  let clock: () -> MonotonicTime

  // Bulk-OUT: one transfer, and the message that its payload belongs to.
  struct OutTransfer {
    var header: USBTMCHeader
    /// Header, payload and padding received so far.
    var received: Int
  }
  /// Bytes of a header that is not complete yet.
  var headerBytes: [UInt8] = []
  var outTransfer: OutTransfer?
  var message: [UInt8] = []
  /// STALL on Bulk-OUT until the host sends CLEAR_FEATURE: after an abort and after a clear.
  var outIsHalted = false

  // Bulk-IN: the request, the transfer that answers it, and what is left of the response.
  struct InTransfer {
    var bytes: [UInt8]
    var sent = 0
  }
  var request: USBTMCHeader?
  var inTransfer: InTransfer?
  var response: [UInt8] = []
  var inIsHalted = false
  /// An empty packet ends a transfer that was aborted or cleared.
  var owesEmptyPacket = false
  var lastPayloadSent = 0
  var lastPayloadReceived = 0
  var isAbortingIn = false
  var isAbortingOut = false

  // Interrupt-IN.
  var statusAnswer: [UInt8]?
  var serviceRequest: [UInt8]?
  var requestedService = false
  private var summaryBefore = false

  package init(
    _ identity: Identity, _ capabilities: USBTMCCapabilities, padsResponses: Bool = false,
    instrument: any MessageInstrument, clock: @escaping () -> MonotonicTime
  ) {
    self.identity = identity
    self.capabilities = capabilities
    self.padsResponses = padsResponses
    self.instrument = instrument
    self.clock = clock
    descriptors = USBDescriptors(
      identity,
      interfaces: [
        USBInterfaceDescriptor(
          number: 0, classCode: 0xFE, subclassCode: 0x03, protocolCode: 0x01,
          endpoints: [
            USBEndpointDescriptor(address: identity.bulkOut, kind: .bulk, maximumPacket: identity.maximumPacket),
            USBEndpointDescriptor(address: identity.bulkIn, kind: .bulk, maximumPacket: identity.maximumPacket),
            USBEndpointDescriptor(address: identity.interruptIn, kind: .interrupt, maximumPacket: 8, interval: 9),
          ])
      ])
  }

  // MARK: Bulk-OUT

  package func out(_ endpoint: UInt8, _ packet: [UInt8]) -> USBReply {
    guard endpoint == identity.bulkOut, !outIsHalted else { return .stall }
    if outTransfer == nil {
      // An empty packet between transfers is the end of one that filled its last packet.
      if packet.isEmpty && headerBytes.isEmpty { return .ack([]) }
      headerBytes += packet
      if headerBytes.count < USBTMCHeader.size {
        return packet.count < identity.maximumPacket ? malformed() : .ack([])
      }
      let bytes = headerBytes
      headerBytes = []
      guard let header = USBTMCHeader(bytes) else { return malformed() }
      let isShort = packet.count < identity.maximumPacket
      switch header.message {
      case USBTMCMessage.output: return begin(header, bytes, isShort: isShort)
      case USBTMCMessage.input: return bytes.count == USBTMCHeader.size ? take(request: header) : malformed()
      case USBTMCMessage.trigger:
        guard capabilities.trigger, bytes.count == USBTMCHeader.size else { return malformed() }
        instrument.trigger(at: clock())
        lookForServiceRequest()
        return .ack([])
      default: return malformed()
      }
    }
    return append(packet, isShort: packet.count < identity.maximumPacket)
  }

  private func begin(_ header: USBTMCHeader, _ bytes: [UInt8], isShort: Bool) -> USBReply {
    guard header.transferSize > 0, message.count + header.transferSize <= Self.maximumMessage else {
      return malformed()
    }
    if message.isEmpty, !response.isEmpty || inTransfer != nil || instrument.isResponseDue {
      // The host speaks before it has read the answer (IEEE 488.2: query interrupted).
      dropOutput()
      instrument.dropResponse(.interrupted, at: clock())
    }
    isAbortingOut = false
    outTransfer = OutTransfer(header: header, received: USBTMCHeader.size)
    return append(Array(bytes[USBTMCHeader.size...]), isShort: isShort)
  }

  private func append(_ bytes: [UInt8], isShort: Bool) -> USBReply {
    guard var transfer = outTransfer else { return malformed() }
    let end = USBTMCHeader.size + transfer.header.transferSize
    let paddedEnd = (end + 3) / 4 * 4
    message += bytes.prefix(max(0, end - transfer.received))
    transfer.received += bytes.count
    outTransfer = transfer
    lastPayloadReceived = min(transfer.received, end) - USBTMCHeader.size
    if transfer.received > paddedEnd { return malformed() }
    if transfer.received < end { return isShort ? malformed() : .ack([]) }
    // The transfer ends where its payload does; padding that is still to come is in the next packet.
    if transfer.received < paddedEnd && !isShort { return .ack([]) }
    outTransfer = nil
    if transfer.header.attributes & 1 != 0 {
      let whole = message
      message = []
      instrument.receive(whole, at: clock())
      lookForServiceRequest()
    }
    return .ack([])
  }

  /// Wrong length, unknown MsgID, wrong tag: the device halts Bulk-OUT and forgets the message.
  private func malformed() -> USBReply {
    headerBytes = []
    outTransfer = nil
    message = []
    return .stall
  }

  // MARK: Bulk-IN

  private func take(request header: USBTMCHeader) -> USBReply {
    guard header.transferSize > 0 else { return malformed() }
    if header.attributes & 2 != 0 && !capabilities.endsOnTermChar { return malformed() }
    if inTransfer != nil {
      // A second request while the answer to the first is on its way.
      dropOutput()
      inIsHalted = true
      return .ack([])
    }
    isAbortingIn = false
    request = header
    if response.isEmpty && !instrument.isResponseDue { instrument.dropResponse(.unterminated, at: clock()) }
    return .ack([])
  }

  package func `in`(_ endpoint: UInt8, _ most: Int) -> USBReply {
    if endpoint == identity.interruptIn { return interruptPacket() }
    guard endpoint == identity.bulkIn, !inIsHalted else { return .stall }
    if owesEmptyPacket {
      owesEmptyPacket = false
      return .ack([])
    }
    if inTransfer == nil {
      guard let header = request else { return .nak }
      if response.isEmpty {
        guard let ready = instrument.response(at: clock()), !ready.isEmpty else { return .nak }
        response = ready
      }
      beginAnswer(header)
    }
    guard var transfer = inTransfer else { return .nak }
    let packet = Array(transfer.bytes[transfer.sent..<min(transfer.bytes.count, transfer.sent + most)])
    transfer.sent += packet.count
    lastPayloadSent = max(0, transfer.sent - USBTMCHeader.size)
    // A transfer that fills its last packet is followed by an empty one (usbtmc.md §2).
    inTransfer = packet.count < most ? nil : transfer
    if inTransfer == nil { lookForServiceRequest() }
    return .ack(packet)
  }

  private func beginAnswer(_ header: USBTMCHeader) {
    var payload = Array(response.prefix(header.transferSize))
    var attributes: UInt8 = 0
    if header.attributes & 2 != 0, let end = payload.firstIndex(of: header.termChar) {
      payload = Array(payload[...end])
      attributes |= 2
    }
    response.removeFirst(payload.count)
    if response.isEmpty { attributes |= 1 }
    var bytes =
      USBTMCHeader(
        message: USBTMCMessage.input, tag: header.tag, transferSize: payload.count, attributes: attributes
      ).bytes + payload
    if padsResponses { while bytes.count % 4 != 0 { bytes.append(0) } }
    request = nil
    answeredTag = header.tag
    inTransfer = InTransfer(bytes: bytes)
  }
  /// bTag of the request that the transfer under way answers.
  var answeredTag: UInt8 = 0

  func dropOutput() {
    request = nil
    inTransfer = nil
    response = []
  }

  // MARK: Interrupt-IN and status

  private func interruptPacket() -> USBReply {
    if let packet = statusAnswer {
      statusAnswer = nil
      return .ack(packet)
    }
    if let packet = serviceRequest {
      serviceRequest = nil
      return .ack(packet)
    }
    return .nak
  }

  /// The status byte with bit 4 also while part of a response is still to be read.
  func statusByte() -> UInt8 { instrument.statusByte(at: clock()) | (response.isEmpty ? 0 : 0x10) }

  /// A new reason for service (bit 6 rising) is told once, on Interrupt-IN.
  func lookForServiceRequest() {
    let status = statusByte()
    let summary = status & 0x40 != 0
    if summary && !summaryBefore {
      requestedService = true
      serviceRequest = [0x81, status]
    }
    if !summary { requestedService = false }
    summaryBefore = summary
  }

  // MARK: the cable

  package func tick(_ now: MonotonicTime) {
    instrument.tick(now)
    lookForServiceRequest()
  }

  package func haltCleared(_ endpoint: UInt8) {
    if endpoint == identity.bulkOut {
      outIsHalted = false
      headerBytes = []
      outTransfer = nil
      message = []
    }
    if endpoint == identity.bulkIn {
      inIsHalted = false
      owesEmptyPacket = false
      inTransfer = nil
    }
  }

  package func reset(configured: Bool) {
    forgetConversation()
    if !configured { instrument.usbLost(at: clock()) }
  }

  /// A program that died leaves the device as it is; only the conversation starts anew.
  package func hostGone() {
    forgetConversation()
    instrument.clear(at: clock())
  }

  package func unplugged() {
    forgetConversation()
    instrument.clear(at: clock())
    instrument.usbLost(at: clock())
  }

  package func plugged() { instrument.usbRestored(at: clock()) }

  func forgetConversation() {
    headerBytes = []
    outTransfer = nil
    message = []
    outIsHalted = false
    inIsHalted = false
    owesEmptyPacket = false
    isAbortingIn = false
    isAbortingOut = false
    dropOutput()
    statusAnswer = nil
    serviceRequest = nil
  }
}
