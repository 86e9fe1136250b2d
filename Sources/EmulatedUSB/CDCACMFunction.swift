package import Quantities

/// The device side of a CDC-ACM serial line, in front of one `ByteStreamInstrument` (usb-serial.md §1).
///
/// A communication interface with Interrupt-IN, a data interface with Bulk-IN and Bulk-OUT, and an association of both.
/// As many microcontrollers it sends nothing before DTR, and reboots into its boot loader when DTR is dropped at 1200
/// baud.
package final class CDCACMFunction: USBFunction {
  private enum Request {
    static let setLineCoding: UInt8 = 0x20
    static let getLineCoding: UInt8 = 0x21
    static let setControlLineState: UInt8 = 0x22
    static let sendBreak: UInt8 = 0x23
  }

  /// What the device understands of the optional requests.
  package enum Strictness: Sendable {
    case complete
    /// Answers STALL to every class request, as a few firmwares do; the stream works all the same.
    case withoutRequests
  }

  package static let control: UInt8 = 0
  package static let data: UInt8 = 1
  /// The speed at which dropping DTR means "reboot into the boot loader".
  package static let touchBaud: UInt32 = 1200

  package let descriptors: USBDescriptors
  package let identity: USBIdentity
  package let instrument: any ByteStreamInstrument
  private let strictness: Strictness
  private let clock: () -> MonotonicTime

  /// dwDTERate, bCharFormat, bParity, bDataBits; 9600 8N1 before the host says otherwise.
  package private(set) var lineCoding: [UInt8] = UInt32(9600).littleEndianBytes + [0, 0, 8]
  package private(set) var dtr = false
  package private(set) var rts = false
  /// It has rebooted into its boot loader; nothing answers any more until it is plugged in again.
  package private(set) var isInBootLoader = false
  /// The last packet was full: if nothing follows, an empty one says that this was all.
  private var owesEmptyPacket = false
  /// Notifications, each of ten bytes; what is left of the first is what the host has not fetched yet.
  private var notifications: [UInt8] = []

  /// Notifications nobody fetches are not kept beyond this.
  private static let mostNotificationBytes = 100

  package init(
    _ identity: USBIdentity, strictness: Strictness = .complete, instrument: any ByteStreamInstrument,
    clock: @escaping () -> MonotonicTime
  ) {
    self.identity = identity
    self.strictness = strictness
    self.instrument = instrument
    self.clock = clock
    // Header (1.10), call management (none), ACM (bit 1: line coding, line state, SERIAL_STATE), union.
    let functional: [UInt8] =
      [5, 0x24, 0x00, 0x10, 0x01] + [5, 0x24, 0x01, 0, Self.data] + [4, 0x24, 0x02, 0x02]
      + [5, 0x24, 0x06, Self.control, Self.data]
    descriptors = USBDescriptors(
      identity, deviceClass: .byAssociation,
      interfaces: [
        USBInterfaceDescriptor(
          number: Self.control, classCode: 0x02, subclassCode: 0x02, protocolCode: 0x00,
          endpoints: [
            USBEndpointDescriptor(address: identity.interruptIn, kind: .interrupt, maximumPacket: 8, interval: 9)
          ], classSpecific: functional),
        USBInterfaceDescriptor(
          number: Self.data, classCode: 0x0A, subclassCode: 0x00, protocolCode: 0x00,
          endpoints: [
            USBEndpointDescriptor(address: identity.bulkOut, kind: .bulk, maximumPacket: identity.maximumPacket),
            USBEndpointDescriptor(address: identity.bulkIn, kind: .bulk, maximumPacket: identity.maximumPacket),
          ]),
      ],
      associations: [
        USBInterfaceAssociation(first: Self.control, count: 2, classCodes: USBClassCodes(0x02, 0x02, 0x00))
      ])
  }

  package func control(_ setup: USBSetupPacket, _ data: [UInt8]) -> USBReply {
    guard !isInBootLoader, strictness == .complete, setup.index == UInt16(Self.control) else { return .stall }
    switch (setup.requestType, setup.request) {
    case (0x21, Request.setLineCoding):
      guard data.count == 7 else { return .stall }
      lineCoding = data
      return .ack([])
    case (0xA1, Request.getLineCoding): return .ack(lineCoding)
    case (0x21, Request.setControlLineState):
      setLines(dtr: setup.value & 1 != 0, rts: setup.value & 2 != 0)
      return .ack([])
    case (0x21, Request.sendBreak): return .ack([])
    default: return .stall
    }
  }

  private func setLines(dtr: Bool, rts: Bool) {
    let wasReady = self.dtr
    guard dtr != self.dtr || rts != self.rts else { return }
    self.dtr = dtr
    self.rts = rts
    instrument.lineStateChanged(dtr: dtr, rts: rts, at: clock())
    if wasReady && !dtr && UInt32(littleEndian: lineCoding, at: 0) == Self.touchBaud {
      isInBootLoader = true
      instrument.usbLost(at: clock())
      return
    }
    if dtr != wasReady { notify(dtr ? [.carrier, .dataSetReady] : []) }
  }

  // MARK: SERIAL_STATE

  package struct SerialState: OptionSet, Sendable {
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }
    package static let carrier = SerialState(rawValue: 1)
    package static let dataSetReady = SerialState(rawValue: 2)
    package static let framing = SerialState(rawValue: 0x10)
    package static let parity = SerialState(rawValue: 0x20)
    package static let overrun = SerialState(rawValue: 0x40)
  }

  /// Tells the host of the line's state, on Interrupt-IN.
  package func notify(_ state: SerialState) {
    guard notifications.count < Self.mostNotificationBytes else { return }
    notifications += [0xA1, 0x20, 0, 0, Self.control, 0, 2, 0] + state.rawValue.littleEndianBytes
  }

  // MARK: the stream

  package func out(_ endpoint: UInt8, _ packet: [UInt8]) -> USBReply {
    guard endpoint == identity.bulkOut, !isInBootLoader else { return .stall }
    if !packet.isEmpty { instrument.receive(packet, at: clock()) }
    return .ack([])
  }

  package func `in`(_ endpoint: UInt8, _ most: Int) -> USBReply {
    if endpoint == identity.interruptIn { return notification(most) }
    guard endpoint == identity.bulkIn else { return .stall }
    guard dtr || strictness == .withoutRequests, !isInBootLoader else { return .nak }
    let bytes = instrument.transmit(most, at: clock())
    if bytes.isEmpty && !owesEmptyPacket { return .nak }
    owesEmptyPacket = bytes.count == most
    return .ack(bytes)
  }

  /// Ten bytes do not fit a packet of eight: the rest is in the next one.
  private func notification(_ most: Int) -> USBReply {
    guard !notifications.isEmpty else { return .nak }
    let left = (notifications.count - 1) % 10 + 1
    let packet = Array(notifications.prefix(min(left, most)))
    notifications.removeFirst(packet.count)
    return .ack(packet)
  }

  // MARK: the cable

  package func tick(_ now: MonotonicTime) { instrument.tick(now) }

  package func reset(configured: Bool) {
    forgetConversation()
    if !configured { instrument.usbLost(at: clock()) }
  }

  /// A program that died leaves DTR as it is; the next one finds it so.
  package func hostGone() { owesEmptyPacket = false }

  package func unplugged() {
    forgetConversation()
    instrument.usbLost(at: clock())
  }

  package func plugged() { isInBootLoader = false }

  private func forgetConversation() {
    owesEmptyPacket = false
    notifications = []
    dtr = false
    rts = false
  }
}
