package import Quantities

/// An open biasing holder OBH-1 (holder.md §4, docs/obh-1.md): relay matrix, bias source, meter, piezo with contact
/// detection, heater, heartbeat, interlock, safe state.
///
/// The cell is driven by the source-measure unit at taps 1 and 2. The holder's own source and meter (taps 4 and 5) see the
/// contact of the probe, not the cell's chemistry.
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
    /// Ω between a line and everything else while the guard is off: 36 GΩ, as of a real multi-contact holder (§1).
    package var unguardedInsulation = 36e9
    /// A rms of one reading of the contact detection (1 ms).
    package var contactNoise = 1e-12
    /// What is fitted; commands of the rest are refused with −241.
    package var options = Set(Option.allCases)
    package var probe = ProbeContact()
    /// K/W and s of the chip's heater: 30 mW make 1000 K.
    package var thermalResistance = 3.3e4
    package var thermalTimeConstant = 5e-3
    /// Inputs with their names, values and units.
    package var auxiliary: [(name: String, value: Double, unit: String)] = [
      ("pressure", 2.1e-5, "Pa"), ("faraday_cup", 1.2e-9, "A"),
    ]
    /// The key is in INSERT when the holder is switched on: the shunt bank grounds every contact.
    package var isKeyInInsert = false
    package var seed: UInt64 = 1

    package init() {}
  }

  /// What a holder may have or lack; the names of `*OPT?`.
  package enum Option: String, CaseIterable, Sendable {
    case piezo = "PIEZO"
    case heater = "HEATER"
    case force = "FORCE"
    case auxiliary = "AUX"
    case blank = "BLANK"
  }

  enum TriggerOutput: String { case off = "OFF", sample = "SAMP", step = "STEP", contact = "CONT" }
  enum TriggerInput: String { case immediate = "IMM", bus = "BUS", external = "EXT" }

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
    case coarse(Int)
    case contact(Double)
    case heater(String)
    case blank(Bool)
    case shunt(closed: Bool)
    /// At the trigger output.
    case pulse
  }

  enum OperationBit {
    static let settling = 1
    static let ranging = 2
    static let sweeping = 3
    static let measuring = 4
    static let waitingForTrigger = 5
    static let coarseMoving = 8
    static let contact = 9
    static let regulating = 10
    static let outputOn = 11
    static let armed = 12
  }
  enum QuestionableBit {
    static let current = 1
    static let temperature = 4
    static let interlock = 9
    static let heartbeat = 10
    static let highVoltage = 11
    static let leakage = 12
    static let overflow = 14
  }

  static let heartbeatLost = SCPIError(301, "Heartbeat lost")
  static let interlockOpen = SCPIError(302, "Interlock open")
  static let hardwareFault = SCPIError(303, "Hardware fault")
  static let contactStop = SCPIError(304, "Contact stop")
  static let highVoltageFault = SCPIError(305, "Piezo high voltage fault")
  static let heaterSenseOpen = SCPIError(306, "Heater sense open")
  static let hardwareMissing = SCPIError(-241, "Hardware missing")
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

  var piezo = PiezoDrive()
  var detector = ContactDetector()
  var heater: ChipHeater
  var random: SeededRandom
  /// A that tests add to what the contact detection reads.
  var forcedCurrent = 0.0
  /// The last cycle of the firmware.
  var cycledTo: MonotonicTime
  var isBlanked = false
  var isGuarded = true
  var leakageLimit = 1e-10

  var list: [Double] = []
  var listDwell = 0.1
  var sweepStart: MonotonicTime?
  var sweepIndex = -1
  var isWaitingForTrigger = false
  var overcurrentSince: MonotonicTime?
  var isProtectionTripped = false
  var triggerOutput = TriggerOutput.off
  var triggerInput = TriggerInput.immediate
  var pulseLength = 1e-4
  var triggersOnRise = true
  /// Pulses at the trigger output so far.
  package internal(set) var pulses = 0
  /// Every contact is grounded through its resistor: while inserting, or by the key alone.
  package internal(set) var isShunted = false

  package init(_ settings: Settings, cell: any CellSide, clock: any InstrumentClock, at now: MonotonicTime) {
    self.settings = settings
    self.cell = cell
    self.clock = clock
    heater = ChipHeater(
      thermalResistance: settings.thermalResistance, timeConstant: settings.thermalTimeConstant)
    random = SeededRandom(seed: settings.seed, stream: 77)
    cycledTo = now
    enter(.boot, at: now)
    if settings.isKeyInInsert {
      interlock[0] = false
      status.questionable.set(QuestionableBit.interlock, true)
      shunt(true, at: now)
    }
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
    if !needsCycle { cycledTo = max(cycledTo, now) }
    while let due = [relays.nextAction, heartbeatDeadline, zeroSourcesAt, piezo.nextStepAt, nextCycle].compactMap(
      \.self
    )
    .min(), due <= now {
      measure(until: due)
      if nextCycle == due {
        runCycle(at: due)
        if !needsCycle { cycledTo = max(cycledTo, now) }
      } else if piezo.nextStepAt == due {
        piezo.step(settings.probe.coarsePerVolt, at: due)
        showContacts(at: due)
        showMotion(at: due)
      } else if zeroSourcesAt == due {
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
    status.operation.set(OperationBit.settling, relays.settledAt > now || meter.settledAt > now)
  }

  private var nextCycle: MonotonicTime? { needsCycle ? cycledTo + Self.cycle : nil }

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
      && relays.closed.contains(SCPIChannel(settings.counterLine, 2)) && gap(at: now) <= settings.probe.cellDistance
    guard isClosed != contactsClosed else { return }
    contactsClosed = isClosed
    cell.setContacts(closed: isClosed, at: now)
    cell.note("holder: contacts \(isClosed ? "closed" : "open") \(relays.text)", at: now)
  }

  package func operationsEnd(at now: MonotonicTime) -> MonotonicTime? {
    let sweepEnd = sweepStart.map { $0 + Seconds(listDwell * Double(list.count)) }
    return [relays.settledAt, zeroSourcesAt, meter.offsetReadyAt, piezo.coarseEnd, sweepEnd].compactMap(\.self)
      .reduce(now, max)
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
    detector = ContactDetector()
    list = []
    listDwell = 0.1
    isProtectionTripped = false
    triggerOutput = .off
    triggerInput = .immediate
    triggersOnRise = true
    isGuarded = true
    leakageLimit = 1e-10
  }

  package static var commands: [SCPICommand<OpenBiasingHolder>] {
    routeCommands + safetyCommands + sourceCommands + recordCommands + piezoCommands + heaterCommands + inputCommands
  }
}
