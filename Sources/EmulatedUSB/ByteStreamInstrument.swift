package import Quantities

/// An instrument behind a serial line: takes bytes, gives bytes.
package protocol ByteStreamInstrument: AnyObject {
  func receive(_ bytes: [UInt8], at now: MonotonicTime)

  /// Takes at most `most` bytes that are ready to be sent.
  func transmit(_ most: Int, at now: MonotonicTime) -> [UInt8]

  /// The host raised or dropped DTR or RTS.
  func lineStateChanged(dtr: Bool, rts: Bool, at now: MonotonicTime)

  /// The cable was pulled, the bus reset or the device unconfigured.
  func usbLost(at now: MonotonicTime)

  /// Time goes on; called about every millisecond.
  func tick(_ now: MonotonicTime)
}
