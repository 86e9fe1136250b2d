package import Quantities
package import USB

/// What a MethodSCRIPT instrument is spoken to through: bytes out, lines in.
package protocol MethodScriptWire: AnyObject {
  func write(_ bytes: [UInt8], within limit: Seconds) throws(InstrumentError)
  /// Complete lines since the last call.
  func lines() throws(InstrumentError) -> [SerialInput.Line]
  /// The next line, waiting at most so long.
  func line(within limit: Seconds) throws(InstrumentError) -> SerialInput.Line?
  func discardInput()
  func close()
}

extension SerialConnection: MethodScriptWire {}
