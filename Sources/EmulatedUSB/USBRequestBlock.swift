import Glibc
package import Quantities

/// One transfer as a host asks for it: the emulator's URB.
package struct USBRequestBlock: Sendable {
  /// Endpoint number with 0x80 for IN; 0 for a control transfer.
  package var endpoint: UInt8
  /// Of a control transfer.
  package var setup: USBSetupPacket?
  /// What goes to the device.
  package var data: [UInt8]
  /// The most bytes the host takes from the device.
  package var length: Int
  /// A short IN transfer is an error (`URB_SHORT_NOT_OK`).
  package var shortIsError = false
  /// An OUT transfer that fills its last packet is followed by an empty one (`URB_ZERO_PACKET`).
  package var endsWithZeroPacket = false

  /// A control transfer.
  package init(setup: USBSetupPacket, data: [UInt8] = [], length: Int? = nil) {
    endpoint = 0
    self.setup = setup
    self.data = data
    self.length = length ?? Int(setup.length)
  }

  /// A bulk or interrupt transfer to the device.
  package init(endpoint: UInt8, sending data: [UInt8]) {
    self.endpoint = endpoint
    self.data = data
    length = 0
  }

  /// A bulk or interrupt transfer from the device.
  package init(endpoint: UInt8, receiving length: Int) {
    self.endpoint = endpoint
    data = []
    self.length = length
  }

  var cost: Int { data.count + length }
}

/// How a transfer ended.
package struct USBCompletion: Equatable, Sendable {
  /// 0, or a negative error number as Linux gives it in `urb->status`.
  package var status: Int32
  /// What came from the device.
  package var data: [UInt8]
  /// Bytes moved in either direction.
  package var moved: Int

  package init(status: Int32, data: [UInt8] = [], moved: Int) {
    self.status = status
    self.data = data
    self.moved = moved
  }
}

/// The error numbers of transfers (Linux `Documentation/driver-api/usb/error-codes`).
package enum USBStatus {
  package static let ok: Int32 = 0
  package static let stalled = -EPIPE
  package static let babble = -EOVERFLOW
  package static let shortRead = -EREMOTEIO
  package static let cancelled = -ECONNRESET
  package static let shutdown = -ESHUTDOWN
  package static let noDevice = -ENODEV
  package static let noEndpoint = -ENOENT
  package static let noMemory = -ENOMEM
  package static let invalid = -EINVAL
}

/// Something that goes wrong with one transfer, for tests of the host side.
package struct USBFault: Equatable, Sendable {
  package enum Kind: Equatable, Sendable {
    /// The endpoint answers STALL and stays halted (endpoint 0 recovers by itself).
    case stall
    /// Only that many bytes get through.
    case short(Int)
    /// The right number of bytes, other ones.
    case garbage(seed: UInt64)
    /// Nothing moves for so long.
    case delay(Seconds)
    /// Everything comes but the packet that ends the transfer; only taking the transfer back ends it.
    case withoutEnd
    /// Nothing ever comes; only taking the transfer back ends it.
    case timeOut
    /// The cable is pulled at that moment.
    case unplug
    /// The cable is pulled at that moment and put back so much later.
    case unplugAndReplug(after: Seconds)
  }

  /// Endpoint address; 0 for control transfers; nil counts the transfers of all endpoints together.
  package var endpoint: UInt8?
  /// Which transfer from now on, counted from 1 in the order in which they are submitted.
  package var transfer: Int
  package var kind: Kind

  package init(endpoint: UInt8?, transfer: Int, kind: Kind) {
    self.endpoint = endpoint
    self.transfer = transfer
    self.kind = kind
  }
}
