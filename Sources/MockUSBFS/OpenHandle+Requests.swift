import CUSBFS
import EmulatedUSB
import Glibc
import Linux
import Quantities

extension OpenHandle {
  /// Answers one ioctl of usbfs.
  func answer(_ kind: cusbfs_kind, _ argument: UInt64) throws(LinuxError) -> Outcome {
    // Reaping goes on after the device is gone; the rest does not.
    switch kind {
    case CUSBFS_REAP, CUSBFS_REAP_NO_DELAY: return reap(to: argument)
    case _ where node.isGone: return .failed(ENODEV)
    case CUSBFS_SUBMIT: return try submit(argument)
    case CUSBFS_DISCARD: return Outcome(discard(argument))
    case CUSBFS_CONTROL: return try control(argument)
    case CUSBFS_BULK: return try bulk(argument)
    case CUSBFS_CLAIM: return Outcome(node.claim(try interface(at: argument), for: number))
    case CUSBFS_RELEASE: return Outcome(release(try interface(at: argument)))
    case CUSBFS_GET_DRIVER: return try driver(argument)
    case CUSBFS_IOCTL: return try driverControl(argument)
    case CUSBFS_DISCONNECT_CLAIM: return try detachAndClaim(argument)
    case CUSBFS_SET_CONFIGURATION: return setConfiguration(try readNumber(at: argument))
    case CUSBFS_SET_INTERFACE: return try setInterface(argument)
    case CUSBFS_CLEAR_HALT: return clearHalt(try readNumber(at: argument))
    case CUSBFS_RESET_ENDPOINT: return .done
    case CUSBFS_RESET: return reset()
    case CUSBFS_GET_CAPABILITIES:
      return .done(0, writing: ProgramMessage.write(nativeBytes(cusbfs_capabilities()), to: argument))
    case CUSBFS_CONNECT_INFO:
      // The second field says “slow”, which is low speed only.
      let info = nativeBytes(UInt32(node.address)) + [0, 0, 0, 0]
      return .done(0, writing: ProgramMessage.write(info, to: argument))
    case CUSBFS_GET_SPEED: return .done(Int(node.device.descriptors.speed.rawValue), writing: [])
    default: return .failed(ENOTTY)
    }
  }

  // MARK: interfaces and their drivers

  /// Numbers beyond 255 name no interface either.
  private func interface(at address: UInt64) throws(LinuxError) -> UInt8 {
    UInt8(clamping: try readNumber(at: address))
  }

  private func release(_ interface: UInt8) -> Int32 {
    guard node.claims[interface] == number else { return node.release(interface, by: number) }
    // What is under way there is cancelled first.
    endTransfers(-ENOENT)
    return node.release(interface, by: number)
  }

  private func driver(_ argument: UInt64) throws(LinuxError) -> Outcome {
    let interface = try interface(at: argument)
    guard let name = node.claims[interface] != nil ? "usbfs" : node.drivers[interface] else { return .failed(ENODATA) }
    return .done(0, writing: ProgramMessage.write(Array(name.utf8) + [0], to: argument + 4))
  }

  private func driverControl(_ argument: UInt64) throws(LinuxError) -> Outcome {
    let bytes = try read(MemoryLayout<cusbfs_ioctl>.size, at: argument)
    let request = unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(as: cusbfs_ioctl.self) }
    let interface = UInt8(clamping: request.interface)
    guard node.hasInterface(interface) else { return .failed(EINVAL) }
    switch cusbfs_request_kind(UInt64(UInt32(bitPattern: request.code))) {
    case CUSBFS_DISCONNECT:
      guard node.drivers.removeValue(forKey: interface) != nil else { return .failed(ENODATA) }
      return .done
    case CUSBFS_CONNECT:
      guard node.drivers[interface] == nil, node.claims[interface] == nil else { return .failed(EBUSY) }
      // The result says how many drivers took it.
      return .done(node.bindDriver(of: interface) ? 1 : 0, writing: [])
    default: return .failed(ENOTTY)
    }
  }

  private func detachAndClaim(_ argument: UInt64) throws(LinuxError) -> Outcome {
    let bytes = try read(MemoryLayout<cusbfs_disconnect_claim>.size, at: argument)
    func word(_ at: Int) -> UInt32 { bytes[at..<at + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) } }
    let interface = UInt8(clamping: word(0))
    let named = String(decoding: bytes[8...].prefix { $0 != 0 }, as: UTF8.self)
    guard node.hasInterface(interface) else { return .failed(EINVAL) }
    if let bound = node.claims[interface] != nil ? "usbfs" : node.drivers[interface] {
      if word(4) & UInt32(CUSBFS_ONLY_IF_DRIVER) != 0, bound != named { return .failed(EBUSY) }
      if word(4) & UInt32(CUSBFS_EXCEPT_DRIVER) != 0, bound == named { return .failed(EBUSY) }
      node.drivers[interface] = nil
    }
    return Outcome(node.claim(interface, for: number))
  }

  // MARK: what usbfs does with requests of its own

  private func setConfiguration(_ wanted: UInt32) -> Outcome {
    guard node.claims.isEmpty, node.drivers.isEmpty else { return .failed(EBUSY) }
    // −1 unconfigures.
    let value = wanted == UInt32.max ? 0 : UInt16(clamping: wanted)
    let setup = USBSetupPacket(requestType: 0, request: 9, value: value, index: 0, length: 0)
    return begin(USBRequestBlock(setup: setup), cost: 0, within: Seconds(5)) { [tree, node] in
      tree.setConfiguration(UInt8(clamping: value), port: node.port)
    }
  }

  private func setInterface(_ argument: UInt64) throws(LinuxError) -> Outcome {
    let interface = try interface(at: argument)
    let setting = try readNumber(at: argument + 4)
    let refusal = node.claim(interface, for: number)
    guard refusal == 0 else { return .failed(refusal) }
    let setup = USBSetupPacket(
      requestType: 1, request: 11, value: UInt16(clamping: setting), index: UInt16(interface), length: 0)
    return begin(USBRequestBlock(setup: setup), cost: 0, within: Seconds(5)) {}
  }

  private func clearHalt(_ seen: UInt32) -> Outcome {
    guard let endpoint = node.endpoints.device(UInt8(clamping: seen)), endpoint != 0,
      let interface = node.interface(with: endpoint)
    else { return .failed(ENOENT) }
    let refusal = node.claim(interface, for: number)
    guard refusal == 0 else { return .failed(refusal) }
    let setup = USBSetupPacket(requestType: 2, request: 1, value: 0, index: UInt16(endpoint), length: 0)
    return begin(USBRequestBlock(setup: setup), cost: 0, within: Seconds(5)) {}
  }

  /// A bus reset: what is under way ends, and the device is configured anew.
  private func reset() -> Outcome {
    endTransfers(USBStatus.shutdown)
    let setup = USBSetupPacket(
      requestType: 0, request: 9, value: UInt16(node.device.descriptors.configurationValue), index: 0, length: 0)
    return begin(USBRequestBlock(setup: setup), cost: 0, within: Seconds(5)) {}
  }
}
