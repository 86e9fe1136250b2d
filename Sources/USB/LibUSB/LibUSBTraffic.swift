import CLibUSB
import Linux
import Quantities

/// What goes to and from one open device: transfers with a time limit, and their errors in the seam's words.
final class LibUSBTraffic: Sendable {
  private struct State {
    var handle: LibUSBHandle?
    var isGone = false
    /// With the kernel, or kept posted; only `close` may forget one that the kernel has not given back.
    var underWay: [ObjectIdentifier: LibUSBTransfer] = [:]
  }

  /// A transfer that was taken back must be returned within this, by what the kernel does on any controller.
  private static let cancelTime = Seconds(1)
  /// A transfer that failed may be the first sign of a pulled cable: the kernel says so within a poll of the hub.
  static let doubtTime = Seconds(0.3)

  let name: String
  private let state: Monitor<State>

  private init(_ handle: LibUSBHandle, name: String) {
    self.name = name
    state = Monitor(State(handle: handle))
  }

  /// Opens a device; nobody but its transfers has the handle then, so that `close` closes it.
  /// - Returns: nil and libusb's error number when it cannot be opened.
  static func open(_ device: LibUSBDevice, _ context: LibUSBContext, name: String) -> (LibUSBTraffic?, code: Int32) {
    let (handle, code) = LibUSBHandle.open(device, context)
    return (handle.map { LibUSBTraffic($0, name: name) }, code)
  }

  /// Sets the configuration and claims the interfaces.
  /// - Returns: libusb's error number, 0 for none.
  func claim(_ interfaces: [UInt8], configuration: UInt8) -> Int32 {
    guard let handle = state.read({ $0.handle }) else { return LIBUSB_ERROR_NO_DEVICE.rawValue }
    var code = handle.configure(configuration)
    for number in interfaces where code == 0 { code = handle.claim(number) }
    return code
  }

  deinit { close() }

  // MARK: Control

  func control(_ setup: USBSetup, sending: [UInt8], within limit: Seconds) throws(USBError) -> [UInt8] {
    let isIn = setup.requestType & 0x80 != 0
    guard isIn || sending.count == Int(setup.length) else {
      throw .malformed(
        device: name, reason: "control request \(setup.request) announces \(setup.length) bytes, has \(sending.count)")
    }
    let transfer = LibUSBTransfer(setup, sending: sending) { _, _ in false }
    let outcome = try carryOut(transfer, by: .now + limit)
    try check(outcome, endpoint: isIn ? 0x80 : 0, "control request \(setup.request)")
    return isIn ? transfer.bytes(outcome) : []
  }

  /// String descriptor `index` in US English, else the language the device has first.
  func string(_ index: UInt8, within limit: Seconds) throws(USBError) -> String {
    guard index != 0 else { return "" }
    func read(_ index: UInt8, _ language: UInt16) throws(USBError) -> [UInt8] {
      try control(
        USBSetup(0x80, 6, value: 0x0300 | UInt16(index), index: language, length: 255), sending: [], within: limit)
    }
    let languages = try read(0, 0)
    guard languages.count >= 4 else { return "" }
    let all = stride(from: 2, to: languages.count - 1, by: 2).map {
      UInt16(languages[$0]) | UInt16(languages[$0 + 1]) << 8
    }
    let bytes = try read(index, all.contains(0x0409) ? 0x0409 : all[0])
    guard bytes.count > 2 else { return "" }
    let units = stride(from: 2, to: bytes.count - 1, by: 2).map { UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8 }
    return String(decoding: units.prefix { $0 != 0 }, as: UTF16.self)
  }

  // MARK: Transfers

  /// Begins a transfer, which ends by `finish` or by `close`.
  func begin(_ transfer: LibUSBTransfer) throws(USBError) {
    let handle: LibUSBHandle? = state.update { state in
      guard !state.isGone, let handle = state.handle else { return nil }
      // Those of a listener that is over have ended by themselves.
      if state.underWay.count > 2 * LibUSBTransport.mostPosted {
        state.underWay = state.underWay.filter { $0.value.outcome == nil }
      }
      state.underWay[ObjectIdentifier(transfer)] = transfer
      return handle
    }
    guard let handle else { throw .disconnected(device: name) }
    transfer.submit(handle)
  }

  /// Waits for a transfer until `end`, then takes it back. It may have been completed meanwhile: what arrived is not
  /// lost then (usbtmc.md §7).
  func finish(_ transfer: LibUSBTransfer, by end: MonotonicTime) -> LibUSBTransfer.Outcome {
    var outcome = transfer.wait(atMost: end - .now)
    if outcome == nil {
      transfer.cancel()
      outcome = transfer.wait(atMost: Self.cancelTime)
    }
    // Never given back: it and its buffer stay, in case the kernel writes to them after all.
    guard let outcome else { return LibUSBTransfer.Outcome(ending: .cancelled, count: 0, at: .now) }
    state.update { _ = $0.underWay.removeValue(forKey: ObjectIdentifier(transfer)) }
    return outcome
  }

  func carryOut(_ transfer: LibUSBTransfer, by end: MonotonicTime) throws(USBError) -> LibUSBTransfer.Outcome {
    try begin(transfer)
    return finish(transfer, by: end)
  }

  /// Throws what the outcome means; nothing when the transfer was completed.
  func check(_ outcome: LibUSBTransfer.Outcome, endpoint: UInt8, _ operation: String) throws(USBError) {
    switch outcome.ending {
    case .completed: return
    case .gone: state.update { $0.isGone = true }
    case .failed, .refused: if isDeviceGone() { state.update { $0.isGone = true } }
    default: break
    }
    throw error(for: outcome.ending, endpoint: endpoint, operation)
  }

  /// What an ending is called; does not wait.
  func error(for ending: LibUSBTransfer.Ending, endpoint: UInt8, _ operation: String) -> USBError {
    if state.read({ $0.isGone || $0.handle == nil }) { return .disconnected(device: name) }
    switch ending {
    case .gone: return .disconnected(device: name)
    case .completed, .cancelled: return .timedOut(device: name, operation: operation)
    case .stalled: return .stalled(device: name, endpoint: endpoint)
    case .overflowed:
      return .malformed(device: name, reason: "it sent more than was asked for (\(operation))")
    case .failed:
      return .malformed(
        device: name, reason: "the transfer failed on the bus (\(operation)); a bad cable, hub or plug does that")
    case .refused(let code):
      let remedy =
        code == LIBUSB_ERROR_NO_MEM.rawValue
        ? "; the kernel's memory for USB transfers is used up (/sys/module/usbcore/parameters/usbfs_memory_mb)" : ""
      return .malformed(
        device: name, reason: "libusb refused the transfer: \(libUSBText(code)) (\(operation))\(remedy)")
    }
  }

  /// After a transfer that failed: the device answers (false), is known to be gone (true), or has not answered for
  /// `doubtTime` (false: whoever goes on will be told).
  private func isDeviceGone() -> Bool {
    let end = MonotonicTime.now + Self.doubtTime
    while true {
      let probe = LibUSBTransfer(USBSetup(0x80, 8, length: 1), sending: []) { _, _ in false }
      do throws(USBError) {
        switch try carryOut(probe, by: min(end, .now + Seconds(0.1))).ending {
        case .gone: return true
        case .completed, .stalled: return false
        default: break
        }
      } catch { return true }
      guard MonotonicTime.now < end else { return false }
      sleepThread(for: Seconds(0.02))
    }
  }

  /// What blocks in the kernel, on a thread of its own: nobody waits longer than `limit` for it.
  /// - Returns: libusb's error number, 0 for none; nil when it is not over by then.
  private func inKernel(_ thread: String, within limit: Seconds, _ call: @escaping @Sendable (LibUSBHandle) -> Int32)
    throws(USBError) -> Int32?
  {
    guard let handle = state.read({ $0.isGone ? nil : $0.handle }) else { throw .disconnected(device: name) }
    let answer = Monitor<Int32?>(nil)
    _ = NamedThread(thread) { [handle] in
      let code = call(handle)
      answer.update { $0 = code }
    }
    return answer.wait(atMost: limit, for: { $0 })
  }

  /// A reset of the port. All that is under way is taken back before, what is kept posted too.
  /// - Throws: `disconnected` also when the reset does not end in time, or the device is another one afterwards: then
  ///   only opening it again can help.
  func reset(within limit: Seconds) throws(USBError) {
    let end = MonotonicTime.now + limit
    let underWay = state.read { Array($0.underWay.values) }
    for transfer in underWay { transfer.cancel() }
    for transfer in underWay { _ = transfer.wait(atMost: end - .now) }
    state.update { state in state.underWay = state.underWay.filter { $0.value.outcome == nil } }
    let code = try inKernel("usb-reset", within: end - .now) { $0.reset() }
    switch code {
    case 0: return
    case nil, LIBUSB_ERROR_NOT_FOUND.rawValue, LIBUSB_ERROR_NO_DEVICE.rawValue:
      state.update { $0.isGone = true }
      throw .disconnected(device: name)
    case let code?: throw error(for: isDeviceGone() ? .gone : .refused(code), endpoint: 0, "USB reset")
    }
  }

  /// CLEAR_FEATURE(ENDPOINT_HALT) by the kernel, which may take it five seconds.
  func clearHalt(_ endpoint: UInt8, within limit: Seconds) throws(USBError) {
    let operation = "clearing the halt of endpoint \(hex(endpoint))"
    guard let code = try inKernel("usb-halt", within: limit, { $0.clearHalt(endpoint) }) else {
      throw .timedOut(device: name, operation: operation)
    }
    switch code {
    case 0: return
    case LIBUSB_ERROR_NO_DEVICE.rawValue:
      state.update { $0.isGone = true }
      throw .disconnected(device: name)
    case LIBUSB_ERROR_TIMEOUT.rawValue: throw .timedOut(device: name, operation: operation)
    case LIBUSB_ERROR_PIPE.rawValue: throw .stalled(device: name, endpoint: endpoint)
    default: throw error(for: isDeviceGone() ? .gone : .refused(code), endpoint: endpoint, operation)
    }
  }

  /// Takes all transfers back, waits for them, and closes the device. Returns when it is closed, or after two seconds:
  /// then it is closed as soon as the kernel gives the last transfer back.
  func close() {
    guard let isClosed = takeAllBack() else { return }
    _ = isClosed.wait(atMost: Self.cancelTime) { $0 ? true : nil }
  }

  /// - Returns: what tells of the closing, which comes when the last has let go of the handle; nil when nobody may wait.
  @inline(never)
  private func takeAllBack() -> Monitor<Bool>? {
    let (handle, underWay) = state.update { state -> (LibUSBHandle?, [LibUSBTransfer]) in
      defer {
        state.handle = nil
        state.underWay = [:]
      }
      return (state.handle, Array(state.underWay.values))
    }
    guard let handle else { return nil }
    for transfer in underWay { transfer.cancel() }
    // Inside a callback nothing that is waited for could happen.
    guard !handle.isOnEventThread else { return nil }
    let end = MonotonicTime.now + Self.cancelTime
    for transfer in underWay { _ = transfer.wait(atMost: end - .now) }
    return handle.isClosed
  }
}

/// libusb's name and words for one of its error numbers.
func libUSBText(_ code: Int32) -> String {
  unsafe "\(String(cString: libusb_error_name(code))), \(String(cString: libusb_strerror(code)))"
}
