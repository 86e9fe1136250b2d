/// The class requests on endpoint 0 (usbtmc.md §3 and §5).
extension USBTMCFunction {
  package func control(_ setup: USBSetupPacket, _ data: [UInt8]) -> USBReply {
    let target = UInt8(truncatingIfNeeded: setup.index)
    switch (setup.requestType, setup.request) {
    case (0xA2, USBTMCRequest.initiateAbortBulkOut) where target == identity.bulkOut:
      return .ack(abortOut(UInt8(truncatingIfNeeded: setup.value)))
    case (0xA2, USBTMCRequest.checkAbortBulkOut) where target == identity.bulkOut: return .ack(checkAbortOut())
    case (0xA2, USBTMCRequest.initiateAbortBulkIn) where target == identity.bulkIn:
      return .ack(abortIn(UInt8(truncatingIfNeeded: setup.value)))
    case (0xA2, USBTMCRequest.checkAbortBulkIn) where target == identity.bulkIn: return .ack(checkAbortIn())
    case (0xA1, _) where target == 0: return interfaceRequest(setup)
    default: return .stall
    }
  }

  private func interfaceRequest(_ setup: USBSetupPacket) -> USBReply {
    switch setup.request {
    case USBTMCRequest.initiateClear: return .ack(initiateClear())
    case USBTMCRequest.checkClear:
      return .ack(owesEmptyPacket ? [USBTMCStatus.pending, 1] : [USBTMCStatus.success, 0])
    case USBTMCRequest.getCapabilities: return .ack(capabilities.bytes)
    case USBTMCRequest.indicatorPulse where capabilities.indicatorPulse: return .ack([USBTMCStatus.success])
    case USBTMCRequest.readStatusByte: return .ack(readStatusByte(UInt8(truncatingIfNeeded: setup.value)))
    case USBTMCRequest.remoteEnable where capabilities.remoteLocal:
      instrument.remoteControl(setup.value != 0, lockedOut: false)
      return .ack([USBTMCStatus.success])
    case USBTMCRequest.goToLocal where capabilities.remoteLocal:
      instrument.remoteControl(false, lockedOut: false)
      return .ack([USBTMCStatus.success])
    case USBTMCRequest.localLockout where capabilities.remoteLocal:
      instrument.remoteControl(true, lockedOut: true)
      return .ack([USBTMCStatus.success])
    default: return .stall
    }
  }

  // MARK: abort

  private func abortOut(_ tag: UInt8) -> [UInt8] {
    guard let transfer = outTransfer else { return [USBTMCStatus.failed, 0] }
    guard transfer.header.tag == tag else { return [USBTMCStatus.transferNotInProgress, transfer.header.tag] }
    outTransfer = nil
    headerBytes = []
    message = []
    outIsHalted = true
    isAbortingOut = true
    return [USBTMCStatus.success, tag]
  }

  private func checkAbortOut() -> [UInt8] {
    guard isAbortingOut else { return [USBTMCStatus.splitNotInProgress] + [UInt8](repeating: 0, count: 7) }
    isAbortingOut = false
    return [USBTMCStatus.success, 0, 0, 0] + UInt32(lastPayloadReceived).littleEndianBytes
  }

  private func abortIn(_ tag: UInt8) -> [UInt8] {
    let current: UInt8
    if let request {
      current = request.tag
      lastPayloadSent = 0
    } else if inTransfer != nil {
      current = answeredTag
    } else {
      // Nothing under way; 0x81 asks the host to drain first.
      return [owesEmptyPacket ? USBTMCStatus.transferNotInProgress : USBTMCStatus.failed, 0]
    }
    guard current == tag else { return [USBTMCStatus.transferNotInProgress, current] }
    dropOutput()
    instrument.dropResponse(nil, at: clock())
    owesEmptyPacket = true
    isAbortingIn = true
    return [USBTMCStatus.success, tag]
  }

  private func checkAbortIn() -> [UInt8] {
    let sent = UInt32(lastPayloadSent).littleEndianBytes
    guard isAbortingIn else { return [USBTMCStatus.splitNotInProgress] + [UInt8](repeating: 0, count: 7) }
    // Bit 0: there is something to drain before the abort is complete.
    if owesEmptyPacket { return [USBTMCStatus.pending, 1, 0, 0] + sent }
    isAbortingIn = false
    return [USBTMCStatus.success, 0, 0, 0] + sent
  }

  // MARK: clear and status

  private func initiateClear() -> [UInt8] {
    let wasSending = (inTransfer?.sent ?? 0) > 0
    forgetConversation()
    instrument.clear(at: clock())
    owesEmptyPacket = wasSending
    // Bulk-OUT stays halted until the host clears it (usbtmc.md §5).
    outIsHalted = true
    return [USBTMCStatus.success]
  }

  private func readStatusByte(_ tag: UInt8) -> [UInt8] {
    guard (2...127).contains(tag) else { return [USBTMCStatus.failed, tag, 0] }
    guard statusAnswer == nil else { return [USBTMCStatus.interruptInBusy, tag, 0] }
    // Bit 6 here says that service was requested, and reading it ends the request (serial poll).
    let status = statusByte() & ~0x40 | (requestedService ? 0x40 : 0)
    requestedService = false
    statusAnswer = [0x80 | tag, status]
    return [USBTMCStatus.success, tag, 0]
  }
}
