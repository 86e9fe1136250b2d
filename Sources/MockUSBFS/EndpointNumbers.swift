import EmulatedUSB

/// The endpoint addresses that the host sees, and those that the device has.
struct EndpointNumbers: Sendable {
  private var hostByDevice: [UInt8: UInt8] = [:]
  private var deviceByHost: [UInt8: UInt8] = [:]

  /// - Parameter renumbers: gives 81, 85, 89… to IN endpoints and 02, 06, 0A… to OUT endpoints, as a device controller
  ///   was seen to do (usb-emulation.md §C).
  init(_ descriptors: USBDescriptors, renumbers: Bool) {
    var next: (in: UInt8, out: UInt8) = (0x81, 0x02)
    for endpoint in descriptors.interfaces.flatMap(\.endpoints) {
      var seen = endpoint.address
      if renumbers {
        seen = endpoint.isIn ? next.in : next.out
        if endpoint.isIn { next.in += 4 } else { next.out += 4 }
      }
      hostByDevice[endpoint.address] = seen
      deviceByHost[seen] = endpoint.address
    }
  }

  /// Nil where the host has no such endpoint. Endpoint 0 is itself.
  func device(_ host: UInt8) -> UInt8? { host & 0x7F == 0 ? 0 : deviceByHost[host] }

  /// A request about an endpoint as the device knows it.
  func forDevice(_ setup: USBSetupPacket) -> USBSetupPacket {
    guard setup.requestType & 0x1F == 2, let known = device(UInt8(truncatingIfNeeded: setup.index)) else {
      return setup
    }
    var setup = setup
    if known != 0 { setup.index = UInt16(known) }
    return setup
  }

  /// A configuration descriptor with what belongs to it, as the host sees it.
  func forHost(configuration bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    var at = 0
    while at + 2 < bytes.count, bytes[at] >= 2 {
      if bytes[at + 1] == 5 { bytes[at + 2] = hostByDevice[bytes[at + 2]] ?? bytes[at + 2] }
      at += Int(bytes[at])
    }
    return bytes
  }

  /// The answer to a control request as the host sees it.
  func forHost(_ setup: USBSetupPacket, _ data: [UInt8]) -> [UInt8] {
    // GET_DESCRIPTOR of a configuration, or of that for the other speed.
    guard setup.requestType == 0x80, setup.request == 6, setup.value >> 8 == 2 || setup.value >> 8 == 7 else {
      return data
    }
    return forHost(configuration: data)
  }
}
