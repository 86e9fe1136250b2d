package import Quantities
package import USB

/// A holder without electronics: a source-measure unit is wired straight to its contacts. There is nothing to talk to, and
/// the cell is connected as long as the cable is.
package final class PassiveHolder: Holder {
  package let identity: InstrumentIdentity
  package let abilities: HolderAbilities = []

  package init(_ settings: HolderSettings) {
    identity = InstrumentIdentity(manufacturer: "none", model: "passive", serial: "none", firmware: "none")
  }

  package var limitations: [String] {
    [
      "passive holder: the contacts cannot be opened; only the potentiostat's output does, so it must be one that is at "
        + "high impedance when it is off",
      "passive holder: nothing opens the cell when this computer fails; set the potentiostat's own limits narrowly",
      "passive holder: no zero of the current is read, for the contacts cannot be opened",
      "passive holder: its leakage is not measured",
    ]
  }

  package func state() throws(InstrumentError) -> HolderState {
    HolderState(name: "PASSIVE", safeCause: "NONE", contactsClosed: true)
  }
  /// Nothing here can be opened: the potentiostat's output is the safe state, and comes first anyway.
  package func makeSafe() throws(InstrumentError) {}
  package func errors() throws(InstrumentError) -> [String] { [] }
  package func disconnect() {}
  package func watchHost(timeout: Seconds) throws(InstrumentError) {}
  package func beat() throws(InstrumentError) {}
  package func arm(_ settings: HolderSettings) throws(InstrumentError) {}
  package func close(_ contacts: HolderContacts) throws(InstrumentError) {}
  package func clockPair() throws(InstrumentError) -> ClockPair? { nil }
}
