import EmulatedUSB
import Quantities

/// An instrument that answers every line ending in "?" with what the test put into it.
final class EchoInstrument: MessageInstrument {
  var received: [[UInt8]] = []
  var answer: [UInt8] = Array("answer\n".utf8)
  var isReady = true
  var due = false
  var status: UInt8 = 0
  var triggers = 0
  var clears = 0
  var drops: [QueryError?] = []
  var losses = 0

  func receive(_ message: [UInt8], at now: MonotonicTime) {
    received.append(message)
    if message.last == 10 ? message.dropLast().last == 63 : message.last == 63 { due = true }
  }
  func response(at now: MonotonicTime) -> [UInt8]? {
    guard due, isReady else { return nil }
    due = false
    return answer
  }
  var isResponseDue: Bool { due }
  func dropResponse(_ reason: QueryError?, at now: MonotonicTime) {
    due = false
    drops.append(reason)
  }
  func clear(at now: MonotonicTime) {
    due = false
    clears += 1
  }
  func trigger(at now: MonotonicTime) { triggers += 1 }
  func statusByte(at now: MonotonicTime) -> UInt8 { status | (due && isReady ? 0x10 : 0) }
  func usbLost(at now: MonotonicTime) { losses += 1 }
  func tick(_ now: MonotonicTime) {}
}

/// The host's side of a USBTMC device, transfer by transfer.
final class USBTMCRig {
  let instrument = EchoInstrument()
  let device: EmulatedUSBDevice
  let identity: USBTMCFunction.Identity
  var tag: UInt8 = 0
  private var nextURB: UInt64 = 1

  init(maximumPacket: Int = 512, pads: Bool = false, remoteLocal: Bool = false) {
    var identity = USBTMCFunction.Identity(
      vendor: 0x1209, product: 0x7A01, manufacturerName: "Maker", productName: "Meter", serial: "SN0001")
    identity.maximumPacket = maximumPacket
    self.identity = identity
    let function = USBTMCFunction(
      identity, USBTMCCapabilities(endsOnTermChar: true, remoteLocal: remoteLocal), padsResponses: pads,
      instrument: instrument, clock: { MonotonicTime(nanoseconds: 0) })
    device = EmulatedUSBDevice(function, clock: { MonotonicTime(nanoseconds: 0) })
  }

  /// Submits and returns the completion, or nil when the transfer stays pending.
  func transfer(_ request: USBRequestBlock) -> (urb: UInt64, result: USBCompletion?) {
    let urb = nextURB
    nextURB += 1
    nonisolated(unsafe) var result: USBCompletion?
    device.submit(request, tag: urb) { result = $0 }
    return (urb, result)
  }

  func out(_ bytes: [UInt8]) -> USBCompletion? {
    transfer(USBRequestBlock(endpoint: identity.bulkOut, sending: bytes)).result
  }

  func `in`(_ length: Int) -> USBCompletion? {
    let (urb, result) = transfer(USBRequestBlock(endpoint: identity.bulkIn, receiving: length))
    if result == nil { device.cancel(tag: urb) }
    return result
  }

  func interrupt() -> [UInt8]? {
    let (urb, result) = transfer(USBRequestBlock(endpoint: identity.interruptIn, receiving: 8))
    if result == nil { device.cancel(tag: urb) }
    return result?.data
  }

  func control(_ type: UInt8, _ request: UInt8, _ value: UInt16, _ index: UInt16, _ length: UInt16) -> USBCompletion? {
    transfer(
      USBRequestBlock(
        setup: USBSetupPacket(requestType: type, request: request, value: value, index: index, length: length))
    ).result
  }

  func clearHalt(_ endpoint: UInt8) { _ = control(0x02, 1, 0, UInt16(endpoint), 0) }

  func nextTag() -> UInt8 {
    tag = tag == 255 ? 1 : tag + 1
    return tag
  }

  func message(_ payload: [UInt8], tag: UInt8, isLast: Bool = true, pads: Bool = true) -> [UInt8] {
    var bytes: [UInt8] = [1, tag, ~tag, 0]
    bytes += (0..<4).map { UInt8(truncatingIfNeeded: payload.count >> (8 * $0)) }
    bytes += [isLast ? 1 : 0, 0, 0, 0] + payload
    while pads && bytes.count % 4 != 0 { bytes.append(0) }
    return bytes
  }

  func request(_ size: Int, tag: UInt8, termChar: UInt8? = nil) -> [UInt8] {
    [2, tag, ~tag, 0] + (0..<4).map { UInt8(truncatingIfNeeded: size >> (8 * $0)) }
      + [termChar == nil ? 0 : 2, termChar ?? 0, 0, 0]
  }

  func send(_ text: String) -> USBCompletion? { out(message(Array(text.utf8), tag: nextTag())) }

  /// One request and its transfer: payload and attributes.
  func read(_ size: Int = 1 << 16, room: Int? = nil) -> (payload: [UInt8], attributes: UInt8)? {
    let tag = nextTag()
    guard out(request(size, tag: tag))?.status == 0 else { return nil }
    // Room for the padding that some devices add, and for the packet after it that ends the transfer.
    let packets = (size + 12 + 3) / 4 * 4 / identity.maximumPacket + 1
    guard let done = `in`(room ?? packets * identity.maximumPacket), done.status == 0, done.data.count >= 12,
      done.data[0] == 2, done.data[1] == tag, done.data[2] == ~tag
    else { return nil }
    let count = (0..<4).reduce(0) { $0 | Int(done.data[4 + $1]) << (8 * $1) }
    return (Array(done.data[12..<(12 + count)]), done.data[8])
  }
}

func bytes(_ hex: String) -> [UInt8] {
  let digits = hex.filter { !$0.isWhitespace }
  return stride(from: 0, to: digits.count, by: 2).map { at in
    let start = digits.index(digits.startIndex, offsetBy: at)
    return UInt8(digits[start..<digits.index(start, offsetBy: 2)], radix: 16) ?? 0
  }
}
