import CLibUSB
import Linux
package import Quantities

/// One claimed function of a USB device, by libusb. Closing it, or letting go of it, takes back what is under way,
/// releases the interfaces and closes the device.
package final class LibUSBTransport: USBTransport {
  package let device: USBDeviceFacts
  package let interface: USBInterface
  private let traffic: LibUSBTraffic

  /// The kernel gives all transfers together 16 MiB unless told otherwise (usb-emulation.md §A.6.4): longer ones are
  /// read in pieces.
  package static let largestPiece = 1 << 20
  /// A reset that takes longer counts as a device that is gone; hub and device need some 0.1 s (not tried on hardware).
  private static let resetTime = Seconds(1.5)
  /// The most transfers that `listen` keeps posted.
  package static let mostPosted = 64

  init(device: USBDeviceFacts, interface: USBInterface, _ traffic: LibUSBTraffic) {
    self.device = device
    self.interface = interface
    self.traffic = traffic
  }

  deinit { traffic.close() }

  package func close() { traffic.close() }

  package func control(_ setup: USBSetup, sending: [UInt8], within limit: Seconds) throws(USBError) -> [UInt8] {
    try traffic.control(setup, sending: sending, within: limit)
  }

  package func send(_ bytes: [UInt8], to endpoint: UInt8, endingWithZeroPacket: Bool, within limit: Seconds)
    throws(USBError)
  {
    let transfer = LibUSBTransfer(out: endpoint, bytes, endingWithZeroPacket: endingWithZeroPacket) { _, _ in false }
    let outcome = try traffic.carryOut(transfer, by: .now + limit)
    try traffic.check(outcome, endpoint: endpoint, operation(endpoint))
  }

  /// What came with the last packet is returned whole, even if `most` is no multiple of the packet size.
  package func receive(_ most: Int, from endpoint: UInt8, within limit: Seconds) throws(USBError) -> [UInt8] {
    let end = MonotonicTime.now + limit
    let first = piece(of: most, from: endpoint)
    try traffic.begin(first.transfer)
    return try receive(most, from: endpoint, after: first, by: end)
  }

  package func exchange(
    _ messages: [[UInt8]], to out: UInt8, receiving most: Int, from in: UInt8, within limit: Seconds
  ) throws(USBError) -> [UInt8] {
    let end = MonotonicTime.now + limit
    let sending = messages.map { LibUSBTransfer(out: out, $0, endingWithZeroPacket: false) { _, _ in false } }
    let first = piece(of: most, from: `in`)
    var begun: [LibUSBTransfer] = []
    /// Nothing stays behind that would take the answer to the next question.
    func takeBack() {
      for transfer in begun { transfer.cancel() }
      for transfer in begun { _ = traffic.finish(transfer, by: .now) }
    }
    do throws(USBError) {
      for transfer in sending + [first.transfer] {
        try traffic.begin(transfer)
        begun.append(transfer)
      }
      for transfer in sending {
        let outcome = traffic.finish(transfer, by: end)
        if outcome.ending == .cancelled, let answer = first.transfer.outcome, answer.ending != .completed {
          // The device takes nothing more because it has refused already.
          try traffic.check(answer, endpoint: `in`, operation(`in`))
        }
        try traffic.check(outcome, endpoint: out, operation(out))
      }
    } catch {
      takeBack()
      throw error
    }
    return try receive(most, from: `in`, after: first, by: end)
  }

  package func listen(
    to endpoint: UInt8, transfers: Int, most: Int,
    _ heard: @escaping @Sendable (Result<[UInt8], USBError>, MonotonicTime) -> Void
  ) throws(USBError) {
    guard 1...Self.mostPosted ~= transfers, 1...Self.largestPiece ~= most else {
      throw .malformed(
        device: traffic.name,
        reason: "\(transfers) transfers of \(most) bytes cannot be kept posted; at most \(Self.mostPosted) of 1 MiB can"
      )
    }
    let operation = operation(endpoint)
    let listener = LibUSBListener(endpoint, heard) { [weak traffic, name = traffic.name] ending in
      traffic?.error(for: ending, endpoint: endpoint, operation) ?? .disconnected(device: name)
    }
    let posted = (0..<transfers).map { _ in
      listener.makeTransfer(isInterrupt: isInterrupt(endpoint), capacity: rounded(most, endpoint))
    }
    do throws(USBError) {
      for transfer in posted {
        try traffic.begin(transfer)
        // What libusb refuses has ended at once, and nothing was heard.
        if let outcome = transfer.outcome, case .refused = outcome.ending {
          try traffic.check(outcome, endpoint: endpoint, operation)
        }
        if transfer.outcome?.ending == .gone { throw .disconnected(device: traffic.name) }
      }
    } catch {
      listener.end()
      throw error
    }
  }

  package func clearHalt(_ endpoint: UInt8) throws(USBError) { try traffic.clearHalt(endpoint, within: Seconds(1)) }

  package func reset() throws(USBError) { try traffic.reset(within: Self.resetTime) }

  // MARK: Pieces

  private struct Piece {
    var transfer: LibUSBTransfer
    var capacity: Int
  }

  private func piece(of most: Int, from endpoint: UInt8) -> Piece {
    let packet = packetSize(endpoint)
    let capacity = min(rounded(most, endpoint), Self.largestPiece / packet * packet)
    return Piece(
      transfer: LibUSBTransfer(in: endpoint, isInterrupt: isInterrupt(endpoint), capacity: capacity) { _, _ in false },
      capacity: capacity)
  }

  /// Waits for the first piece and fetches further ones until a short packet, or `most` bytes.
  private func receive(_ most: Int, from endpoint: UInt8, after first: Piece, by end: MonotonicTime) throws(USBError)
    -> [UInt8]
  {
    var piece = first
    var bytes: [UInt8] = []
    while true {
      let outcome = traffic.finish(piece.transfer, by: end)
      try traffic.check(outcome, endpoint: endpoint, operation(endpoint))
      bytes += piece.transfer.bytes(outcome)
      guard outcome.count == piece.capacity, bytes.count < most else { return bytes }
      piece = self.piece(of: most - bytes.count, from: endpoint)
      try traffic.begin(piece.transfer)
    }
  }

  /// Whole packets: a full one in a smaller buffer would be an overflow.
  private func rounded(_ most: Int, _ endpoint: UInt8) -> Int {
    let packet = packetSize(endpoint)
    return max((most + packet - 1) / packet, 1) * packet
  }

  private func packetSize(_ endpoint: UInt8) -> Int {
    let known = [interface.bulkIn, interface.interruptIn].compactMap(\.self).first { $0.address == endpoint }
    return known?.packetSize ?? 64
  }

  private func isInterrupt(_ endpoint: UInt8) -> Bool { interface.interruptIn?.address == endpoint }

  private func operation(_ endpoint: UInt8) -> String { "endpoint \(hex(endpoint))" }
}
