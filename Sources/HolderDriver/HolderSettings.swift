package import Quantities
package import USB

/// Which holder, where, and how the cell is wired.
package struct HolderSettings: Sendable {
  package var model: String
  /// Nil for a holder without electronics.
  package var usb: USBMatch?
  package var contacts: HolderContacts
  package var heartbeatTimeout: Seconds
  package var profile = HolderProfile()
  /// Between two readings of heater, force and inputs.
  package var readingPeriod = Seconds(0.5)

  /// s; how often may be read.
  package static let readingPeriods = Seconds(0.1)...Seconds(60)

  package init(model: String, usb: USBMatch?, contacts: HolderContacts, heartbeatTimeout: Seconds) {
    self.model = model
    self.usb = usb
    self.contacts = contacts
    self.heartbeatTimeout = heartbeatTimeout
  }

  /// "USB device 1209:0B10", or that there is nothing to connect to.
  package var connection: String { usb?.description ?? "none: wired by hand" }

  private var modelAbilities: HolderAbilities { HolderModels.named(model)?.abilities ?? [] }
  /// The contacts can be opened: zeros can be read, and the safe state needs no potentiostat.
  package var opensContacts: Bool { modelAbilities.contains(.route) }
  package var measuresLeakage: Bool { modelAbilities.contains(.leakage) }
}
