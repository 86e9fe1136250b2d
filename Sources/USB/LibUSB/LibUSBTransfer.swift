import CLibUSB
import Linux
import Quantities

/// One transfer: owns libusb's structure and the buffer. libusb holds one reference to it from its submission to the
/// callback that ends it, so neither can go while the kernel may still write.
@safe
final class LibUSBTransfer: @unchecked Sendable {
  enum Ending: Equatable, Sendable {
    case completed, cancelled, stalled, gone, overflowed
    /// The host controller gave up: bad cable, or pulled.
    case failed
    /// libusb did not take it: its error number.
    case refused(Int32)
  }

  struct Outcome: Sendable {
    var ending: Ending
    /// Bytes that were carried.
    var count: Int
    /// Taken in the callback.
    var at: MonotonicTime
  }

  private struct State {
    var isSubmitted = false
    var wantsCancel = false
    var outcome: Outcome?
    var handle: LibUSBHandle?
  }

  /// Called in libusb's callback; true posts the transfer once more.
  typealias Ended = @Sendable (LibUSBTransfer, Outcome) -> Bool

  private let raw: UnsafeMutablePointer<libusb_transfer>
  private let buffer: UnsafeMutablePointer<UInt8>
  private let capacity: Int
  private let isControl: Bool
  private let state = Monitor(State())
  private let ended: Ended

  private init(_ type: libusb_transfer_type, _ endpoint: UInt8, _ capacity: Int, flags: UInt8, ended: @escaping Ended) {
    guard let raw = unsafe libusb_alloc_transfer(0) else { fatalError("no memory for a USB transfer") }
    unsafe self.raw = raw
    unsafe buffer = .allocate(capacity: max(capacity, 1))
    unsafe buffer.initialize(repeating: 0, count: max(capacity, 1))
    self.capacity = capacity
    isControl = type == LIBUSB_TRANSFER_TYPE_CONTROL
    self.ended = ended
    unsafe raw.pointee.endpoint = endpoint
    unsafe raw.pointee.type = UInt8(truncatingIfNeeded: type.rawValue)
    unsafe raw.pointee.flags = flags
    // Time limits are held by who waits: libusb's own would make two that race.
    unsafe raw.pointee.timeout = 0
    unsafe raw.pointee.buffer = buffer
    unsafe raw.pointee.length = Int32(capacity)
    unsafe raw.pointee.callback = transferEnded
  }

  /// - Parameter capacity: for IN; a multiple of the packet size, else a full packet could overflow it.
  convenience init(
    in endpoint: UInt8, isInterrupt: Bool, capacity: Int, ended: @escaping Ended
  ) {
    self.init(
      isInterrupt ? LIBUSB_TRANSFER_TYPE_INTERRUPT : LIBUSB_TRANSFER_TYPE_BULK, endpoint, capacity, flags: 0,
      ended: ended)
  }

  convenience init(out endpoint: UInt8, _ bytes: [UInt8], endingWithZeroPacket: Bool, ended: @escaping Ended) {
    let flag = endingWithZeroPacket ? UInt8(truncatingIfNeeded: LIBUSB_TRANSFER_ADD_ZERO_PACKET.rawValue) : 0
    self.init(LIBUSB_TRANSFER_TYPE_BULK, endpoint, bytes.count, flags: flag, ended: ended)
    fill(bytes)
  }

  convenience init(_ setup: USBSetup, sending: [UInt8], ended: @escaping Ended) {
    let isIn = setup.requestType & 0x80 != 0
    // libusb takes the length from the setup packet, so the buffer has that many bytes whatever is sent.
    self.init(LIBUSB_TRANSFER_TYPE_CONTROL, 0, 8 + Int(setup.length), flags: 0, ended: ended)
    fill(setup.bytes + (isIn ? [] : sending.prefix(Int(setup.length))))
  }

  deinit {
    // The device may have been closed by now, and libusb would look at it.
    unsafe raw.pointee.dev_handle = nil
    unsafe libusb_free_transfer(raw)
    unsafe buffer.deallocate()
  }

  private func fill(_ bytes: [UInt8]) {
    for (offset, byte) in bytes.enumerated() { unsafe buffer[offset] = byte }
  }

  /// What an IN transfer brought; to be asked for when it has ended.
  func bytes(_ outcome: Outcome) -> [UInt8] {
    let offset = isControl ? 8 : 0
    let count = min(outcome.count, capacity - offset)
    return unsafe Array(UnsafeBufferPointer(start: buffer + offset, count: count))
  }

  /// Hands the transfer to the kernel. It ends exactly once: with an outcome, in the callback or at once.
  func submit(_ handle: LibUSBHandle) {
    state.update { $0.handle = handle }
    unsafe raw.pointee.dev_handle = handle.pointer
    unsafe raw.pointee.user_data = Unmanaged.passRetained(self).toOpaque()
    let code = post()
    if code != 0 { end(Outcome(ending: Self.refusal(code), count: 0, at: .now)) }
  }

  /// A cancellation that came before the kernel had the transfer would be lost: so it is looked for afterwards.
  private func post() -> Int32 {
    if state.read({ $0.wantsCancel }) { return LIBUSB_ERROR_INTERRUPTED.rawValue }
    let code = unsafe libusb_submit_transfer(raw)
    guard code == 0 else { return code }
    let wantsCancel = state.update { state in
      state.isSubmitted = true
      return state.wantsCancel
    }
    if wantsCancel { cancel() }
    return 0
  }

  /// Asks for the transfer back; it still ends by its callback, and may have been completed.
  func cancel() {
    let handle = state.update { state in
      state.wantsCancel = true
      return state.isSubmitted ? state.handle : nil
    }
    // Kept until libusb is done with it: the transfer may end meanwhile and let go of it.
    if let handle { withExtendedLifetime(handle) { unsafe _ = libusb_cancel_transfer(raw) } }
  }

  /// The outcome, or nil when there is none yet after `span`.
  func wait(atMost span: Seconds) -> Outcome? { state.wait(atMost: span) { $0.outcome } }

  var outcome: Outcome? { state.read { $0.outcome } }

  fileprivate func calledBack() {
    let outcome = unsafe Outcome(
      ending: Self.ending(raw.pointee.status), count: max(0, Int(raw.pointee.actual_length)), at: .now)
    if ended(self, outcome) {
      let code = post()
      if code == 0 { return }
      let refusal = Outcome(ending: Self.refusal(code), count: 0, at: .now)
      _ = ended(self, refusal)
      return end(refusal)
    }
    end(outcome)
  }

  /// The handle is let go of before anybody hears of the end, so that who waits for it finds the device closed.
  private func end(_ outcome: Outcome) {
    state.update { $0.handle = nil }
    state.update { $0.outcome = outcome }
    unsafe Unmanaged<LibUSBTransfer>.fromOpaque(raw.pointee.user_data).release()
  }

  private static func refusal(_ code: Int32) -> Ending {
    switch code {
    case LIBUSB_ERROR_NO_DEVICE.rawValue: .gone
    case LIBUSB_ERROR_INTERRUPTED.rawValue: .cancelled
    default: .refused(code)
    }
  }

  private static func ending(_ status: libusb_transfer_status) -> Ending {
    switch status {
    case LIBUSB_TRANSFER_COMPLETED: .completed
    case LIBUSB_TRANSFER_CANCELLED, LIBUSB_TRANSFER_TIMED_OUT: .cancelled
    case LIBUSB_TRANSFER_STALL: .stalled
    case LIBUSB_TRANSFER_NO_DEVICE: .gone
    case LIBUSB_TRANSFER_OVERFLOW: .overflowed
    default: .failed
    }
  }
}

// A file-scope function: a closure literal given to a C callback inside a type crashes (style.md).
private func transferEnded(_ raw: UnsafeMutablePointer<libusb_transfer>?) {
  guard let data = unsafe raw?.pointee.user_data else { return }
  unsafe Unmanaged<LibUSBTransfer>.fromOpaque(data).takeUnretainedValue().calledBack()
}
