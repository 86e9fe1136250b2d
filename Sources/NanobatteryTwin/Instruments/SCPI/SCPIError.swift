/// An entry of an instrument's error queue (SCPI-1999 vol. 2 §21.8; scpi-smu.md §8).
package struct SCPIError: Error, Equatable, Sendable {
  package var code: Int
  package var text: String

  package init(_ code: Int, _ text: String) {
    self.code = code
    self.text = text
  }

  package static let none = SCPIError(0, "No error")
  static let invalidCharacter = SCPIError(-101, "Invalid character")
  static let syntax = SCPIError(-102, "Syntax error")
  static let dataType = SCPIError(-104, "Data type error")
  static let parameterNotAllowed = SCPIError(-108, "Parameter not allowed")
  static let missingParameter = SCPIError(-109, "Missing parameter")
  static let undefinedHeader = SCPIError(-113, "Undefined header")
  static let invalidString = SCPIError(-151, "Invalid string data")
  static let execution = SCPIError(-200, "Execution error")
  static let settingsConflict = SCPIError(-221, "Settings conflict")
  static let outOfRange = SCPIError(-222, "Data out of range")
  static let illegalValue = SCPIError(-224, "Illegal parameter value")
  static let queueOverflow = SCPIError(-350, "Queue overflow")
  static let inputOverrun = SCPIError(-363, "Input buffer overrun")
  static let interrupted = SCPIError(-410, "Query INTERRUPTED")
  static let unterminated = SCPIError(-420, "Query UNTERMINATED")

  /// The bit of the standard event register that this error sets (IEEE 488.2 §11.5.1).
  var eventBit: UInt8 {
    switch code {
    case -199 ... -100: return SCPIStatus.EventBit.commandError
    case -299 ... -200: return SCPIStatus.EventBit.executionError
    case -499 ... -400: return SCPIStatus.EventBit.queryError
    case 0: return 0
    default: return SCPIStatus.EventBit.deviceError
    }
  }
}
