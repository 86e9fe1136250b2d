package import Quantities

/// An open biasing holder OBH-1 (holder.md §4): relay matrix, bias source, heartbeat, interlock, safe state.
///
/// The variant without piezo, contact detection and heater: their commands are unknown headers. Its own bias source and
/// meter exist electrically apart from the cell, which is driven by the source-measure unit at taps 1 and 2.
package final class OpenBiasingHolder: SCPIDevice {
  package struct Settings: Sendable {
    package var serial = "000001"
    package var firmware = "1.0.0"
    /// The lines that the cell's working and counter electrode are wired to.
    package var workingLine = 1
    package var counterLine = 2
    /// Ω between a line and everything else.
    package var insulation = 2e12
    /// A by which the holder's own meter is off.
    package var meterOffset = 40e-15

    package init() {}
  }

  package enum State: String, Sendable {
    case boot = "BOOT"
    case safeOpen = "SAFE_OPEN"
    case armed = "ARMED"
    case active = "ACTIVE"
    case insert = "INSERT"
    case fault = "FAULT"
  }

  package enum Cause: String, Sendable {
    case none = "NONE"
    case host = "HOST"
    case reset = "RESET"
    case heartbeat = "HEARTBEAT"
    case interlock = "INTERLOCK"
    case usb = "USB"
    case hardware = "HARDWARE"
  }

  /// What the log keeps, in the order in which it happened.
  package enum Event: Equatable, Sendable {
    case relay(SCPIChannel, closed: Bool)
    case bias(Double)
    case state(State)
  }

  enum OperationBit {
    static let settling = 1
    static let measuring = 4
    static let outputOn = 11
    static let armed = 12
  }
  enum QuestionableBit {
    static let interlock = 9
    static let heartbeat = 10
    static let overflow = 14
  }

  static let heartbeatLost = SCPIError(301, "Heartbeat lost")
  static let interlockOpen = SCPIError(302, "Interlock open")
  static let hardwareFault = SCPIError(303, "Hardware fault")
  /// Between the opening of the relays and the zeroing of the sources; holder.md §4.7 f asks for at least 1 ms.
  static let zeroDelay = Seconds(2e-3)
  static let maximumLog = 4096

  package let settings: Settings
  package let status = SCPIStatus()
  package let maximumMessage = 256
  let cell: any CellSide
  let clock: any InstrumentClock

  package internal(set) var state = State.boot
  package internal(set) var cause = Cause.none
  /// After a trip: arming, closing and switching on are refused until `SYST:SAF:CLE`.
  package internal(set) var isTripped = false
  package private(set) var log: [(time: MonotonicTime, event: Event)] = []
  var relays = RelayMatrix()
  private var contactsClosed = false
  var zeroSourcesAt: MonotonicTime?
  /// Lines to put to ground after the sources are zero (`SYST:SAF:ACT GRO`).
  var groundAfterZero: [SCPIChannel] = []

  var heartbeatTimeout = Seconds(5)
  var heartbeatToken: UInt32?
  var heartbeatReload = MonotonicTime(nanoseconds: .min)
  var heartbeatExpirations = 0

  var interlock = [true, true, true, true]
  var interlockMask = 15
  var groundsWhenSafe = false
  var cellIsDeclaredAbsent = false
  var holdsPiezoWhenSafe = true

  var bias = BiasSource()
  var meter = HolderMeter()
  var records = HolderFIFO<HolderRecord>()
  var edges = HolderFIFO<HolderEdge>()
  var edgeCount: UInt32 = 0

  package init(_ settings: Settings, cell: any CellSide, clock: any InstrumentClock, at now: MonotonicTime) {
    self.settings = settings
    self.cell = cell
    self.clock = clock
    enter(.boot, at: now)
    enter(.safeOpen, at: now)
    cell.setContacts(closed: false, at: now)
  }

  package var identity: String { "OPENHOLDER,OBH-1,\(settings.serial),\(settings.firmware)" }
  package var closedRelays: Set<SCPIChannel> { relays.closed }

  func record(_ event: Event, at time: MonotonicTime) {
    if log.count >= Self.maximumLog { log.removeFirst(Self.maximumLog / 2) }
    log.append((time, event))
  }

  func enter(_ next: State, at now: MonotonicTime) {
    guard next != state || next == .boot else { return }
    state = next
    record(.state(next), at: now)
    status.operation.set(OperationBit.armed, next == .armed || next == .active)
    status.operation.set(OperationBit.outputOn, next == .active)
    status.operation.set(OperationBit.measuring, next == .active)
    if next == .active { meter.nextStart = now }
  }

  // MARK: time

  /// Lets relays, heartbeat and sources do what is due, in the order of its time.
  package func advance(to now: MonotonicTime) {
    while let due = [relays.nextAction, heartbeatDeadline, zeroSourcesAt].compactMap(\.self).min(), due <= now {
      measure(until: due)
      if zeroSourcesAt == due {
        zeroSources(at: due)
      } else if relays.nextAction == due {
        while let action = relays.takeAction(until: due) { note(action) }
        showContacts(at: due)
      } else {
        heartbeatExpirations += 1
        status.questionable.happen(QuestionableBit.heartbeat)
        trip(.heartbeat, Self.heartbeatLost, at: due)
      }
    }
    measure(until: now)
    status.operation.set(OperationBit.settling, relays.settledAt > now)
  }

  /// The heartbeat runs while the holder is armed.
  var heartbeatDeadline: MonotonicTime? {
    guard state == .armed || state == .active, heartbeatTimeout.value > 0 else { return nil }
    return heartbeatReload + heartbeatTimeout
  }

  func note(_ action: RelayMatrix.Action) {
    record(.relay(action.channel, closed: action.closes), at: action.time)
  }

  /// The cell sees the source-measure unit while WE is at tap 1 and CE at tap 2.
  func showContacts(at now: MonotonicTime) {
    let isClosed =
      relays.closed.contains(SCPIChannel(settings.workingLine, 1))
      && relays.closed.contains(SCPIChannel(settings.counterLine, 2))
    guard isClosed != contactsClosed else { return }
    contactsClosed = isClosed
    cell.setContacts(closed: isClosed, at: now)
    cell.note("holder: contacts \(isClosed ? "closed" : "open") \(relays.text)", at: now)
  }

  package func operationsEnd(at now: MonotonicTime) -> MonotonicTime? {
    max(now, max(relays.settledAt, max(zeroSourcesAt ?? now, meter.offsetReadyAt ?? now)))
  }

  package func reset(at now: MonotonicTime) {
    makeSafe(.reset, at: now)
    relays.makesBeforeBreak = false
    relays.settlingTime = Seconds(2e-3)
    relays.forbidden = []
    heartbeatTimeout = Seconds(5)
    interlockMask = 15
    groundsWhenSafe = false
    cellIsDeclaredAbsent = false
    holdsPiezoWhenSafe = true
    let level = bias.level(at: now)
    bias = BiasSource()
    bias.hold(level, at: now)
    meter = HolderMeter()
    records = HolderFIFO()
  }

  package func trigger(at now: MonotonicTime) {}

  package static var commands: [SCPICommand<OpenBiasingHolder>] {
    routeCommands + safetyCommands + sourceCommands + recordCommands
  }
}
