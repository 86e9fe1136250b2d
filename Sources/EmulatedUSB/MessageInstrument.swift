package import Quantities

/// Why an output queue was emptied (IEEE 488.2 §6.3.2).
package enum QueryError: Sendable {
  /// A new message came before the response was read: −410.
  case interrupted
  /// A response was asked for and no query had been sent: −420.
  case unterminated
}

/// What sits behind a message interface: takes whole messages, gives whole responses.
package protocol MessageInstrument: AnyObject {
  /// A complete program message, its terminator included if the host sent one.
  func receive(_ message: [UInt8], at now: MonotonicTime)

  /// Takes the complete response when it is ready. Nil: not yet, or there is none.
  func response(at now: MonotonicTime) -> [UInt8]?

  /// True from the query until its response has been taken.
  var isResponseDue: Bool { get }

  /// Forgets the response that is due, and notes why.
  func dropResponse(_ reason: QueryError?, at now: MonotonicTime)

  /// Device clear: input and output are emptied, nothing else changes.
  func clear(at now: MonotonicTime)
  func trigger(at now: MonotonicTime)

  /// The status byte; bit 4 while a response is ready, bit 6 as master summary (IEEE 488.2 §11.2).
  func statusByte(at now: MonotonicTime) -> UInt8

  /// REN, GTL and LLO of USB488; only called when the interface declares RL1.
  func remoteControl(_ isRemote: Bool, lockedOut: Bool)

  /// The cable was pulled, the bus reset or the device unconfigured.
  func usbLost(at now: MonotonicTime)
  func usbRestored(at now: MonotonicTime)

  /// Time goes on; called about every millisecond.
  func tick(_ now: MonotonicTime)
}

extension MessageInstrument {
  package func remoteControl(_ isRemote: Bool, lockedOut: Bool) {}
  package func usbLost(at now: MonotonicTime) {}
  package func usbRestored(at now: MonotonicTime) {}
}
