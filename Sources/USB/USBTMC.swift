import Linux
package import Quantities

/// Messages to and from a test-and-measurement instrument: the host's side of USBTMC 1.0 and its USB488 subclass
/// (`usbtmc.md`). Owned by the instrument's thread.
///
/// Whatever goes wrong, the device is left able to answer the next question: a timed-out query must not poison the one
/// after it. What the device could not be brought to at once is tried again before the next message.
package final class USBTMC {
  /// Payload of one Bulk-OUT transfer; longer messages are sent in several, EOM on the last.
  package static let mostPerTransfer = 1 << 16
  /// A query up to this length goes out together with the request for its answer.
  package static let shortQuery = 4096
  /// Asked for with the first request of a response; what is longer is asked for in pieces of `laterRequest`.
  package static let firstRequest = 1 << 16
  /// Below 1 MiB with header and last packet, which is what the kernel grants at once (usb-emulation.md §A.6).
  package static let laterRequest = (1 << 20) - 4096
  /// Requests for one response.
  private static let mostRequests = 4096

  let transport: any USBTransport
  package let name: String
  package let quirks: USBTMCQuirks
  let bulkOut: USBInterface.Endpoint
  let bulkIn: USBInterface.Endpoint
  let notifications = Monitor(USBTMCNotifications())

  /// bTag of the last Bulk-OUT header, and of the last request.
  private(set) var tag: UInt8 = 0
  private(set) var requestTag: UInt8 = 0
  /// bTag of the last READ_STATUS_BYTE: 2…127.
  var statusTag: UInt8 = 1
  private var knownAbilities: USBTMCAbilities?
  /// A query went out and its answer was not read.
  var answerIsDue = false
  /// A recovery did not come to its end; nothing is sent before one has.
  var needsClear = false

  /// Takes over a claimed interface. Nothing is sent to the instrument: connecting must not disturb a connected cell
  /// (design §8).
  package init(_ transport: any USBTransport, name: String) throws(USBError) {
    guard let bulkOut = transport.interface.bulkOut, let bulkIn = transport.interface.bulkIn else {
      throw .malformed(device: name, reason: "its USBTMC interface lacks a bulk endpoint")
    }
    self.transport = transport
    self.name = name
    self.bulkOut = bulkOut
    self.bulkIn = bulkIn
    quirks = USBTMCQuirks.of(transport.device)
    if quirks.contains(.resetAtOpen) {
      // A way without a reset may do all the same.
      do throws(USBError) { try transport.reset() } catch { if error.isGone { throw error } }
    }
    try listenForNotifications()
  }

  package func close() { transport.close() }

  /// What the device says it can do; asked until it has said it. A device that does not say, or not now, has no optional
  /// features.
  package func abilities() throws(USBError) -> USBTMCAbilities {
    if let knownAbilities { return knownAbilities }
    var answer: [UInt8] = []
    do throws(USBError) { answer = try classRequest(7, length: 24) } catch .stalled {}
    // 24 bytes, the first of them STATUS_SUCCESS (usbtmc.md §3).
    guard answer.count == 24, answer[0] == 1 else { return .none }
    let abilities = USBTMCAbilities(answer)
    knownAbilities = abilities
    return abilities
  }

  // MARK: messages

  /// Sends one message, EOM set.
  /// - Parameter isQuery: an answer will be there; if nobody reads it, it is cleared away before the next message.
  package func write(_ message: [UInt8], isQuery: Bool = false, within limit: Seconds = Seconds(2)) throws(USBError) {
    let end = MonotonicTime.now + limit
    try settle()
    do throws(USBError) {
      for transfer in transfers(of: message) {
        try transport.send(transfer, to: bulkOut.address, within: left(until: end))
      }
    } catch { throw recovered(from: error, .writing) }
    answerIsDue = isQuery
  }

  /// Asks for the response to what was written, whole: further requests until EOM.
  /// - Parameters:
  ///   - most: a longer response is refused, and cleared away.
  ///   - terminator: the response may end with this byte as well, when the device can do that.
  package func read(most: Int = 1 << 24, endingAt terminator: UInt8? = nil, within limit: Seconds = Seconds(2))
    throws(USBError) -> [UInt8]
  {
    try response(after: [], most: most, endingAt: terminator, within: limit)
  }

  /// Sends a query and gives its response: one wait when the query is short.
  package func query(_ message: [UInt8], most: Int = 1 << 24, within limit: Seconds = Seconds(2)) throws(USBError)
    -> [UInt8]
  {
    guard message.count <= Self.shortQuery else {
      let end = MonotonicTime.now + limit
      try write(message, isQuery: true, within: limit)
      return try read(most: most, within: left(until: end))
    }
    let end = MonotonicTime.now + limit
    try settle()
    return try response(after: transfers(of: message), most: most, endingAt: nil, within: left(until: end))
  }

  private func response(after messages: [[UInt8]], most: Int, endingAt terminator: UInt8?, within limit: Seconds)
    throws(USBError) -> [UInt8]
  {
    let canEnd = terminator == nil ? false : try abilities().endsOnTermChar
    let end = MonotonicTime.now + limit
    var before = messages
    var response: [UInt8] = []
    for number in 0..<Self.mostRequests {
      let wanted =
        quirks.contains(.requestOnce)
        ? Self.laterRequest : min(number == 0 ? Self.firstRequest : Self.laterRequest, most - response.count + 1)
      let request = header(2, UInt32(wanted), canEnd ? 2 : 0, canEnd ? terminator ?? 0 : 0)
      requestTag = tag
      do throws(USBError) {
        let transfer = try exchange(before + [request], room: Self.room(for: wanted, bulkIn.packetSize), until: end)
        before = []
        if quirks.contains(.requestOnce) {
          response = try continueRaw(transfer, most: most, until: end)
          answerIsDue = false
          return response
        }
        let isLast = try takeIn(transfer, into: &response, wanted, canEnd: canEnd)
        if isLast {
          answerIsDue = false
          return response
        }
      } catch { throw recovered(from: error, messages.isEmpty ? .reading : .both) }
      guard response.count <= most else { break }
    }
    throw recovered(from: .malformed(device: name, reason: "a response longer than \(most) bytes"), .reading)
  }

  private func exchange(_ messages: [[UInt8]], room: Int, until end: MonotonicTime) throws(USBError) -> [UInt8] {
    let transfer = try transport.exchange(
      messages, to: bulkOut.address, receiving: room, from: bulkIn.address, within: left(until: end))
    guard transfer.isEmpty, quirks.contains(.firstReadMayBeEmpty) else { return transfer }
    return try transport.receive(room, from: bulkIn.address, within: left(until: end))
  }

  /// Room for header, padding, and the short or empty packet that ends the transfer (usbtmc.md §2).
  package static func room(for payload: Int, _ packetSize: Int) -> Int {
    ((12 + payload + 3) / 4 * 4 / packetSize + 1) * packetSize
  }

  /// Checks the header of a Bulk-IN transfer and appends its payload; true when the response ends here.
  private func takeIn(_ transfer: [UInt8], into message: inout [UInt8], _ wanted: Int, canEnd: Bool) throws(USBError)
    -> Bool
  {
    let size = try payloadSize(transfer)
    guard size <= wanted, transfer.count >= 12 + size else {
      throw .malformed(
        device: name, reason: "Bulk-IN says \(size) bytes; \(transfer.count - 12) came, \(wanted) were asked for")
    }
    // Padding that some makers add is not counted in TransferSize (vector R1).
    message += transfer[12..<12 + size]
    return transfer[8] & (canEnd ? 3 : 1) != 0
  }

  private func payloadSize(_ transfer: [UInt8]) throws(USBError) -> Int {
    guard transfer.count >= 12, transfer[0] == 2, transfer[1] == requestTag, transfer[2] == ~requestTag else {
      throw .malformed(device: name, reason: "Bulk-IN header \(transfer.prefix(12)), expected tag \(requestTag)")
    }
    return Int(transfer[4]) | Int(transfer[5]) << 8 | Int(transfer[6]) << 16 | Int(transfer[7]) << 24
  }

  /// Quirk `requestOnce`: what follows the first transfer has no headers, and of blocks only their own count is right.
  private func continueRaw(_ transfer: [UInt8], most: Int, until end: MonotonicTime) throws(USBError) -> [UInt8] {
    var bytes = Array(transfer.dropFirst(12))
    let declared = try payloadSize(transfer)
    let expected = SCPIBlock.length(bytes) ?? declared
    guard expected <= most else {
      throw .malformed(device: name, reason: "a response longer than \(most) bytes")
    }
    while bytes.count < expected {
      let more = try transport.receive(
        Self.room(for: expected - bytes.count, bulkIn.packetSize), from: bulkIn.address, within: left(until: end))
      guard !more.isEmpty else { throw .malformed(device: name, reason: "the response ended within a block") }
      bytes += more
    }
    return Array(bytes.prefix(expected))
  }

  // MARK: transfers out

  /// Header, payload and padding; a long message in several transfers, EOM on the last (usbtmc.md §2).
  private func transfers(of message: [UInt8]) -> [[UInt8]] {
    stride(from: 0, to: message.count, by: Self.mostPerTransfer).map { start in
      let end = min(start + Self.mostPerTransfer, message.count)
      let transfer = header(1, UInt32(end - start), end == message.count ? 1 : 0) + message[start..<end]
      return transfer + [UInt8](repeating: 0, count: (4 - transfer.count % 4) % 4)
    }
  }

  /// Every header has a tag of its own: 1…255, then 1 again.
  func header(_ kind: UInt8, _ size: UInt32, _ attributes: UInt8, _ terminator: UInt8 = 0) -> [UInt8] {
    tag = tag >= (quirks.contains(.tagsBelow128) ? 127 : 255) ? 1 : tag + 1
    return [
      kind, tag, ~tag, 0, UInt8(size & 0xFF), UInt8(size >> 8 & 0xFF), UInt8(size >> 16 & 0xFF), UInt8(size >> 24),
      attributes, terminator, 0, 0,
    ]
  }

  func left(until end: MonotonicTime) -> Seconds { max(end - .now, Seconds(0.001)) }

  func classRequest(_ request: UInt8, value: UInt16 = 0, length: UInt16, until end: MonotonicTime? = nil)
    throws(USBError) -> [UInt8]
  {
    try transport.control(
      USBSetup(0xA1, request, value: value, index: UInt16(transport.interface.number), length: length), sending: [],
      within: controlLimit(until: end))
  }

  func endpointRequest(_ request: UInt8, _ endpoint: UInt8, value: UInt16, length: UInt16, until end: MonotonicTime)
    throws(USBError) -> [UInt8]
  {
    try transport.control(
      USBSetup(0xA2, request, value: value, index: UInt16(endpoint), length: length), sending: [],
      within: controlLimit(until: end))
  }
}
