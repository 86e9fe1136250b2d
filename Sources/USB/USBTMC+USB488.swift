import Linux
package import Quantities

/// Status byte, service requests, trigger and remote control: the USB488 subclass (usbtmc.md §3 and §4).
extension USBTMC {
  /// The packets of the interrupt endpoint that are kept posted.
  private static let notificationTransfers = 2
  /// A device that answers INTERRUPT_IN_BUSY is asked again so often.
  private static let mostBusy = 5
  private static let busyTime = Seconds(0.01)

  private enum Request {
    static let readStatusByte: UInt8 = 128
    static let remoteEnable: UInt8 = 160
    static let goToLocal: UInt8 = 161
    static let localLockout: UInt8 = 162
  }

  func listenForNotifications() throws(USBError) {
    guard let endpoint = transport.interface.interruptIn else { return }
    try transport.listen(
      to: endpoint.address, transfers: Self.notificationTransfers, most: endpoint.packetSize
    ) { [notifications] result, _ in notifications.update { $0.take(result) } }
  }

  /// How often the instrument has requested service since it was opened.
  package var serviceRequests: Int { notifications.read { $0.serviceRequests } }
  /// The status byte of the last request for service.
  package var lastServiceRequest: UInt8? { notifications.read { $0.lastServiceRequest } }

  /// READ_STATUS_BYTE: answered while the instrument is busy, and without disturbing a response that is due.
  /// - Throws: `stalled` when the device has no such request.
  package func statusByte(within limit: Seconds = Seconds(0.5)) throws(USBError) -> UInt8 {
    if let end = notifications.read({ $0.end }) { try resumeListening(after: end) }
    let end = MonotonicTime.now + limit
    for _ in 0...Self.mostBusy {
      // 1 is left out: 0x81 would look like a request for service.
      statusTag = statusTag >= 127 ? 2 : statusTag + 1
      let asked = statusTag
      notifications.update { $0.forget(asked) }
      let answer = try classRequest(Request.readStatusByte, value: UInt16(asked), length: 3, until: end)
      if answer.first == 0x20 {
        sleepThread(for: Self.busyTime)
        continue
      }
      guard answer.count >= 3, answer[0] == 0x01, answer[1] == asked else {
        throw .malformed(device: name, reason: "READ_STATUS_BYTE with tag \(asked) answered \(answer)")
      }
      guard transport.interface.interruptIn != nil else { return answer[2] }
      let told = notifications.wait(atMost: left(until: end)) { state -> Result<UInt8, USBError>? in
        state.answer(to: asked).map { .success($0) } ?? state.end.map { .failure($0) }
      }
      guard let told else { throw .timedOut(device: name, operation: "status byte on Interrupt-IN") }
      return try told.get()
    }
    throw .timedOut(device: name, operation: "status byte: the interrupt endpoint stays busy")
  }

  private func resumeListening(after error: USBError) throws(USBError) {
    guard case .stalled(_, let endpoint) = error else { throw error }
    try transport.clearHalt(endpoint)
    notifications.update { $0.resume() }
    try listenForNotifications()
  }

  /// The trigger message.
  /// - Returns: false, and nothing is sent, when the device does not declare that it understands it.
  package func trigger(within limit: Seconds = Seconds(1)) throws(USBError) -> Bool {
    guard try abilities().trigger else { return false }
    try settle()
    do throws(USBError) {
      try transport.send(header(128, 0, 0), to: bulkOut.address, within: limit)
    } catch { throw recovered(from: error, .writing) }
    return true
  }

  /// Remote control of the front panel: REN_CONTROL, and LOCAL_LOCKOUT when `lockedOut`.
  /// - Returns: false, and nothing is sent, when the device does not declare RL1 or is known to fail.
  package func remote(lockedOut: Bool = false) throws(USBError) -> Bool {
    guard try remoteRequest(Request.remoteEnable, value: 1) else { return false }
    return try lockedOut ? remoteRequest(Request.localLockout) : true
  }

  /// Gives the front panel back to the operator. Returns as `remote`.
  package func goToLocal() throws(USBError) -> Bool { try remoteRequest(Request.goToLocal) }

  private func remoteRequest(_ request: UInt8, value: UInt16 = 0) throws(USBError) -> Bool {
    guard !quirks.contains(.noRemoteControl), try abilities().remoteLocal else { return false }
    return try classRequest(request, value: value, length: 1).first == 0x01
  }
}
