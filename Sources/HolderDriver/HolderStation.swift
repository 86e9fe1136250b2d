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
  /// What was told to stop or to open is not known to have done so; it is tried again until it is.
  case notAtRest(String)
  /// At last it has.
  case cameToRest
}

/// The holder as its thread owns it: connection, heartbeat, and whether the cell is meant to be connected.
package final class HolderStation {
  package let settings: HolderSettings
  private let bus: any USBBus
  let report: @Sendable (HolderReport) -> Void
  private var holder: (any Holder)?
  var shouldBeClosed = false
  /// Armed by us: it is made safe before we let go of it.
  package internal(set) var isArmed = false
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
  /// What must come to rest and is not known to have done so; nil when nothing is owed.
  var unrest: Unrest?

  /// Between two looks at a probe that moves, or two attempts to bring to rest what has not come to it.
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
    motion == nil && unrest == nil
      ? min(beatInterval, settings.readingPeriod) : min(beatInterval, Self.motionInterval)
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
    try settle()
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

  /// Contacts open, whatever else is going on, and held there until the latch is released. What fails is tried again with
  /// every tick.
  package func makeSafe() throws(InstrumentError) {
    latch.set()
    try bringToRest(.everything, ending: motionEnded(.stopped, "the cell was made safe"))
  }

  package func leakage(at bias: Volts) throws(InstrumentError) -> (resistance: Ohms, current: Amperes) {
    try refuseWhenGrounded("its leakage cannot be measured")
    return try with { holder throws(InstrumentError) in try holder.leakage(at: bias) }
  }

  package func errors() throws(InstrumentError) -> [String] {
    try with { holder throws(InstrumentError) in try holder.errors() }
  }

  /// One heartbeat and one clock pair; every second beat, the state; readings when they are due. What is owed comes first,
  /// and until it is done no heartbeat is sent.
  package func tick() {
    guard let holder else { return }
    guard isSettled() else { return }
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
    if isArmed || unrest != nil, let holder {
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
    // Without its cable the holder opens everything and stops by itself (holder.md §4.4).
    unrest = nil
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

  func lose(_ error: InstrumentError) {
    guard error.isGone else { return }
    if let ending = motionEnded(.failed, "\(error)") { endMotion(ending) }
    drop()
    if shouldBeClosed {
      shouldBeClosed = false
      report(.lost("\(error)"))
    }
  }
}
