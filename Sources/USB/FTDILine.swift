import Linux
import Quantities

/// A serial line of an FTDI chip (usb-serial.md §2).
struct FTDILine: SerialLine {
  private enum Request {
    static let reset: UInt8 = 0x00
    static let setModemControl: UInt8 = 0x01
    static let setFlowControl: UInt8 = 0x02
    static let setBaudRate: UInt8 = 0x03
    static let setData: UInt8 = 0x04
    static let setEventCharacter: UInt8 = 0x06
    static let setLatency: UInt8 = 0x09
    static let setBitMode: UInt8 = 0x0B
  }

  /// ms; 1 is the shortest, 16 what the chip begins with.
  private static let latency: UInt16 = 1
  private static let limit = Seconds(1)

  private let transport: any USBTransport

  init(_ transport: any USBTransport) { self.transport = transport }

  var endsWithZeroPacket: Bool { false }

  /// Chips with several ports want to know which: `bcdDevice` tells (usb-serial.md §2).
  private var hasSeveralPorts: Bool { [0x0500, 0x0700, 0x0800].contains(transport.device.release) }
  private var isHighSpeed: Bool { [0x0700, 0x0800, 0x0900].contains(transport.device.release) }
  private var port: UInt16 { hasSeveralPorts ? UInt16(transport.interface.number) + 1 : 0 }

  func open(baud: Int) throws(USBError) {
    try request(Request.reset, 0)
    try request(Request.setBitMode, 0)
    let divisor = FTDIStream.divisor(baud: baud, isHighSpeed: isHighSpeed)
    let high = UInt16(truncatingIfNeeded: divisor >> 16)
    try request(
      Request.setBaudRate, UInt16(truncatingIfNeeded: divisor),
      index: hasSeveralPorts || isHighSpeed ? high << 8 | port : high)
    try request(Request.setData, 0x0008)
    // No flow control: XON and XOFF that the instrument sends are taken out of the lines instead.
    try request(Request.setFlowControl, 0)
    try request(Request.setModemControl, 0x0303)
    try request(Request.setLatency, Self.latency)
    // A line feed sends what is there at once.
    try request(Request.setEventCharacter, 0x0100 | 0x0A)
    try request(Request.reset, 1)
    try request(Request.reset, 2)
  }

  func ready(_ input: Monitor<SerialInput>) {}

  func close() { try? request(Request.setModemControl, 0x0300) }

  private func request(_ request: UInt8, _ value: UInt16, index: UInt16? = nil) throws(USBError) {
    _ = try transport.control(
      USBSetup(0x40, request, value: value, index: index ?? port), sending: [], within: Self.limit)
  }
}
