import Linux
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

/// What a device says of itself in its descriptors.
package struct USBDeviceFacts: Hashable, Sendable {
  package var vendor: UInt16
  package var product: UInt16
  /// `bcdDevice`, 0x0100 for 1.00.
  package var release: UInt16
  package var serial: String
  package var manufacturerName: String
  package var productName: String

  package init(
    vendor: UInt16, product: UInt16, release: UInt16 = 0, serial: String = "", manufacturerName: String = "",
    productName: String = ""
  ) {
    self.vendor = vendor
    self.product = product
    self.release = release
    self.serial = serial
    self.manufacturerName = manufacturerName
    self.productName = productName
  }
}

/// The seam drivers talk to: one claimed function of one USB device. Used by one thread at a time.
///
/// Each call is bounded in time. Implemented by libusb (`LibUSBTransport`), over USB/IP (`USBIPTransport`), and by a
/// transcript that is replayed.
package protocol USBTransport: AnyObject, Sendable {
  var device: USBDeviceFacts { get }
  /// The interface with the bulk endpoints, as its descriptors describe it.
  var interface: USBInterface { get }
  /// One control transfer. For IN requests the bytes received, else empty.
  func control(_ setup: USBSetup, sending: [UInt8], within limit: Seconds) throws(USBError) -> [UInt8]
  /// One OUT transfer; no zero-length packet is added unless asked for.
  func send(_ bytes: [UInt8], to endpoint: UInt8, endingWithZeroPacket: Bool, within limit: Seconds) throws(USBError)
  /// One IN transfer: ends with a short packet or with `most` bytes. When the time is over, bytes that had come by then
  /// are given where the way there can tell (a device may forget the empty packet that ends a transfer).
  func receive(_ most: Int, from endpoint: UInt8, within limit: Seconds) throws(USBError) -> [UInt8]
  /// OUT transfers and the IN transfer that answers them, under way together: one wait instead of one for each.
  func exchange(_ messages: [[UInt8]], to out: UInt8, receiving most: Int, from in: UInt8, within limit: Seconds)
    throws(USBError) -> [UInt8]
  /// Keeps `transfers` IN transfers of `most` bytes posted until `close`. `heard` is called on the bus's own thread with
  /// what each brought, in order, and the instant of its arrival; after an error other than `timedOut` it is not called
  /// again. It must not block and must not call the transport.
  func listen(
    to endpoint: UInt8, transfers: Int, most: Int,
    _ heard: @escaping @Sendable (Result<[UInt8], USBError>, MonotonicTime) -> Void) throws(USBError)
  func clearHalt(_ endpoint: UInt8) throws(USBError)
  /// A reset of the device's port, after which the same function is claimed again; listening has ended. The last resort
  /// for devices that are known to need it (`USBTMCQuirks`).
  func reset() throws(USBError)
  func close()
}

extension USBTransport {
  /// Ways that have no port to reset say so.
  package func reset() throws(USBError) {
    throw .malformed(device: device.productName, reason: "it needs a USB reset, which this connection cannot do")
  }

  package func send(_ bytes: [UInt8], to endpoint: UInt8, within limit: Seconds) throws(USBError) {
    try send(bytes, to: endpoint, endingWithZeroPacket: false, within: limit)
  }

  package func exchange(
    _ messages: [[UInt8]], to out: UInt8, receiving most: Int, from in: UInt8, within limit: Seconds
  ) throws(USBError) -> [UInt8] {
    let end = MonotonicTime.now + limit
    for message in messages { try send(message, to: out, within: max(end - .now, Seconds(0.001))) }
    return try receive(most, from: `in`, within: max(end - .now, Seconds(0.001)))
  }
}

/// Which of a device's interfaces a driver speaks to.
package enum USBInterfaceKind: Hashable, Sendable {
  /// Class FE, subclass 03 (`usbtmc.md` §1).
  case usbtmc
  /// A communication interface (class 02, subclass 02) with its data interface (class 0A); both are claimed.
  case cdcACM
  /// Vendor class FF: the port of an FTDI chip, the first being 0.
  case ftdi(port: UInt8)
}

/// A device came or went.
package enum USBChange: Hashable, Sendable {
  case arrived(USBDeviceFacts)
  case left(USBDeviceFacts)
}

/// A way to reach USB devices.
package protocol USBBus: Sendable {
  /// Opens the first device that matches, and claims its first interface of that kind.
  /// - Parameter name: what errors call the device: the instrument as the operator knows it.
  func open(_ wanted: USBMatch, _ kind: USBInterfaceKind, name: String) throws(USBError) -> any USBTransport
  /// Tells of devices that come and go from now on, where the bus can know; called on a thread of the bus, must not block.
  func watch(_ changed: @escaping @Sendable (USBChange) -> Void)
  /// `watch` hears of everything that comes and goes.
  var tellsChanges: Bool { get }
}

extension USBBus {
  package func watch(_ changed: @escaping @Sendable (USBChange) -> Void) {}
  package var tellsChanges: Bool { false }
}

/// Which device an instrument's configuration means.
package struct USBMatch: Hashable, Sendable {
  /// Nil: any device with an interface of the kind that the model speaks.
  package var id: ID?
  /// Told apart by serial number when several are plugged in; nil takes the only one.
  package var serial: String?

  package struct ID: Hashable, Sendable {
    package var vendor: UInt16
    package var product: UInt16
  }

  package init(vendor: UInt16, product: UInt16, serial: String? = nil) {
    id = ID(vendor: vendor, product: product)
    self.serial = serial
  }

  /// Any device of the kind, by its serial number if one is given.
  package init(serial: String?) { self.serial = serial }

  /// Reads "05E6:2450", "05E6:2450:04412345", "any" or "any:04412345".
  package init?(_ text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    if parts.first == "any", parts.count <= 2 {
      self.init(serial: parts.count == 2 ? String(parts[1]) : nil)
      return
    }
    guard parts.count == 2 || parts.count == 3, let vendor = UInt16(parts[0], radix: 16),
      let product = UInt16(parts[1], radix: 16)
    else { return nil }
    self.init(vendor: vendor, product: product, serial: parts.count == 3 ? String(parts[2]) : nil)
  }

  package func matches(_ device: USBDeviceFacts) -> Bool {
    (id == nil || id == ID(vendor: device.vendor, product: device.product))
      && (serial == nil || serial == device.serial)
  }

  /// True also of a device whose serial number is not known yet, as when it has just been plugged in.
  package func mayMean(_ device: USBDeviceFacts) -> Bool {
    matches(device) || device.serial.isEmpty && USBMatch(id: id).matches(device)
  }

  private init(id: ID?) { self.id = id }

  package var description: String {
    func four(_ n: UInt16) -> String {
      let text = String(n, radix: 16, uppercase: true)
      return String(repeating: "0", count: 4 - text.count) + text
    }
    return (id.map { "USB device \(four($0.vendor)):\(four($0.product))" } ?? "a USB device of that kind")
      + (serial.map { " with serial number \($0)" } ?? "")
  }
}
