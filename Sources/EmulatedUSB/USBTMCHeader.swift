/// MsgID values of USBTMC 1.0 and USB488 1.0 (usbtmc.md §2).
package enum USBTMCMessage {
  package static let output: UInt8 = 1
  package static let input: UInt8 = 2
  package static let trigger: UInt8 = 128
}

/// Class requests and status values (usbtmc.md §3).
package enum USBTMCRequest {
  package static let initiateAbortBulkOut: UInt8 = 1
  package static let checkAbortBulkOut: UInt8 = 2
  package static let initiateAbortBulkIn: UInt8 = 3
  package static let checkAbortBulkIn: UInt8 = 4
  package static let initiateClear: UInt8 = 5
  package static let checkClear: UInt8 = 6
  package static let getCapabilities: UInt8 = 7
  package static let indicatorPulse: UInt8 = 64
  package static let readStatusByte: UInt8 = 128
  package static let remoteEnable: UInt8 = 160
  package static let goToLocal: UInt8 = 161
  package static let localLockout: UInt8 = 162
}

package enum USBTMCStatus {
  package static let success: UInt8 = 0x01
  package static let pending: UInt8 = 0x02
  package static let interruptInBusy: UInt8 = 0x20
  package static let failed: UInt8 = 0x80
  package static let transferNotInProgress: UInt8 = 0x81
  package static let splitNotInProgress: UInt8 = 0x82
}

/// The twelve bytes before each bulk message, little-endian.
struct USBTMCHeader {
  static let size = 12

  var message: UInt8
  var tag: UInt8
  /// TransferSize: payload bytes, or the most that the host takes.
  var transferSize: Int
  var attributes: UInt8
  var termChar: UInt8

  /// Nil when the bTag is 0 or its complement does not match.
  init?(_ bytes: [UInt8]) {
    guard bytes.count >= Self.size, bytes[1] != 0, bytes[2] == ~bytes[1] else { return nil }
    message = bytes[0]
    tag = bytes[1]
    transferSize = Int(UInt32(littleEndian: bytes, at: 4))
    attributes = bytes[8]
    termChar = bytes[9]
  }

  init(message: UInt8, tag: UInt8, transferSize: Int, attributes: UInt8) {
    self.message = message
    self.tag = tag
    self.transferSize = transferSize
    self.attributes = attributes
    termChar = 0
  }

  var bytes: [UInt8] {
    [message, tag, ~tag, 0] + UInt32(transferSize).littleEndianBytes + [attributes, termChar, 0, 0]
  }
}

/// What a USBTMC device can do (usbtmc.md §3, GET_CAPABILITIES).
package struct USBTMCCapabilities: Sendable {
  package var indicatorPulse = false
  package var endsOnTermChar = false
  package var trigger = true
  /// REN_CONTROL, GO_TO_LOCAL and LOCAL_LOCKOUT (RL1).
  package var remoteLocal = false

  package init(indicatorPulse: Bool = false, endsOnTermChar: Bool = false, trigger: Bool = true, remoteLocal: Bool) {
    self.indicatorPulse = indicatorPulse
    self.endsOnTermChar = endsOnTermChar
    self.trigger = trigger
    self.remoteLocal = remoteLocal
  }

  /// The 24 bytes: 488.2, SCPI and SR1 are always there, since an interrupt endpoint is.
  var bytes: [UInt8] {
    let interface: UInt8 = (trigger ? 1 : 0) | (remoteLocal ? 2 : 0) | 4
    let device: UInt8 = (trigger ? 1 : 0) | (remoteLocal ? 2 : 0) | 4 | 8
    let head: [UInt8] = [USBTMCStatus.success, 0, 0x00, 0x01, indicatorPulse ? 4 : 0, endsOnTermChar ? 1 : 0]
    return head + [0, 0, 0, 0, 0, 0, 0x00, 0x01, interface, device] + [UInt8](repeating: 0, count: 8)
  }
}
