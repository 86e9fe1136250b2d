import Glibc
import Linux
import Quantities

/// One bulk or interrupt endpoint of a gadget: a thread that carries packets between its file and the device.
final class FunctionFSEndpoint: Sendable {
  private let address: UInt8
  private let maximumPacket: Int
  private let file: FileDescriptor
  private let device: EmulatedUSBDevice
  private let state: FunctionFSState
  /// Raised with each class or vendor request: the host may have cleared a halt since, which the controller
  /// does not tell.
  private let requests = Monitor(UInt64(0))

  /// After a system call that failed because the cable is out.
  private static let pause = Seconds(0.01)

  /// - Parameter path: its file, `ep1` for the first of the descriptors.
  init(_ descriptor: USBEndpointDescriptor, _ path: String, _ device: EmulatedUSBDevice, _ state: FunctionFSState)
    throws(LinuxError)
  {
    address = descriptor.address
    maximumPacket = descriptor.maximumPacket
    self.device = device
    self.state = state
    file = try FileDescriptor.open(path, O_RDWR)
  }

  func run() {
    while !state.isStopping {
      guard state.waitUntilEnabled() else { continue }
      if address & 0x80 == 0 { carryOut() } else { carryIn() }
    }
  }

  func noteRequest() { requests.update { $0 += 1 } }

  /// Ends with the answer of the device; nil when the front stops or the cable is pulled.
  private func transfer(_ request: USBRequestBlock) -> USBCompletion? {
    let tag = state.newTag()
    let answer = Monitor<USBCompletion?>(nil)
    device.submit(request, tag: tag) { completion in answer.update { $0 = completion } }
    while !state.isStopping {
      guard let completion = answer.wait(atMost: FunctionFSState.patience, for: { $0 }) else { continue }
      let isGone = completion.status == USBStatus.shutdown || completion.status == USBStatus.noDevice
      return isGone ? nil : completion
    }
    device.cancel(tag: tag)
    return nil
  }

  private func clearHalt() {
    // CLEAR_FEATURE(ENDPOINT_HALT), USB 2.0 §9.4.1.
    _ = transfer(
      USBRequestBlock(
        setup: USBSetupPacket(requestType: 0x02, request: 1, value: 0, index: UInt16(address), length: 0)))
  }

  /// Input or output in the wrong direction halts an endpoint; the kernel answers EBADMSG.
  private func halt() {
    var byte: UInt8 = 0
    let isIn = address & 0x80 != 0
    unsafe _ = isIn ? read(file.number, &byte, 1) : write(file.number, &byte, 1)
  }

  // MARK: from the host

  private func carryOut() {
    var buffer = [UInt8](repeating: 0, count: maximumPacket)
    let (count, _) = state.blocking(since: state.clears) { unsafe read(file.number, &buffer, buffer.count) }
    guard count >= 0 else {
      sleepThread(for: Self.pause)
      return
    }
    let packet = USBRequestBlock(endpoint: address, sending: Array(buffer[..<count]))
    // The controller took the packet before the device saw it: a STALL meets the next one (usb-emulation.md §C).
    // One that is refused for a halt from before is given once more.
    guard let first = transfer(packet), first.status == USBStatus.stalled else { return }
    let requested = requests.update { count in
      defer { count = 0 }
      return count > 0
    }
    clearHalt()
    if requested, let second = transfer(packet), second.status != USBStatus.stalled { return }
    if requested { clearHalt() }
    halt()
  }

  // MARK: to the host

  private func carryIn() {
    let tag = state.newTag()
    let answer = Monitor<(completion: USBCompletion, clears: UInt64)?>(nil)
    let state = state
    device.submit(USBRequestBlock(endpoint: address, receiving: maximumPacket), tag: tag) { completion in
      answer.update { $0 = (completion, state.clears) }
    }
    while !state.isStopping {
      guard let (completion, clears) = answer.wait(atMost: FunctionFSState.patience, for: { $0 }) else { continue }
      switch completion.status {
      case USBStatus.ok: send(completion.data, since: clears)
      case USBStatus.stalled:
        halt()
        clearHalt()
      default: sleepThread(for: Self.pause)
      }
      return
    }
    device.cancel(tag: tag)
  }

  /// Waits until the host has fetched the packet, or has cleared the device.
  private func send(_ packet: [UInt8], since clears: UInt64) {
    while !state.isStopping {
      let (_, error) = state.blocking(since: clears) { unsafe write(file.number, packet, packet.count) }
      // Any other end of the call, good or bad, is the end of this packet.
      guard error == EINTR, state.clears == clears, state.isEnabled else { return }
    }
  }
}
