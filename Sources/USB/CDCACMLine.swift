import Linux
import Quantities

/// A serial line of the communication device class, abstract control model (usb-serial.md §1).
struct CDCACMLine: SerialLine {
  private enum Request {
    static let setLineCoding: UInt8 = 0x20
    static let setControlLineState: UInt8 = 0x22
  }

  private static let limit = Seconds(1)

  private let transport: any USBTransport

  init(_ transport: any USBTransport) { self.transport = transport }

  var endsWithZeroPacket: Bool { true }

  /// The seven bytes of 8N1 at that speed.
  static func lineCoding(baud: Int) -> [UInt8] {
    let rate = UInt32(clamping: baud)
    return (0..<4).map { UInt8(truncatingIfNeeded: rate >> (8 * $0)) } + [0, 0, 8]
  }

  func open(baud: Int) throws(USBError) { try request(Request.setLineCoding, sending: Self.lineCoding(baud: baud)) }

  func ready(_ input: Monitor<SerialInput>) throws(USBError) {
    if let endpoint = transport.interface.interruptIn {
      let notifications = Monitor(SerialStateNotifications())
      // Two packets of eight bytes have room for a notification of ten.
      try transport.listen(to: endpoint.address, transfers: 1, most: endpoint.packetSize * 2) { result, _ in
        guard case .success(let bytes) = result else { return }
        let hasOverrun = notifications.update { $0.take(bytes) }
        if hasOverrun { input.update { $0.lose("the instrument reports an overrun of its serial line") } }
      }
    }
    // Many firmwares send nothing before DTR.
    try request(Request.setControlLineState, value: 0x0003)
  }

  func close() { try? request(Request.setControlLineState, value: 0) }

  /// Devices without a real line may refuse these: that is no error.
  private func request(_ request: UInt8, value: UInt16 = 0, sending bytes: [UInt8] = []) throws(USBError) {
    let setup = USBSetup(
      0x21, request, value: value, index: UInt16(transport.interface.controlNumber), length: UInt16(bytes.count))
    do throws(USBError) { _ = try transport.control(setup, sending: bytes, within: Self.limit) } catch .stalled {}
  }
}

/// Puts the notifications of a communication interface together: they may come in pieces (usb-serial.md §1).
package struct SerialStateNotifications: Sendable {
  /// A notification that claims to be longer is none.
  private static let longest = 64
  private var bytes: [UInt8] = []

  package init() {}

  /// True when a SERIAL_STATE among them says that bytes were overrun.
  package mutating func take(_ piece: [UInt8]) -> Bool {
    bytes += piece
    var hasOverrun = false
    while bytes.count >= 8 {
      let length = 8 + Int(bytes[6]) + Int(bytes[7]) << 8
      guard length <= Self.longest, bytes[0] == 0xA1 else {
        bytes = []
        break
      }
      guard bytes.count >= length else { break }
      if bytes[1] == 0x20, length >= 10, bytes[8] & 0x40 != 0 { hasOverrun = true }
      bytes.removeFirst(length)
    }
    return hasOverrun
  }
}
