package import Quantities

/// What went wrong on the wire. `device` names the instrument as the operator knows it.
package enum USBError: Error, Equatable, CustomStringConvertible {
  /// No such device on the bus, or the bus itself cannot be reached.
  case notFound(device: String, reason: String)
  /// The device was unplugged, or its connection ended.
  case disconnected(device: String)
  case timedOut(device: String, operation: String)
  /// The endpoint answered STALL.
  case stalled(device: String, endpoint: UInt8)
  /// The device broke the protocol; the bytes are of no use.
  case malformed(device: String, reason: String)

  package var description: String {
    switch self {
    case .notFound(let device, let reason): "\(device) was not found: \(reason)"
    case .disconnected(let device): "\(device) is unplugged or its connection ended"
    case .timedOut(let device, let operation): "\(device) did not answer in time (\(operation))"
    case .stalled(let device, let endpoint): "\(device) refused the transfer (STALL on endpoint \(hex(endpoint)))"
    case .malformed(let device, let reason): "\(device) answered out of protocol: \(reason)"
    }
  }

  /// The device is gone; only opening it again can help.
  package var isGone: Bool {
    switch self {
    case .disconnected, .notFound: true
    default: false
    }
  }
}

func hex(_ byte: UInt8) -> String {
  let text = String(byte, radix: 16)
  return "0x" + (text.count < 2 ? "0" + text : text)
}

/// The eight bytes that open a control transfer (USB 2.0 §9.3).
package struct USBSetup: Hashable, Sendable {
  package var requestType: UInt8
  package var request: UInt8
  package var value: UInt16
  package var index: UInt16
  package var length: UInt16

  package init(_ requestType: UInt8, _ request: UInt8, value: UInt16 = 0, index: UInt16 = 0, length: UInt16 = 0) {
    self.requestType = requestType
    self.request = request
    self.value = value
    self.index = index
    self.length = length
  }

  package var bytes: [UInt8] {
    [
      requestType, request, UInt8(value & 0xFF), UInt8(value >> 8), UInt8(index & 0xFF), UInt8(index >> 8),
      UInt8(length & 0xFF), UInt8(length >> 8),
    ]
  }
}

/// The seam drivers talk to: one claimed interface of one USB device. Used by one thread at a time.
///
/// Each call is one whole transfer and is bounded in time. Implemented over USB/IP by `USBIPTransport`.
package protocol USBTransport: AnyObject, Sendable {
  /// The interface as its descriptors describe it.
  var interface: USBInterface { get }
  /// One control transfer. For IN requests the bytes received, else empty.
  func control(_ setup: USBSetup, sending: [UInt8], within limit: Seconds) throws(USBError) -> [UInt8]
  /// One OUT transfer; no zero-length packet is added.
  func send(_ bytes: [UInt8], to endpoint: UInt8, within limit: Seconds) throws(USBError)
  /// One IN transfer: ends with a short packet or with `most` bytes.
  func receive(_ most: Int, from endpoint: UInt8, within limit: Seconds) throws(USBError) -> [UInt8]
  func clearHalt(_ endpoint: UInt8) throws(USBError)
  func close()
}

/// A way to reach USB devices.
package protocol USBBus: Sendable {
  /// Opens the first device that matches, and claims its first USBTMC interface.
  func open(_ wanted: USBMatch) throws(USBError) -> any USBTransport
}

/// Which device an instrument's configuration means.
package struct USBMatch: Hashable, Sendable {
  package var vendor: UInt16
  package var product: UInt16
  /// Told apart by serial number when several are plugged in; nil takes the only one.
  package var serial: String?

  package init(vendor: UInt16, product: UInt16, serial: String? = nil) {
    self.vendor = vendor
    self.product = product
    self.serial = serial
  }

  /// Reads "05E6:2450" or "05E6:2450:04412345".
  package init?(_ text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2 || parts.count == 3, let vendor = UInt16(parts[0], radix: 16),
      let product = UInt16(parts[1], radix: 16)
    else { return nil }
    self.init(vendor: vendor, product: product, serial: parts.count == 3 ? String(parts[2]) : nil)
  }

  package var description: String {
    func four(_ n: UInt16) -> String {
      let text = String(n, radix: 16, uppercase: true)
      return String(repeating: "0", count: 4 - text.count) + text
    }
    return "USB device \(four(vendor)):\(four(product))" + (serial.map { " with serial number \($0)" } ?? "")
  }
}
