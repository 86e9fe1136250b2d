import Linux
package import Quantities

/// Abort and clear (usbtmc.md §5).
extension USBTMC {
  /// A recovery is given up after so long: the cell may be waiting for its safe state.
  package static let recoveryTime = Seconds(0.6)
  /// One control request.
  private static let controlTime = Seconds(0.4)
  /// One read of what is left in a device's FIFO.
  private static let drainTime = Seconds(0.15)
  /// Between two questions whether an abort or a clear is done.
  private static let pollTime = Seconds(0.02)

  private enum Status {
    static let success: UInt8 = 0x01
    static let pending: UInt8 = 0x02
    static let failed: UInt8 = 0x80
    static let transferNotInProgress: UInt8 = 0x81
  }

  enum Phase { case writing, reading, both }

  func controlLimit(until end: MonotonicTime?) -> Seconds {
    end.map { min(Self.controlTime, left(until: $0)) } ?? Self.controlTime
  }

  /// Device clear: whatever was under way is forgotten, both directions are empty.
  package func clear() throws(USBError) { try clear(until: .now + Self.recoveryTime) }

  /// Before a message goes out: what the one before left behind is cleared away. An answer that nobody read would be
  /// taken for that to the next question (IEEE 488.2: query interrupted).
  func settle() throws(USBError) { if needsClear || answerIsDue { try clear() } }

  /// Leaves the instrument able to answer the next question.
  /// - Returns: what is to be thrown: what had happened, or that the device is gone.
  func recovered(from error: USBError, _ phase: Phase) -> USBError {
    guard !error.isGone else { return error }
    let end = MonotonicTime.now + Self.recoveryTime
    do throws(USBError) {
      do throws(USBError) {
        switch error {
        case .timedOut:
          if phase != .reading { try abortOut(until: end) }
          if phase != .writing { try abortIn(until: end) }
        case .stalled(_, let endpoint): try transport.clearHalt(endpoint)
        default: break
        }
      } catch {
        // An abort that fails leaves it to the clear.
        if error.isGone { throw error }
      }
      // An instrument that is still at work on the question would answer it later, in the place of another answer.
      try clear(until: end)
    } catch {
      if error.isGone { return error }
      needsClear = true
      if phase != .reading, quirks.contains(.resetAfterWriteTimeout) { return reset(after: error) }
    }
    return error
  }

  private func reset(after error: USBError) -> USBError {
    do throws(USBError) {
      try transport.reset()
      needsClear = false
      answerIsDue = false
      try listenForNotifications()
    } catch { if error.isGone { return error } }
    return error
  }

  private func clear(until end: MonotonicTime) throws(USBError) {
    // Stays so when something is thrown here.
    needsClear = true
    if quirks.contains(.clearHangs) {
      try? abortOut(until: end)
      try abortIn(until: end)
    } else {
      try initiateClear(until: end)
    }
    // The device halted Bulk-OUT; Bulk-IN is done for safety.
    try transport.clearHalt(bulkOut.address)
    try transport.clearHalt(bulkIn.address)
    needsClear = false
    answerIsDue = false
  }

  private func initiateClear(until end: MonotonicTime) throws(USBError) {
    let answer = try classRequest(5, length: 1, until: end)
    guard answer.first == Status.success else {
      throw .malformed(device: name, reason: "INITIATE_CLEAR answered \(answer)")
    }
    while true {
      let status = try classRequest(6, length: 2, until: end)
      guard status.first == Status.pending else { return }
      guard MonotonicTime.now < end else { throw .timedOut(device: name, operation: "device clear") }
      if status.count > 1, status[1] & 1 != 0 { try drain(until: end) } else { sleepThread(for: Self.pollTime) }
    }
  }

  /// Read time-out.
  private func abortIn(until end: MonotonicTime) throws(USBError) {
    var answer = try endpointRequest(3, bulkIn.address, value: UInt16(requestTag), length: 2, until: end)
    if answer.first == Status.transferNotInProgress {
      // The FIFO is not empty: drain it, and once more.
      try drain(until: end)
      answer = try endpointRequest(3, bulkIn.address, value: UInt16(requestTag), length: 2, until: end)
    }
    guard answer.first == Status.success else { return }
    try drain(until: end)
    while true {
      let status = try endpointRequest(4, bulkIn.address, value: 0, length: 8, until: end)
      guard status.first == Status.pending else { return }
      guard MonotonicTime.now < end else { throw .timedOut(device: name, operation: "abort of Bulk-IN") }
      if status.count > 1, status[1] & 1 != 0 { try drain(until: end) } else { sleepThread(for: Self.pollTime) }
    }
  }

  /// Write time-out.
  private func abortOut(until end: MonotonicTime) throws(USBError) {
    let answer = try endpointRequest(1, bulkOut.address, value: UInt16(tag), length: 2, until: end)
    guard answer.first == Status.success else { return }
    while true {
      let status = try endpointRequest(2, bulkOut.address, value: 0, length: 8, until: end)
      guard status.first == Status.pending else { break }
      guard MonotonicTime.now < end else { throw .timedOut(device: name, operation: "abort of Bulk-OUT") }
      sleepThread(for: Self.pollTime)
    }
    try transport.clearHalt(bulkOut.address)
  }

  /// Reads what a device still has for the host, up to the short packet that ends it; what it is nobody wants to know.
  private func drain(until end: MonotonicTime) throws(USBError) {
    do throws(USBError) {
      _ = try transport.receive(
        bulkIn.packetSize * 64, from: bulkIn.address, within: min(Self.drainTime, left(until: end)))
    } catch {
      if error.isGone { throw error }
      if case .stalled = error { try transport.clearHalt(bulkIn.address) }
    }
  }
}
