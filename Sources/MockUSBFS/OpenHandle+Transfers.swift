import CUSBFS
import EmulatedUSB
import Glibc
import Linux
import Quantities

/// Transfers: URBs that are submitted, reaped and discarded, and the two calls that wait.
extension OpenHandle {
  /// Error numbers with which a transfer is refused, rather than ends.
  private static let refusals = [
    USBStatus.noDevice, USBStatus.noEndpoint, USBStatus.noMemory, USBStatus.invalid,
  ]

  func submit(_ urbAddress: UInt64) throws(LinuxError) -> Outcome {
    let bytes = try read(MemoryLayout<cusbfs_urb>.size, at: urbAddress)
    let urb = unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(as: cusbfs_urb.self) }
    guard urb.buffer_length >= 0, tags[urbAddress] == nil else { return .failed(EINVAL) }
    var request: USBRequestBlock
    var buffer: UInt64?
    var length = Int(urb.buffer_length)
    if Int(urb.type) == Int(CUSBFS_TYPE_CONTROL) {
      guard urb.endpoint & 0x7F == 0, length >= 8 else { return .failed(length < 8 ? EINVAL : ENOENT) }
      let setup = USBSetupPacket(bytes: try read(8, at: urb.buffer))
      guard length >= 8 + Int(setup.length) else { return .failed(EINVAL) }
      length = Int(setup.length)
      let refusal = claimForControl(setup)
      guard refusal == 0 else { return .failed(refusal) }
      request = try controlRequest(setup, at: urb.buffer + 8)
      buffer = setup.isIn ? urb.buffer + 8 : nil
    } else {
      guard Int(urb.type) != Int(CUSBFS_TYPE_ISOCHRONOUS) else { return .failed(EINVAL) }
      let endpoint: UInt8
      switch claimForEndpoint(urb.endpoint) {
      case .success(let known): endpoint = known
      case .failure(let refusal): return .failed(refusal.number)
      }
      guard length <= EmulatedUSBDevice.maximumBytesInFlight else { return .failed(ENOMEM) }
      if endpoint & 0x80 != 0 {
        request = USBRequestBlock(endpoint: endpoint, receiving: length)
        request.shortIsError = urb.flags & UInt32(CUSBFS_FLAG_SHORT_NOT_OK) != 0
        buffer = urb.buffer
      } else {
        request = USBRequestBlock(endpoint: endpoint, sending: try read(length, at: urb.buffer))
        request.endsWithZeroPacket = urb.flags & UInt32(CUSBFS_FLAG_ZERO_PACKET) != 0
      }
    }
    guard let cost = memory.take(length) else { return .failed(ENOMEM) }
    let refusal = start(request, urb: urbAddress, buffer: buffer, cost: cost)
    if refusal != 0 { memory.give(cost) }
    return Outcome(refusal)
  }

  private func start(_ request: USBRequestBlock, urb: UInt64, buffer: UInt64?, cost: Int) -> Int32 {
    let tag = nextTag()
    tags[urb] = tag
    // Refusals come before `submit` returns, on this thread; ends may come later, on any.
    var refusal: Int32 = 0
    node.device.submit(request, tag: tag) { [node, number] completion in
      if Self.refusals.contains(completion.status) {
        refusal = -completion.status
      } else {
        node.end(
          EndedTransfer(urb: urb, buffer: buffer, setup: request.setup, cost: cost, completion: completion), of: number)
      }
    }
    if refusal != 0 { tags[urb] = nil }
    costs[urb] = refusal == 0 ? (cost, buffer) : nil
    return refusal
  }

  /// The transfer ends as cancelled, unless it has ended.
  func discard(_ urb: UInt64) -> Int32 {
    guard let tag = tags[urb], cancel(urb, tag, status: -ENOENT) else { return EINVAL }
    return 0
  }

  /// Ends all that is under way.
  func endTransfers(_ status: Int32) {
    for (urb, tag) in tags { _ = cancel(urb, tag, status: hostStatus(status)) }
  }

  private func cancel(_ urb: UInt64, _ tag: UInt64, status: Int32) -> Bool {
    let (cost, buffer) = costs[urb] ?? (0, nil)
    var wasUnderWay = false
    node.device.cancel(tag: tag) { [node, number] wasPending, moved in
      wasUnderWay = wasPending
      guard var moved else { return }
      moved.status = status
      node.end(EndedTransfer(urb: urb, buffer: buffer, setup: nil, cost: cost, completion: moved), of: number)
    }
    return wasUnderWay
  }

  /// Gives the oldest transfer that has ended; there is no waiting for one, which libusb does not do either.
  func reap(to argument: UInt64) -> Outcome {
    guard let ended = node.reap(for: number) else { return .failed(node.isGone ? ENODEV : EAGAIN) }
    tags[ended.urb] = nil
    costs[ended.urb] = nil
    memory.give(ended.cost)
    var writing: [UInt8] = []
    if let buffer = ended.buffer, !ended.completion.data.isEmpty {
      writing += ProgramMessage.write(data(ended.completion, ended.setup), to: buffer)
    }
    func set(_ field: PartialKeyPath<cusbfs_urb>, _ value: Int32) {
      let offset = MemoryLayout<cusbfs_urb>.offset(of: field) ?? 0
      writing += ProgramMessage.write(nativeBytes(value), to: ended.urb + UInt64(offset))
    }
    set(\.status, hostStatus(ended.completion.status))
    set(\.actual_length, Int32(clamping: ended.completion.moved))
    set(\.error_count, 0)
    writing += ProgramMessage.write(nativeBytes(ended.urb), to: argument)
    return .done(0, writing: writing)
  }

  // MARK: calls that wait

  func control(_ argument: UInt64) throws(LinuxError) -> Outcome {
    let bytes = try read(MemoryLayout<cusbfs_control>.size, at: argument)
    let call = unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(as: cusbfs_control.self) }
    let setup = USBSetupPacket(bytes: Array(bytes[..<8]))
    // A page, as in Linux.
    guard setup.length <= 4096 else { return .failed(EINVAL) }
    let refusal = claimForControl(setup)
    guard refusal == 0 else { return .failed(refusal) }
    let request = try controlRequest(setup, at: call.data)
    guard let cost = memory.take(Int(setup.length)) else { return .failed(ENOMEM) }
    return begin(request, cost: cost, within: limit(call.timeout_ms), to: setup.isIn ? call.data : nil)
  }

  func bulk(_ argument: UInt64) throws(LinuxError) -> Outcome {
    let bytes = try read(MemoryLayout<cusbfs_bulk>.size, at: argument)
    let call = unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(as: cusbfs_bulk.self) }
    let endpoint: UInt8
    switch claimForEndpoint(UInt8(clamping: call.endpoint)) {
    case .success(let known): endpoint = known
    case .failure(let refusal): return .failed(refusal.number)
    }
    guard let cost = memory.take(Int(call.length)) else { return .failed(ENOMEM) }
    let isIn = endpoint & 0x80 != 0
    let request =
      isIn
      ? USBRequestBlock(endpoint: endpoint, receiving: Int(call.length))
      : USBRequestBlock(endpoint: endpoint, sending: try read(Int(call.length), at: call.data))
    return begin(request, cost: cost, within: limit(call.timeout_ms), to: isIn ? call.data : nil)
  }

  private func limit(_ milliseconds: UInt32) -> Seconds? {
    milliseconds == 0 ? nil : Seconds(Double(milliseconds) / 1000)
  }

  private func controlRequest(_ seen: USBSetupPacket, at data: UInt64) throws(LinuxError) -> USBRequestBlock {
    let setup = node.endpoints.forDevice(seen)
    if setup.isIn { return USBRequestBlock(setup: setup) }
    return USBRequestBlock(setup: setup, data: try read(Int(setup.length), at: data), length: 0)
  }

  // MARK: claims that a transfer needs

  private struct Refusal: Error { var number: Int32 }

  /// A transfer claims its interface when its program has not: usbfs warns of it, and does it.
  /// - Returns: the device's own address of the endpoint.
  private func claimForEndpoint(_ seen: UInt8) -> Result<UInt8, Refusal> {
    guard let endpoint = node.endpoints.device(seen), endpoint != 0, let interface = node.interface(with: endpoint)
    else { return .failure(Refusal(number: ENOENT)) }
    let refusal = node.claim(interface, for: number)
    return refusal == 0 ? .success(endpoint) : .failure(Refusal(number: refusal))
  }

  /// Requests to an interface or an endpoint need the interface, but for those of a vendor.
  private func claimForControl(_ setup: USBSetupPacket) -> Int32 {
    guard setup.requestType & 0x60 != 0x40 else { return 0 }
    let low = UInt8(truncatingIfNeeded: setup.index)
    switch setup.requestType & 0x1F {
    case 1: return node.claim(low, for: number)
    case 2:
      guard low & 0x7F != 0 else { return 0 }
      guard let endpoint = node.endpoints.device(low), let interface = node.interface(with: endpoint) else {
        return ENOENT
      }
      return node.claim(interface, for: number)
    default: return 0
    }
  }
}
