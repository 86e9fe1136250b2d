package import Quantities

/// What a query gives: an answer, or the instant at which there is one.
package enum SCPIReply<Device> {
  case bytes([UInt8])
  case later(MonotonicTime, (Device, MonotonicTime) throws(SCPIError) -> [UInt8])

  static func text(_ text: String) -> Self { .bytes(Array(text.utf8)) }
  static func number(_ value: Double) -> Self { .text(SCPIText.scientific(value)) }
  static func integer(_ value: some BinaryInteger) -> Self { .text(String(value)) }
  static func flag(_ value: Bool) -> Self { .text(value ? "1" : "0") }
}

/// One entry of an instrument's command table.
package struct SCPICommand<Device> {
  package typealias Set = (Device, SCPICall) throws(SCPIError) -> Void
  package typealias Query = (Device, SCPICall) throws(SCPIError) -> SCPIReply<Device>

  let pattern: SCPIPattern
  let set: Set?
  let query: Query?

  package init(_ header: String, set: Set? = nil, query: Query? = nil) {
    pattern = SCPIPattern(header)
    self.set = set
    self.query = query
  }
}

/// An instrument behind a SCPI interpreter. Calls come from one thread at a time, with time never going back.
package protocol SCPIDevice: AnyObject {
  static var commands: [SCPICommand<Self>] { get }
  var status: SCPIStatus { get }
  /// The answer to `*IDN?`.
  var identity: String { get }
  /// Longest program message, bytes.
  var maximumMessage: Int { get }

  /// Lets everything happen that happens of itself up to `now`.
  func advance(to now: MonotonicTime)

  /// When everything that was started has ended (`*OPC?`, `*WAI`); nil: not before something else happens.
  func operationsEnd(at now: MonotonicTime) -> MonotonicTime?
  /// `*RST`.
  func reset(at now: MonotonicTime)
  /// `*TRG` and the USB488 TRIGGER message.
  func trigger(at now: MonotonicTime) throws(SCPIError)
  /// `*TST?`; 0 is passed.
  func selfTest(at now: MonotonicTime) -> Int
  /// An entry of the error queue as this maker prints it.
  func describe(_ error: SCPIError, at now: MonotonicTime) -> String

  func usbLost(at now: MonotonicTime)
  func usbRestored(at now: MonotonicTime)
}

extension SCPIDevice {
  package func selfTest(at now: MonotonicTime) -> Int { 0 }
  package func describe(_ error: SCPIError, at now: MonotonicTime) -> String { "\(error.code),\"\(error.text)\"" }
  package func usbLost(at now: MonotonicTime) {}
  package func usbRestored(at now: MonotonicTime) {}
}
