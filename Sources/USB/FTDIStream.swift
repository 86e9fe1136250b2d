/// The Bulk-IN format and the clock dividers of FTDI's chips (usb-serial.md §2).
package enum FTDIStream {
  /// A packet's payload, and what its status bytes complain of.
  package struct Part: Equatable, Sendable {
    package var payload: [UInt8]
    package var error: String?
  }

  /// Takes the two status bytes out of every packet (not every transfer).
  package static func strip(_ transfer: [UInt8], packetSize: Int) -> (payload: [UInt8], parts: [Part]) {
    var parts: [Part] = []
    var offset = 0
    while offset + 2 <= transfer.count {
      let packet = transfer[offset..<min(offset + packetSize, transfer.count)]
      let payload = Array(packet.dropFirst(2))
      let error = complaint(packet[offset + 1])
      if !payload.isEmpty || error != nil { parts.append(Part(payload: payload, error: error)) }
      offset += packetSize
    }
    return (parts.flatMap(\.payload), parts)
  }

  /// Line status, byte 1: overrun, parity, framing, FIFO error (mask 0x8E); break is no loss.
  private static func complaint(_ status: UInt8) -> String? {
    guard status & 0x8E != 0 else { return nil }
    let kinds: [(bit: UInt8, name: String)] = [
      (0x02, "overrun: bytes were lost because they were not fetched in time"), (0x04, "parity error"),
      (0x08, "framing error: is the speed right?"), (0x80, "error in the chip's FIFO"),
    ]
    return "the serial chip reports " + kinds.filter { status & $0.bit != 0 }.map(\.name).joined(separator: ", ")
  }

  /// The divisor for SET_BAUDRATE: bits 0–15 go to wValue, the rest to wIndex.
  /// - Parameter isHighSpeed: FT2232H, FT4232H and FT232H, which count from 12 MHz at 1200 baud and more.
  package static func divisor(baud: Int, isHighSpeed: Bool = false) -> UInt32 {
    let fast = isHighSpeed && baud >= 1200
    let base = fast ? 96_000_000.0 : 24_000_000.0
    let eighths = UInt32(min((base / Double(max(baud, 1))).rounded(), Double(0x3FFF * 8 + 7)))
    let codes: [UInt32] = [0, 3, 2, 4, 1, 5, 6, 7]
    let plain = max(1, eighths >> 3) | codes[Int(eighths & 7)] << 14
    // 1 and 1½ would be 3 and 2 MBd: they have values of their own.
    let value: UInt32 = plain == 1 ? 0 : plain == 0x4001 ? 1 : plain
    return fast ? value | 0x20000 : value
  }
}
