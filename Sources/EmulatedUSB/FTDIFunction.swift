package import Quantities

/// An FT230X with the UART of one `ByteStreamInstrument` behind it (usb-serial.md §2).
///
/// Each packet to the host begins with two status bytes. A packet leaves when 62 bytes are there, when the latency timer
/// fires (then also without any: `01 60`), when the event character came, or when a modem line changed.
package final class FTDIFunction: USBFunction {
  private enum Request {
    static let reset: UInt8 = 0x00
    static let setModemControl: UInt8 = 0x01
    static let setFlowControl: UInt8 = 0x02
    static let setBaudRate: UInt8 = 0x03
    static let setData: UInt8 = 0x04
    static let getModemStatus: UInt8 = 0x05
    static let setEventCharacter: UInt8 = 0x06
    static let setErrorCharacter: UInt8 = 0x07
    static let setLatency: UInt8 = 0x09
    static let getLatency: UInt8 = 0x0A
    static let setBitMode: UInt8 = 0x0B
    static let readPins: UInt8 = 0x0C
    static let readEEPROM: UInt8 = 0x90
  }

  /// Bytes that the chip holds towards the host; what comes beyond them is lost.
  package static let fifoBytes = 512
  /// 8 data bits, start and stop.
  private static let bitsPerByte = 10.0
  /// A UART reads wrong bytes when the two speeds differ by more.
  private static let speedTolerance = 0.03

  package let descriptors: USBDescriptors
  package let identity: USBIdentity
  package let instrument: any ByteStreamInstrument
  /// The speed the instrument's UART is set to, bit/s.
  package let instrumentBaud: Int
  private let clock: () -> MonotonicTime

  package private(set) var latency = Seconds(0.016)
  package private(set) var eventCharacter: UInt8?
  /// What the host set with SET_BAUDRATE, bit/s.
  package private(set) var baud = 9600.0
  package private(set) var dtr = false
  package private(set) var rts = false
  /// Bytes lost because the host did not fetch them.
  package private(set) var bytesLost = 0

  private var filtersFlowControl = false
  private var fifo: [UInt8] = []
  /// Bytes at the head of `fifo` up to the last event character: they leave at once.
  private var urgent = 0
  private var hasOverrun = false
  private var lineChanged = false
  private var lastPacket: MonotonicTime
  private var lastIntake: MonotonicTime
  /// Bytes that the line could have carried since and did not; less than one packet's worth is kept.
  private var credit = 0.0

  /// - Parameter identity: the chip's own addresses, speed and release take the place of those given.
  package init(
    _ identity: USBIdentity, instrumentBaud: Int = 230_400, instrument: any ByteStreamInstrument,
    clock: @escaping () -> MonotonicTime
  ) {
    var chip = identity
    chip.release = 0x1000
    chip.speed = .full
    chip.maximumPacket = 64
    chip.bulkIn = 0x81
    chip.bulkOut = 0x02
    self.identity = chip
    self.instrument = instrument
    self.instrumentBaud = instrumentBaud
    self.clock = clock
    lastPacket = clock()
    lastIntake = lastPacket
    descriptors = USBDescriptors(
      chip,
      interfaces: [
        USBInterfaceDescriptor(
          number: 0, classCode: 0xFF, subclassCode: 0xFF, protocolCode: 0xFF,
          endpoints: [
            USBEndpointDescriptor(address: chip.bulkIn, kind: .bulk, maximumPacket: chip.maximumPacket),
            USBEndpointDescriptor(address: chip.bulkOut, kind: .bulk, maximumPacket: chip.maximumPacket),
          ])
      ])
  }

  // MARK: requests

  package func control(_ setup: USBSetupPacket, _ data: [UInt8]) -> USBReply {
    let low = UInt8(truncatingIfNeeded: setup.value)
    switch (setup.requestType, setup.request) {
    case (0x40, Request.reset):
      // 0 resets both ways, 1 empties what goes to the host, 2 what goes to the instrument (nothing waits there).
      if low <= 1 { emptyFIFO() }
      return low <= 2 ? .ack([]) : .stall
    case (0x40, Request.setModemControl):
      setLines(
        dtr: setup.value & 0x0100 != 0 ? setup.value & 1 != 0 : dtr,
        rts: setup.value & 0x0200 != 0 ? setup.value & 2 != 0 : rts)
      return .ack([])
    case (0x40, Request.setFlowControl):
      filtersFlowControl = setup.index & 0x0400 != 0
      return .ack([])
    case (0x40, Request.setBaudRate):
      guard let speed = Self.speed(UInt32(setup.value) | UInt32(setup.index & 1) << 16) else { return .stall }
      baud = speed
      return .ack([])
    case (0x40, Request.setData), (0x40, Request.setErrorCharacter), (0x40, Request.setBitMode): return .ack([])
    case (0x40, Request.setEventCharacter):
      eventCharacter = setup.value & 0x100 != 0 ? low : nil
      return .ack([])
    case (0x40, Request.setLatency):
      guard (1...255).contains(setup.value) else { return .stall }
      latency = Seconds(Double(setup.value) / 1000)
      return .ack([])
    case (0xC0, Request.getLatency): return .ack([UInt8((latency.value * 1000).rounded())])
    case (0xC0, Request.getModemStatus): return .ack(status)
    case (0xC0, Request.readPins): return .ack([0])
    // One word; Linux's ftdi_sio looks there for pins that are programmed as GPIO. All zero (none) is assumed: not tried
    // on hardware.
    case (0xC0, Request.readEEPROM): return .ack([0, 0])
    default: return .stall
    }
  }

  /// What a divisor means, bit/s; nil for none.
  static func speed(_ divisor: UInt32) -> Double? {
    switch divisor {
    case 0: return 3_000_000
    case 1: return 2_000_000
    default:
      // The fraction's three bits stand in an order of their own.
      let eighths: [UInt32] = [0, 4, 2, 1, 3, 5, 6, 7]
      let whole = divisor & 0x3FFF
      guard whole > 0 else { return nil }
      return 24_000_000 / Double(whole * 8 + eighths[Int(divisor >> 14 & 7)])
    }
  }

  private func setLines(dtr: Bool, rts: Bool) {
    guard dtr != self.dtr || rts != self.rts else { return }
    self.dtr = dtr
    self.rts = rts
    lineChanged = true
    instrument.lineStateChanged(dtr: dtr, rts: rts, at: clock())
  }

  /// No modem line is wired; the transmitter is always empty here.
  private var status: [UInt8] { [0x01, 0x60 | (hasOverrun ? 0x02 : 0)] }

  // MARK: the stream

  private var speedsAgree: Bool {
    abs(baud / Double(instrumentBaud) - 1) <= Self.speedTolerance
  }

  /// What a UART at another speed reads: not what was sent.
  private func asRead(_ bytes: [UInt8]) -> [UInt8] { speedsAgree ? bytes : bytes.map { ($0 &* 167) ^ 0xB3 | 0x80 } }

  package func out(_ endpoint: UInt8, _ packet: [UInt8]) -> USBReply {
    guard endpoint == identity.bulkOut else { return .stall }
    if !packet.isEmpty { instrument.receive(asRead(packet), at: clock()) }
    return .ack([])
  }

  package func `in`(_ endpoint: UInt8, _ most: Int) -> USBReply {
    guard endpoint == identity.bulkIn else { return .stall }
    let now = clock()
    takeIn(now)
    guard fifo.count >= most - 2 || urgent > 0 || lineChanged || now >= lastPacket + latency else { return .nak }
    let payload = Array(fifo.prefix(most - 2))
    let packet = status + payload
    fifo.removeFirst(payload.count)
    urgent = max(0, urgent - payload.count)
    hasOverrun = false
    lineChanged = false
    lastPacket = now
    return .ack(packet)
  }

  /// Takes from the instrument what its line has carried by now.
  private func takeIn(_ now: MonotonicTime) {
    let packetBytes = Double(identity.maximumPacket)
    // The tick's instant may be a little older than the one of a packet that went before it.
    credit += max(0, (now - lastIntake).value) * Double(instrumentBaud) / Self.bitsPerByte
    lastIntake = max(lastIntake, now)
    let bytes = asRead(instrument.transmit(Int(credit), at: now))
    // A line that was idle cannot send faster afterwards.
    credit = min(credit - Double(bytes.count), packetBytes)
    for byte in bytes where !(filtersFlowControl && (byte == 0x11 || byte == 0x13)) {
      guard fifo.count < Self.fifoBytes else {
        hasOverrun = true
        bytesLost += 1
        continue
      }
      fifo.append(byte)
      if byte == eventCharacter { urgent = fifo.count }
    }
  }

  private func emptyFIFO() {
    fifo = []
    urgent = 0
    hasOverrun = false
  }

  // MARK: the cable

  package func tick(_ now: MonotonicTime) {
    instrument.tick(now)
    takeIn(now)
  }

  package func reset(configured: Bool) {
    forgetConversation()
    if !configured { instrument.usbLost(at: clock()) }
  }

  package func unplugged() {
    forgetConversation()
    instrument.usbLost(at: clock())
  }

  /// Power comes from the bus: settings are gone with the cable.
  private func forgetConversation() {
    emptyFIFO()
    latency = Seconds(0.016)
    eventCharacter = nil
    filtersFlowControl = false
    baud = 9600
    dtr = false
    rts = false
  }
}
