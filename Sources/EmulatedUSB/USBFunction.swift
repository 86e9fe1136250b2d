package import Quantities

/// The eight bytes that begin a control transfer (USB 2.0 §9.3).
package struct USBSetupPacket: Equatable, Sendable {
  /// `bmRequestType`: direction, type and recipient.
  package var requestType: UInt8
  package var request: UInt8
  package var value: UInt16
  package var index: UInt16
  package var length: UInt16

  package init(requestType: UInt8, request: UInt8, value: UInt16, index: UInt16, length: UInt16) {
    self.requestType = requestType
    self.request = request
    self.value = value
    self.index = index
    self.length = length
  }

  /// Reads the packet from its eight bytes.
  package init(bytes: [UInt8]) {
    self.init(
      requestType: bytes[0], request: bytes[1], value: UInt16(littleEndian: bytes, at: 2),
      index: UInt16(littleEndian: bytes, at: 4), length: UInt16(littleEndian: bytes, at: 6))
  }

  package var bytes: [UInt8] {
    [requestType, request] + value.littleEndianBytes + index.littleEndianBytes + length.littleEndianBytes
  }

  package var isIn: Bool { requestType & 0x80 != 0 }
  /// True for requests that every device answers (USB 2.0 §9.4); class and vendor requests are the function's.
  package var isStandard: Bool { requestType & 0x60 == 0 }
}

/// What a device answers to one packet.
package enum USBReply: Equatable, Sendable {
  /// Taken; for IN the bytes of one packet.
  case ack([UInt8])
  /// Not now: the host asks again.
  case nak
  case stall
}

/// A USB device in software, at packet level. Every call comes under the lock of the `EmulatedUSBDevice` around it.
package protocol USBFunction: AnyObject {
  var descriptors: USBDescriptors { get }

  /// A class or vendor request; standard ones are answered by the engine.
  /// - Parameter data: what the host sends with an OUT request.
  func control(_ setup: USBSetupPacket, _ data: [UInt8]) -> USBReply

  /// One packet from the host.
  func out(_ endpoint: UInt8, _ packet: [UInt8]) -> USBReply

  /// One packet to the host, at most `most` bytes; a shorter one ends the transfer.
  func `in`(_ endpoint: UInt8, _ most: Int) -> USBReply

  /// The host sent CLEAR_FEATURE(ENDPOINT_HALT), whether the endpoint was halted or not.
  func haltCleared(_ endpoint: UInt8)

  /// Bus reset or SET_CONFIGURATION. `configured` is false for SET_CONFIGURATION(0).
  func reset(configured: Bool)

  /// The program that held the device is gone; the cable is still in.
  func hostGone()
  func unplugged()
  func plugged()

  /// The present instant, about every millisecond: whatever waits for time goes on.
  func tick(_ now: MonotonicTime)
}

extension USBFunction {
  package func haltCleared(_ endpoint: UInt8) {}
  package func reset(configured: Bool) {}
  package func hostGone() {}
  package func unplugged() {}
  package func plugged() {}
  package func tick(_ now: MonotonicTime) {}
}
