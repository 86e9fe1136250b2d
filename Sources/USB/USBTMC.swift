import Linux
package import Quantities

/// Messages to and from a test-and-measurement instrument: the host's side of USBTMC 1.0 and its USB488 subclass
/// (`usbtmc.md`). Owned by the instrument's thread.
package final class USBTMC {
  private let transport: any USBTransport
  private let name: String
  private let bulkOut: USBInterface.Endpoint
  private let bulkIn: USBInterface.Endpoint
  private var tag: UInt8 = 0

  /// Abort and clear are given up after so long: the cell may be waiting for its safe state.
  private static let recoveryTime = Seconds(1)
  private static let controlTime = Seconds(1)

  /// Takes over a claimed interface. Nothing is sent: connecting must not disturb a connected cell (design §8).
  package init(_ transport: any USBTransport, name: String) throws(USBError) {
    guard let bulkOut = transport.interface.bulkOut, let bulkIn = transport.interface.bulkIn else {
      throw .malformed(device: name, reason: "its USBTMC interface lacks a bulk endpoint")
    }
    self.transport = transport
    self.name = name
    self.bulkOut = bulkOut
    self.bulkIn = bulkIn
  }

  package func close() { transport.close() }

  /// Sends one message, EOM set.
  package func write(_ message: [UInt8], within limit: Seconds = Seconds(2)) throws(USBError) {
    var transfer = header(1, UInt32(message.count), 1) + message
    transfer += [UInt8](repeating: 0, count: (4 - transfer.count % 4) % 4)
    do throws(USBError) {
      try transport.send(transfer, to: bulkOut.address, within: limit)
    } catch {
      try recover(from: error, abort: abortOut)
    }
  }

  /// Asks for the response to what was written, whole: further requests until EOM.
  package func read(most: Int = 1 << 20, within limit: Seconds = Seconds(2)) throws(USBError) -> [UInt8] {
    var message: [UInt8] = []
    let end = MonotonicTime.now + limit
    while true {
      let wanted = min(1 << 20, most - message.count + 1)
      let left = max(end - .now, Seconds(0.001))
      var isLast = false
      do throws(USBError) {
        try transport.send(header(2, UInt32(wanted), 0), to: bulkOut.address, within: left)
        // Room for the short or empty packet that ends the transfer (usbtmc.md §2).
        let room = ((wanted + 12) / bulkIn.packetSize + 1) * bulkIn.packetSize
        let transfer = try transport.receive(room, from: bulkIn.address, within: left)
        isLast = try takeIn(transfer, into: &message, wanted)
      } catch {
        try recover(from: error, abort: abortIn)
      }
      if isLast { return message }
      guard message.count < most else {
        try clear()
        throw .malformed(device: name, reason: "a response longer than \(most) bytes")
      }
    }
  }

  /// Checks the header of a Bulk-IN transfer and appends its payload; true with EOM.
  private func takeIn(_ transfer: [UInt8], into message: inout [UInt8], _ wanted: Int) throws(USBError) -> Bool {
    guard transfer.count >= 12, transfer[0] == 2, transfer[1] == tag, transfer[2] == ~tag else {
      throw .malformed(device: name, reason: "Bulk-IN header \(transfer.prefix(12)), expected tag \(tag)")
    }
    let size = Int(transfer[4]) | Int(transfer[5]) << 8 | Int(transfer[6]) << 16 | Int(transfer[7]) << 24
    guard size <= wanted, transfer.count >= 12 + size else {
      throw .malformed(
        device: name, reason: "Bulk-IN says \(size) bytes; \(transfer.count - 12) came, \(wanted) were asked for")
    }
    message += transfer[12..<12 + size]
    return transfer[8] & 1 != 0
  }

  /// INITIATE_CLEAR until done: both directions empty, the instrument's parser at rest.
  package func clear() throws(USBError) {
    let answer = try classRequest(5, length: 1)
    guard answer.first == 0x01 else {
      throw .malformed(device: name, reason: "INITIATE_CLEAR answered \(answer)")
    }
    let end = MonotonicTime.now + Self.recoveryTime
    while MonotonicTime.now < end {
      let status = try classRequest(6, length: 2)
      if status.first != 0x02 { break }
      if status.count > 1, status[1] & 1 != 0 {
        _ = try? transport.receive(bulkIn.packetSize * 64, from: bulkIn.address, within: Seconds(0.3))
      } else {
        sleepThread(for: Seconds(0.05))
      }
    }
    try transport.clearHalt(bulkOut.address)
    try transport.clearHalt(bulkIn.address)
  }

  private func header(_ kind: UInt8, _ size: UInt32, _ attributes: UInt8) -> [UInt8] {
    tag = tag == 255 ? 1 : tag + 1
    return [
      kind, tag, ~tag, 0, UInt8(size & 0xFF), UInt8(size >> 8 & 0xFF), UInt8(size >> 16 & 0xFF), UInt8(size >> 24),
      attributes, 0, 0, 0,
    ]
  }

  private func classRequest(_ request: UInt8, value: UInt16 = 0, length: UInt16) throws(USBError) -> [UInt8] {
    try transport.control(
      USBSetup(0xA1, request, value: value, index: UInt16(transport.interface.number), length: length), sending: [],
      within: Self.controlTime)
  }

  private func endpointRequest(_ request: UInt8, _ endpoint: UInt8, value: UInt16, length: UInt16) throws(USBError)
    -> [UInt8]
  {
    try transport.control(
      USBSetup(0xA2, request, value: value, index: UInt16(endpoint), length: length), sending: [],
      within: Self.controlTime)
  }

  /// Leaves the instrument able to answer the next question, then throws what had happened: a timed-out query
  /// must not poison the next one.
  private func recover(from error: USBError, abort: () throws(USBError) -> Void) throws(USBError) {
    switch error {
    case .timedOut:
      do throws(USBError) { try abort() } catch { try clear() }
    case .stalled(_, let endpoint):
      try transport.clearHalt(endpoint)
      try clear()
    case .malformed:
      try clear()
    case .disconnected, .notFound:
      break
    }
    throw error
  }

  /// usbtmc.md §5, read time-out.
  private func abortIn() throws(USBError) {
    let answer = try endpointRequest(3, bulkIn.address, value: UInt16(tag), length: 2)
    if answer.first == 0x80 { return }  // nothing in progress, nothing waiting
    guard answer.first == 0x01 else { return try clear() }
    let end = MonotonicTime.now + Self.recoveryTime
    while MonotonicTime.now < end {
      _ = try? transport.receive(bulkIn.packetSize * 64, from: bulkIn.address, within: Seconds(0.3))
      let status = try endpointRequest(4, bulkIn.address, value: 0, length: 8)
      if status.first == 0x01 { return }
      guard status.first == 0x02 else { return try clear() }
      if status.count > 1, status[1] & 1 == 0 { sleepThread(for: Seconds(0.05)) }
    }
    try clear()
  }

  /// usbtmc.md §5, write time-out.
  private func abortOut() throws(USBError) {
    let answer = try endpointRequest(1, bulkOut.address, value: UInt16(tag), length: 2)
    guard answer.first == 0x01 else { return try clear() }
    let end = MonotonicTime.now + Self.recoveryTime
    while MonotonicTime.now < end {
      let status = try endpointRequest(2, bulkOut.address, value: 0, length: 8)
      if status.first != 0x02 { break }
      sleepThread(for: Seconds(0.05))
    }
    try transport.clearHalt(bulkOut.address)
  }
}
