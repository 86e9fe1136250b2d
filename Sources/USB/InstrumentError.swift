/// An instrument's own complaint, or a wire that failed; whatever language the instrument speaks.
package enum InstrumentError: Error, Equatable, CustomStringConvertible {
  case wire(USBError)
  /// What the instrument reported after `command`: entries of its error queue, or its error line.
  case refused(device: String, command: String, errors: [String])
  case unexpected(device: String, command: String, answer: String)
  /// The model cannot do it at all: what, why, and what the operator can do instead.
  case unable(device: String, reason: String)

  package var description: String {
    switch self {
    case .wire(let error): "\(error)"
    case .refused(let device, let command, let errors):
      "\(device) refused “\(command)”: \(errors.joined(separator: "; "))"
    case .unexpected(let device, let command, let answer): "\(device) answered “\(answer)” to “\(command)”"
    case .unable(let device, let reason): "\(device): \(reason)"
    }
  }

  /// An answer stayed out.
  package var isTimeOut: Bool { if case .wire(.timedOut) = self { true } else { false } }
  package var isGone: Bool { if case .wire(let error) = self { error.isGone } else { false } }
}

/// What an instrument says it is: `*IDN?` (IEEE 488.2 §10.14), or its counterpart.
package struct InstrumentIdentity: Hashable, Sendable, CustomStringConvertible {
  package var manufacturer: String
  package var model: String
  package var serial: String
  package var firmware: String

  package init(manufacturer: String, model: String, serial: String, firmware: String) {
    self.manufacturer = manufacturer
    self.model = model
    self.serial = serial
    self.firmware = firmware
  }

  package var description: String { "\(manufacturer), \(model), serial \(serial), firmware \(firmware)" }
}
