package import Linux
package import Quantities
package import USB

/// What the holder's thread tells the others.
package enum HolderReport: Sendable {
  case clockPair(ClockPair)
  /// What the holder says of itself has changed.
  case state(HolderState)
  /// The holder opened the cell by itself: heartbeat, interlock, hardware.
  case openedItself(cause: String)
  case failed(String)
  /// The holder is unplugged with the cell connected; opening it again may help.
  case lost(String)
}

/// Which holder, where, and how the cell is wired.
package struct HolderSettings: Sendable {
  package var model: String
  package var usb: USBMatch
  package var contacts: HolderContacts
  package var heartbeatTimeout: Seconds

  package init(model: String, usb: USBMatch, contacts: HolderContacts, heartbeatTimeout: Seconds) {
    self.model = model
    self.usb = usb
    self.contacts = contacts
    self.heartbeatTimeout = heartbeatTimeout
  }
}

/// The holder as its thread owns it: connection, heartbeat, and whether the cell is meant to be connected.
package final class HolderStation {
  package let settings: HolderSettings
  private let bus: any USBBus
  private let report: @Sendable (HolderReport) -> Void
  private var holder: (any Holder)?
  private var shouldBeClosed = false
  /// While it is set the contacts do not close.
  private let latch: SafetyLatch
  private var lastState: HolderState? {
    didSet { if let lastState, lastState != oldValue { report(.state(lastState)) } }
  }
  private var ticks: UInt64 = 0

  package init(
    _ settings: HolderSettings, bus: any USBBus, latch: SafetyLatch = SafetyLatch(),
    report: @escaping @Sendable (HolderReport) -> Void
  ) {
    self.latch = latch
    self.settings = settings
    self.bus = bus
    self.report = report
  }

  /// A quarter of the time-out (holder.md §4.4). One beat that fails is reported, and ends a run.
  package var beatInterval: Seconds { settings.heartbeatTimeout * 0.25 }
  package var identity: InstrumentIdentity? { holder?.identity }
  package var state: HolderState? { lastState }

  /// Opens the holder when it is not open, and asks what state it is in, before anything is changed.
  package func connect() throws(InstrumentError) -> (identity: InstrumentIdentity, state: HolderState) {
    if let holder, let lastState { return (holder.identity, lastState) }
    guard let model = HolderModels.named(settings.model) else {
      throw .unexpected(device: settings.model, command: "configuration", answer: "no such model")
    }
    let connection = try SCPIConnection.open(settings.usb, on: bus, name: settings.model)
    do throws(InstrumentError) {
      let made = try model.make(connection)
      let state = try made.state()
      // What happened before our time, such as a heartbeat that stayed out, must not be taken for a refusal.
      _ = try made.errors()
      try made.watchHost(timeout: settings.heartbeatTimeout)
      try made.beat()
      holder = made
      lastState = state
      return (made.identity, state)
    } catch {
      connection.close()
      throw error
    }
  }

  /// Ready to close contacts; the cell is still open.
  package func arm() throws(InstrumentError) {
    try refuseWhenHeld()
    try with { holder throws(InstrumentError) in try holder.arm() }
    lastState = try with { holder throws(InstrumentError) in try holder.state() }
  }

  /// Connects the cell with the potentiostat.
  package func closeContacts() throws(InstrumentError) {
    try refuseWhenHeld()
    let contacts = settings.contacts
    try with { holder throws(InstrumentError) in try holder.close(contacts) }
    shouldBeClosed = true
    lastState = try with { holder throws(InstrumentError) in try holder.state() }
  }

  /// Contacts open, whatever else is going on, and held there until the latch is released.
  package func makeSafe() throws(InstrumentError) {
    shouldBeClosed = false
    latch.set()
    try with { holder throws(InstrumentError) in try holder.makeSafe() }
    lastState = try with { holder throws(InstrumentError) in try holder.state() }
  }

  package func leakage(at bias: Volts) throws(InstrumentError) -> (resistance: Ohms, current: Amperes) {
    try with { holder throws(InstrumentError) in try holder.leakage(at: bias) }
  }

  package func errors() throws(InstrumentError) -> [String] {
    try with { holder throws(InstrumentError) in try holder.errors() }
  }

  /// One heartbeat and one clock pair; every second beat, the state.
  package func tick() {
    guard let holder else { return }
    do throws(InstrumentError) {
      try holder.beat()
      if let pair = try holder.clockPair() { report(.clockPair(pair)) }
      ticks += 1
      guard ticks % 2 == 0 else { return }
      let state = try holder.state()
      lastState = state
      if shouldBeClosed && !state.contactsClosed {
        shouldBeClosed = false
        report(.openedItself(cause: state.safeCause))
      }
    } catch {
      let wasClosed = shouldBeClosed
      lose(error)
      if !wasClosed || !error.isGone { report(.failed("\(error)")) }
    }
  }

  package func close() {
    holder?.disconnect()
    holder = nil
  }

  private func refuseWhenHeld() throws(InstrumentError) {
    guard latch.isSet else { return }
    throw .unexpected(device: settings.model, command: "closing the contacts", answer: "it is held in the safe state")
  }

  private func with<R>(_ body: (any Holder) throws(InstrumentError) -> R) throws(InstrumentError) -> R {
    guard let holder else { throw .wire(.notFound(device: settings.model, reason: "it is not connected")) }
    do throws(InstrumentError) { return try body(holder) } catch {
      lose(error)
      throw error
    }
  }

  private func lose(_ error: InstrumentError) {
    guard error.isGone else { return }
    close()
    if shouldBeClosed {
      shouldBeClosed = false
      report(.lost("\(error)"))
    }
  }
}
