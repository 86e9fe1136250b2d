import EmulatedUSB
import Linux
import Quantities
import TwinBench
import USB

/// Answers "n17?" with "n17!" and "big5000?" with a block of 5000 bytes, after `delay`.
final class QuestionInstrument: MessageInstrument {
  var received: [[UInt8]] = []
  var delay = Seconds(0)
  var status: UInt8 = 0
  var triggers = 0
  var clears = 0
  var errors: [QueryError] = []
  var remote: (isRemote: Bool, lockedOut: Bool)?
  /// An aborted transfer takes the answer with it; else it is there again for the next request, until a clear.
  var forgetsOnAbort = true
  private var due: (ready: MonotonicTime, bytes: [UInt8])?

  static func answer(_ text: String) -> [UInt8] {
    guard text.hasPrefix("big"), let count = Int(text.dropFirst(3)) else { return Array((text + "!\n").utf8) }
    let digits = Array(String(count).utf8)
    return Array("#".utf8) + [UInt8(0x30 + digits.count)] + digits
      + (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) } + [10]
  }

  func receive(_ message: [UInt8], at now: MonotonicTime) {
    received.append(message)
    let text = String(decoding: message, as: UTF8.self)
    guard let end = text.firstIndex(of: "?") else { return }
    due = (now + delay, Self.answer(String(text[..<end])))
  }
  func response(at now: MonotonicTime) -> [UInt8]? {
    guard let due, now >= due.ready else { return nil }
    self.due = nil
    return due.bytes
  }
  var isResponseDue: Bool { due != nil }
  /// What is due is ready now.
  func hurry() { due?.ready = .now }
  func dropResponse(_ reason: QueryError?, at now: MonotonicTime) {
    if let reason { errors.append(reason) }
    if forgetsOnAbort { due = nil }
  }
  func clear(at now: MonotonicTime) {
    due = nil
    clears += 1
  }
  func trigger(at now: MonotonicTime) { triggers += 1 }
  func statusByte(at now: MonotonicTime) -> UInt8 { status | (due.map { now >= $0.ready } ?? false ? 0x10 : 0) }
  func remoteControl(_ isRemote: Bool, lockedOut: Bool) { remote = (isRemote, lockedOut) }
  func tick(_ now: MonotonicTime) {}
}

/// A `QuestionInstrument` behind USBTMC, on a bus in process.
final class QuestionBench: Sendable {
  nonisolated(unsafe) let instrument = QuestionInstrument()
  let device: EmulatedUSBDevice
  let bus: InProcessBus

  init(
    packetSize: Int = 512, pads: Bool = false, patience: Double = 0.02, vendor: UInt16 = 0x1209,
    capabilities: USBTMCCapabilities = USBTMCCapabilities(endsOnTermChar: true, remoteLocal: true)
  ) {
    var identity = USBIdentity(
      vendor: vendor, product: 0x7A01, manufacturerName: "Maker", productName: "Meter", serial: "SN0001")
    identity.maximumPacket = packetSize
    device = EmulatedUSBDevice(
      USBTMCFunction(identity, capabilities, padsResponses: pads, instrument: instrument, clock: { .now }))
    bus = InProcessBus(devices: [device], patience: patience)
  }

  deinit { bus.end() }

  func open() throws -> SCPIConnection {
    try SCPIConnection.open(USBMatch(vendor: 0x1209, product: 0x7A01), on: bus, name: "meter")
  }

  func messages() throws -> USBTMC {
    try USBTMC(try bus.open(USBMatch(serial: nil), .usbtmc, name: "meter"), name: "meter")
  }
}
