package import Quantities
package import USB

/// Which lines of the holder the cell's electrodes are on.
package struct HolderContacts: Hashable, Sendable {
  package var working: Int
  package var counter: Int
  /// Reference electrode, on the sense tap; nil for a two-electrode cell.
  package var reference: Int?

  package init(working: Int, counter: Int, reference: Int? = nil) {
    self.working = working
    self.counter = counter
    self.reference = reference
  }
}

/// Whether the holder lets current through, and why not.
package struct HolderState: Hashable, Sendable {
  /// "SAFE_OPEN", "ARMED", "ACTIVE", "FAULT"… as far as the model tells.
  package var name: String
  /// What made it safe last: "HOST", "HEARTBEAT", "INTERLOCK"…
  package var safeCause: String
  package var contactsClosed: Bool
}

/// A biasing holder's electronics. Owned by one thread; every call is bounded in time.
///
/// A model is one file that conforms, and one line in `HolderModels.all`.
package protocol Holder: AnyObject {
  var identity: InstrumentIdentity { get }
  func state() throws(InstrumentError) -> HolderState
  /// Watches over the host from now on: without `beat` within `timeout` the holder opens the cell by itself.
  func watchHost(timeout: Seconds) throws(InstrumentError)
  /// One sign of life.
  func beat() throws(InstrumentError)
  /// Clears what made the holder safe and makes it ready to close contacts; the cell stays open.
  func arm() throws(InstrumentError)
  /// Connects the cell's electrodes with the potentiostat.
  func close(_ contacts: HolderContacts) throws(InstrumentError)
  /// The safe state at once: contacts open first, then everything to zero.
  func makeSafe() throws(InstrumentError)
  /// One comparison of the holder's clock with ours.
  func clockPair() throws(InstrumentError) -> ClockPair?
  /// Insulation of the lines at `bias`; the resistance and the current that flowed.
  func leakage(at bias: Volts) throws(InstrumentError) -> (resistance: Ohms, current: Amperes)
  func errors() throws(InstrumentError) -> [String]
  func disconnect()
}

/// One model that can be named in the configuration.
package struct HolderModel: Sendable {
  package let name: String
  package let make: @Sendable (SCPIConnection) throws(InstrumentError) -> any Holder
}

package enum HolderModels {
  /// The one place where a model is registered.
  package static let all: [HolderModel] = [
    HolderModel(name: "obh-1", make: { connection throws(InstrumentError) in try OpenBiasingHolder(connection) })
  ]

  package static func named(_ name: String) -> HolderModel? { all.first { $0.name == name } }
}
