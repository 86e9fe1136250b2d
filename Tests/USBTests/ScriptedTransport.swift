import Quantities
import USB

/// A device that answers what the test put in, and remembers every byte it was sent.
final class ScriptedTransport: USBTransport, @unchecked Sendable {
  let device: USBDeviceFacts
  let interface: USBInterface
  var sent: [[UInt8]] = []
  var controls: [USBSetup] = []
  var answers: [Result<[UInt8], USBError>] = []
  var cleared: [UInt8] = []
  /// Answers to control requests by their number; others get STALL.
  var controlAnswers: [UInt8: [UInt8]] = [5: [1], 6: [1, 0], 3: [0x80, 0], 1: [1, 1], 2: [1, 0, 0, 0, 0, 0, 0, 0]]

  /// Calls that waited: `send`, `receive` and `exchange`.
  var waits = 0
  var resets = 0

  init(packetSize: Int = 512, vendor: UInt16 = 0x1209, product: UInt16 = 0x0001) {
    device = USBDeviceFacts(vendor: vendor, product: product)
    interface = USBInterface(
      configuration: 1, number: 0, classCode: 0xFE, subclass: 3, protocolCode: 1,
      bulkOut: .init(address: 0x02, packetSize: packetSize), bulkIn: .init(address: 0x81, packetSize: packetSize))
  }

  func control(_ setup: USBSetup, sending: [UInt8], within limit: Seconds) throws(USBError) -> [UInt8] {
    controls.append(setup)
    guard let answer = controlAnswers[setup.request] else { throw .stalled(device: "scripted", endpoint: 0) }
    return answer
  }
  func send(_ bytes: [UInt8], to endpoint: UInt8, endingWithZeroPacket: Bool, within limit: Seconds) throws(USBError) {
    waits += 1
    sent.append(bytes)
  }
  func exchange(_ messages: [[UInt8]], to out: UInt8, receiving most: Int, from in: UInt8, within limit: Seconds)
    throws(USBError) -> [UInt8]
  {
    sent += messages
    return try receive(most, from: `in`, within: limit)
  }
  func reset() { resets += 1 }
  func receive(_ most: Int, from endpoint: UInt8, within limit: Seconds) throws(USBError) -> [UInt8] {
    waits += 1
    guard !answers.isEmpty else { throw .timedOut(device: "scripted", operation: "receive") }
    return try answers.removeFirst().get()
  }
  func listen(
    to endpoint: UInt8, transfers: Int, most: Int,
    _ heard: @escaping @Sendable (Result<[UInt8], USBError>, MonotonicTime) -> Void
  ) {}
  func clearHalt(_ endpoint: UInt8) { cleared.append(endpoint) }
  func close() {}
}
