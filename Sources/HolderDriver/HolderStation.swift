package import Linux
package import Quantities
package import USB

/// What the holder's thread tells the others.
package enum HolderReport: Sendable {
  case clockPair(ClockPair)
  /// What the holder says of itself has changed.
  case state(HolderState)
  /// Heater, force, inputs, piezo: at the configured rate.
  case readings([HolderReading])
  /// The bringing of the probe goes on, or has ended.
  case motion(MotionProgress)
  /// The holder opened the cell by itself: heartbeat, interlock, hardware.
  case openedItself(cause: String)
  case failed(String)
  /// The holder is unplugged with the cell connected; opening it again may help.
  case lost(String)
}

/// The holder as its thread owns it: connection, heartbeat, and whether the cell is meant to be connected.
package final class HolderStation {
  package let settings: HolderSettings
  private let bus: any USBBus
  let report: @Sendable (HolderReport) -> Void
  private var holder: (any Holder)?
  private var shouldBeClosed = false
  /// Armed by us: it is made safe before we let go of it.
  package private(set) var isArmed = false
  /// The heater is on, as far as we have switched it.
  package internal(set) var isHeating = false
  /// While it is set the contacts do not close.
  private let latch: SafetyLatch
  private(set) var lastState: HolderState? {
    didSet { if let lastState, lastState != oldValue { report(.state(lastState)) } }
  }
  private var ticks: UInt64 = 0
  private var readAt: MonotonicTime?
  package private(set) var readings: [HolderReading] = []
  /// The probe's way to the sample or back; nil when it rests.
  var motion: ProbeMotion?
  package internal(set) var lastMotion: MotionProgress?

  /// Between two looks at a probe that moves.
  private static let motionInterval = Seconds(0.02)
  /// While it moves the holder's state is looked at in every so many ticks.
  private static let motionTicks: UInt64 = 10

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
  /// How long until the next tick is due.
  package var tickInterval: Seconds {
    motion == nil ? min(beatInterval, settings.readingPeriod) : min(beatInterval, Self.motionInterval)
  }
  package var identity: InstrumentIdentity? { holder?.identity }
  package var abilities: HolderAbilities { holder?.abilities ?? [] }
  /// What the operator has to know that it cannot do.
  package var limitations: [String] { holder?.limitations ?? [] }
  package var state: HolderState? { lastState }

  /// Opens the holder when it is not open, and asks what state it is in, before anything is changed.
  package func connect() throws(InstrumentError) -> (identity: InstrumentIdentity, state: HolderState) {
    if let holder, let lastState { return (holder.identity, lastState) }
    guard let model = HolderModels.named(settings.model) else {
      throw .unexpected(device: settings.model, command: "configuration", answer: "no such model")
    }
    let made = try model.make(settings, bus)
    do throws(InstrumentError) {
      let state = try made.state()
      // What happened before our time, such as a heartbeat that stayed out, must not be taken for a refusal.
      _ = try made.errors()
      try made.watchHost(timeout: settings.heartbeatTimeout)
      try made.beat()
      holder = made
      lastState = state
      return (made.identity, state)
    } catch {
      made.disconnect()
      throw error
    }
  }

  /// Ready to close contacts; the cell is still open.
  package func arm() throws(InstrumentError) {
    try refuseWhenHeld()
    try refuseWhenGrounded("it cannot be armed")
    let settings = settings
    try with { holder throws(InstrumentError) in try holder.arm(settings) }
    isArmed = true
    try refreshState()
  }

  /// Connects the cell with the potentiostat.
  package func closeContacts() throws(InstrumentError) {
    try refuseWhenHeld()
    let contacts = settings.contacts
    try with { holder throws(InstrumentError) in try holder.close(contacts) }
    shouldBeClosed = true
    try refreshState()
  }

  /// Contacts open, whatever else is going on, and held there until the latch is released.
  package func makeSafe() throws(InstrumentError) {
    shouldBeClosed = false
    isArmed = false
    isHeating = false
    latch.set()
    endMotion(.stopped, "the cell was made safe")
    try with { holder throws(InstrumentError) in try holder.makeSafe() }
    try refreshState()
  }

  /// The same, without holding it there: the end of something that was done with no run going on. A sample that is heated
  /// stays hot: then only what has to do with the cell is opened.
  func rest() throws(InstrumentError) {
    shouldBeClosed = false
    let keepsHot = isHeating
    if !keepsHot { isArmed = false }
    try with { holder throws(InstrumentError) in
      guard keepsHot else { return try holder.makeSafe() }
      let cell = try holder.closedChannels().filter { HolderChannel.Tap.cell.contains($0.tap) }
      if !cell.isEmpty { try holder.open(cell) }
      if holder.abilities.contains(.piezo) {
        // A tip that moves on without its contact stop may crash.
        try holder.stopMotion()
        try holder.detectContact(nil)
      }
      try holder.setOutput(false)
    }
    try refreshState()
  }

  /// What was begun and refused half way leaves nothing moving and nothing connected; what was there before stays.
  func giveUp(_ error: InstrumentError) {
    guard !error.isGone, !shouldBeClosed, let holder else { return }
    if holder.abilities.contains(.piezo) { try? holder.stopMotion() }
    try? rest()
  }

  package func leakage(at bias: Volts) throws(InstrumentError) -> (resistance: Ohms, current: Amperes) {
    try refuseWhenGrounded("its leakage cannot be measured")
    return try with { holder throws(InstrumentError) in try holder.leakage(at: bias) }
  }

  package func errors() throws(InstrumentError) -> [String] {
    try with { holder throws(InstrumentError) in try holder.errors() }
  }

  /// One heartbeat and one clock pair; every second beat, the state; readings when they are due.
  package func tick() {
    guard let holder else { return }
    do throws(InstrumentError) {
      try holder.beat()
      if let pair = try holder.clockPair() { report(.clockPair(pair)) }
      ticks += 1
      if motion != nil { return try advanceMotion(holder, looksForSafety: ticks % Self.motionTicks == 0) }
      try read(holder)
      guard ticks % 2 == 0 else { return }
      try noticeSafety(holder)
    } catch {
      let wasClosed = shouldBeClosed
      // A holder that is still there beats on with the next tick: nothing but this would stop the tip.
      if motion != nil { giveUp(error) }
      endMotion(.failed, "\(error)")
      lose(error)
      if !wasClosed || !error.isGone { report(.failed("\(error)")) }
    }
  }

  /// Whether the holder has become safe by itself: heartbeat, interlock, hardware. Then nothing of what we had switched on
  /// is on any more.
  @discardableResult
  func noticeSafety(_ holder: any Holder) throws(InstrumentError) -> HolderState {
    let state = try holder.state()
    lastState = state
    let hasOpened = shouldBeClosed && !state.contactsClosed
    let hasCooled = isHeating && state.isSafe
    if state.isSafe {
      isArmed = false
      isHeating = false
    }
    if hasOpened || hasCooled {
      shouldBeClosed = false
      report(.openedItself(cause: state.safeCause))
    }
    return state
  }

  private func read(_ holder: any Holder) throws(InstrumentError) {
    let now = MonotonicTime.now
    // A tick that comes a little early must not put a reading off by a whole one.
    guard readAt.map({ now - $0 >= settings.readingPeriod * 0.9 }) ?? true else { return }
    readAt = now
    readings = try holder.readings()
    if !readings.isEmpty { report(.readings(readings)) }
  }

  /// Lets go of the holder; what we have armed is made safe first.
  package func close() {
    if isArmed, let holder {
      isArmed = false
      // It falls safe by itself when this does not reach it: the heartbeat stays out.
      try? holder.makeSafe()
    }
    drop()
  }

  private func drop() {
    holder?.disconnect()
    holder = nil
    isArmed = false
    isHeating = false
    readAt = nil
  }

  func refreshState() throws(InstrumentError) {
    lastState = try with { holder throws(InstrumentError) in try holder.state() }
  }

  func refuseWhenHeld() throws(InstrumentError) {
    guard latch.isSet else { return }
    throw .unexpected(device: settings.model, command: "closing the contacts", answer: "it is held in the safe state")
  }

  private func refuseWhenGrounded(_ what: String) throws(InstrumentError) {
    guard lastState?.name == "INSERT" else { return }
    throw .unable(
      device: settings.model,
      reason: "its contacts are grounded for insertion, so \(what); end that with: insituctl holder insert off")
  }

  func with<R>(_ body: (any Holder) throws(InstrumentError) -> R) throws(InstrumentError) -> R {
    guard let holder else { throw .wire(.notFound(device: settings.model, reason: "it is not connected")) }
    do throws(InstrumentError) { return try body(holder) } catch {
      lose(error)
      throw error
    }
  }

  private func lose(_ error: InstrumentError) {
    guard error.isGone else { return }
    endMotion(.failed, "\(error)")
    drop()
    if shouldBeClosed {
      shouldBeClosed = false
      report(.lost("\(error)"))
    }
  }
}
