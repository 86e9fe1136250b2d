import Linux
package import Quantities

/// Devices exported by a USB/IP server (`Documentation/usb/usbip_protocol.rst` of Linux, version 1.1.1) at a Unix
/// socket. The bytes are those that the kernel's own client would send over TCP.
package struct USBIPBus: USBBus {
  /// A server that claims to export more is none.
  private static let mostDevices: UInt32 = 64

  private let address: String
  /// How long a device that is just being plugged in may take to appear.
  private let patience: Seconds

  package init(address: String, patience: Seconds = Seconds(0.5)) {
    self.address = address
    self.patience = patience
  }

  package func open(_ wanted: USBMatch, _ kind: USBInterfaceKind, name: String) throws(USBError) -> any USBTransport {
    let end = MonotonicTime.now + patience
    while true {
      do throws(USBError) {
        return try attempt(wanted, kind, name)
      } catch .notFound(let device, let reason) {
        if MonotonicTime.now > end { throw .notFound(device: device, reason: reason) }
        sleepThread(for: Seconds(0.05))
      }
    }
  }

  private func attempt(_ wanted: USBMatch, _ kind: USBInterfaceKind, _ name: String) throws(USBError)
    -> any USBTransport
  {
    let listed = try devices(name).filter {
      wanted.id == nil || wanted.id == USBMatch.ID(vendor: $0.vendor, product: $0.product)
    }
    guard !listed.isEmpty else {
      throw .notFound(device: name, reason: "the USB/IP server at \(address) does not export \(wanted.description)")
    }
    var reason = "the USB/IP server at \(address) exports no \(wanted.description)"
    for device in listed {
      do throws(USBError) {
        let transport = try attach(device.busID, kind, name)
        if wanted.matches(transport.device) { return transport }
        transport.close()
      } catch {
        // Of several devices one may be taken, or of another kind.
        guard listed.count > 1 else { throw error }
        reason = "\(error)"
      }
    }
    throw .notFound(device: name, reason: reason)
  }

  private func connect(_ name: String) throws(USBError) -> UnixStream {
    do throws(LinuxError) { return try UnixStream.connect(address) } catch {
      throw .notFound(device: name, reason: "no USB/IP server answers (\(error))")
    }
  }

  /// OP_REQ_DEVLIST.
  private func devices(_ name: String) throws(USBError) -> [(busID: [UInt8], vendor: UInt16, product: UInt16)] {
    let stream = try connect(name)
    do throws(LinuxError) {
      try stream.write([0x01, 0x11, 0x80, 0x05, 0, 0, 0, 0])
      let head = try stream.readExactly(12, within: Seconds(2))
      guard head[2] == 0, head[3] == 5 else { throw LinuxError("devlist", number: 71) }
      var found: [(busID: [UInt8], vendor: UInt16, product: UInt16)] = []
      let count = UInt32(bigEndian: head[8...])
      guard count <= Self.mostDevices else { throw LinuxError("devlist", number: 90) }  // EMSGSIZE
      for _ in 0..<count {
        let entry = try stream.readExactly(0x138, within: Seconds(2))
        _ = try stream.readExactly(4 * Int(entry[0x137]), within: Seconds(2))
        found.append((Array(entry[256..<288]), UInt16(bigEndian: entry[300...]), UInt16(bigEndian: entry[302...])))
      }
      return found
    } catch {
      throw .notFound(device: name, reason: "the USB/IP server at \(address) gave no list (\(error))")
    }
  }

  /// OP_REQ_IMPORT; after it the connection carries the transfers of that one device.
  private func attach(_ busID: [UInt8], _ kind: USBInterfaceKind, _ name: String) throws(USBError) -> USBIPTransport {
    let stream = try connect(name)
    var deviceID: UInt32 = 0
    do throws(LinuxError) {
      try stream.write([0x01, 0x11, 0x80, 0x03, 0, 0, 0, 0] + busID)
      let head = try stream.readExactly(8, within: Seconds(2))
      guard UInt32(bigEndian: head[4...]) == 0 else {
        throw LinuxError("import", number: 16)
      }
      let entry = try stream.readExactly(0x138, within: Seconds(2))
      deviceID = UInt32(bigEndian: entry[288...]) << 16 | UInt32(bigEndian: entry[292...])
    } catch {
      throw .notFound(device: name, reason: "it is exported but cannot be attached (\(error))")
    }
    return try USBIPTransport(stream, deviceID: deviceID, kind: kind, name: name)
  }
}

extension UInt32 {
  init(bigEndian bytes: ArraySlice<UInt8>) { self = bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) } }
}

extension UInt16 {
  init(bigEndian bytes: ArraySlice<UInt8>) { self = bytes.prefix(2).reduce(0) { $0 << 8 | UInt16($1) } }
}
