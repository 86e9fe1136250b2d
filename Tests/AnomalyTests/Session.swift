import EmulatedUSB
import HolderDriver
import Linux
import NanobatteryTwin
import Potentiostat
import Quantities
import TwinBench
import USB

/// One session of a laboratory in simulated time: potentiostat and holder of the twin through their drivers and stations,
/// from connecting to the safe state, with a fault at one transfer.
final class Session {
  /// What became of it.
  struct Outcome {
    /// Transfers of the faulty device, with all that came after.
    var transfers = 0
    /// The cell is open: the source's output or the contacts.
    var isCellOpen = false
    /// The longest that any one call took, of simulated time.
    var longestCall = Seconds(0)
    var longestCallName = ""
    /// By name of the call: the longest of them.
    var calls: [String: Seconds] = [:]
    /// Somebody said that something is wrong; nil when the session went on as if nothing had been.
    var complaint: String?
    /// Samples of the last bias.
    var lastSamples = 0
    /// The instruments could be used again afterwards, after a device that was unplugged had been put back.
    var isUsable = false
    var usableProblem = ""
    /// Answers that were damaged.
    var damaged = 0
    /// Transfers that nobody waits for any more.
    var pending = 0
  }

  /// Of the cell, and what is done to it: what the model can apply.
  private struct Voltages {
    /// Base of the cell's open-circuit curve, V.
    var cell = CellParameters().curve.base
    var limits = Volts(-1)...Volts(5)
    var hold = Volts(3.25)

    init(_ model: String) {
      guard let reach = PalmSensModel.all.first(where: { $0.name == model })?.potential, reach.upperBound < 5 else {
        return
      }
      cell = 0.9
      limits = Volts(-0.5)...Volts(1.6)
      hold = Volts(0.75)
    }
  }

  enum Device { case potentiostat, holder }

  private let world: World
  private let instruments: TwinInstruments
  private let bus: InProcessBus
  private let damaging: MutatingBus?
  private let clock: SimulatedClock
  private let latch = SafetyLatch()
  private let potentiostat: PotentiostatStation
  private let holder: HolderStation
  private let reports = Reports()
  private var outcome = Outcome()
  private let voltages: Voltages
  /// What the driver keeps up; known once it is connected.
  private var period: Seconds { max(Seconds(0.02), potentiostat.shortestPeriod) }

  private final class Reports: @unchecked Sendable {
    var complaint: String?
    var samples = 0
  }

  /// The way of a session ended where something failed.
  private struct Ended: Error {}

  /// - Parameter damage: seed of a generator that damages answers of all instruments.
  init(model: String, fault: USBFault?, on device: Device, damage: UInt64? = nil) {
    let start = MonotonicTime(nanoseconds: 1_000_000_000_000)
    let time = Monitor(start)
    let now: @Sendable () -> MonotonicTime = { time.read { $0 } }
    let voltages = Voltages(model)
    self.voltages = voltages
    var cell = CellParameters()
    cell.thermalNoise = false
    cell.curve.base = voltages.cell
    world = World(WorldSettings(cell: cell, seed: 1, start: start))
    func instrumentClock(_ offset: Double, _ drift: Double) -> DeviceClock {
      DeviceClock(offset: Seconds(offset), driftPPM: drift, origin: start)
    }
    let twin = TwinPotentiostatModels.named(model)!
    instruments = TwinInstruments(
      TwinInstruments.Settings(), model: (twin, TwinPotentiostatSettings()), cell: world,
      potentiostatClock: instrumentClock(3.7, 35), holderClock: instrumentClock(12.4, -18), now: now)
    let bus = InProcessBus(simulating: [instruments.potentiostat, instruments.holder])
    self.bus = bus
    // Often, so that recovery is damaged too; seldom, so that a session comes far.
    damaging = damage.map { MutatingBus(wrapping: bus, seed: $0, oneIn: $0 % 2 == 0 ? 20 : 150) }
    let stationBus: any USBBus = damaging ?? bus
    clock = SimulatedClock(start: start, grain: Seconds(0.002)) { now in
      time.update { $0 = now }
      bus.step(now)
    }
    let potentiostatMatch = USBMatch(
      vendor: instruments.potentiostat.descriptors.vendor, product: instruments.potentiostat.descriptors.product)
    let reports = reports
    potentiostat = PotentiostatStation(
      PotentiostatSettings(model: model, usb: potentiostatMatch), bus: stationBus, latch: latch
    ) { report in
      switch report {
      case .samples(let samples, _): reports.samples += samples.count
      case .tripped(let reason), .failed(let reason), .lost(let reason):
        reports.complaint = reports.complaint ?? reason
      case .notes: break
      }
    }
    holder = HolderStation(
      HolderSettings(
        model: "obh-1", usb: TwinBench.holder, contacts: HolderContacts(working: 1, counter: 2),
        heartbeatTimeout: Seconds(2)), bus: stationBus, latch: latch
    ) { report in
      switch report {
      case .failed(let reason), .lost(let reason), .openedItself(let reason):
        reports.complaint = reports.complaint ?? reason
      default: break
      }
    }
    if let fault { (device == .potentiostat ? instruments.potentiostat : instruments.holder).inject(fault) }
    self.device = device
  }
  private let device: Device

  func run() -> Outcome {
    clock.run {
      do throws(Ended) { try work() } catch {}
      makeSafe()
      outcome.complaint = reports.complaint
      outcome.isCellOpen = isCellOpen
      outcome.transfers = emulated.transferCount
      comeBack()
      // A transfer that is kept posted for what may come is met by whoever is spoken to next. The session went well to its
      // end then; the one after it is told, and the next one works.
      if !outcome.isUsable, outcome.complaint == nil { comeBack() }
      potentiostat.close()
      holder.close()
      outcome.pending = emulated.pendingCount
    }
    return outcome
  }

  private var emulated: EmulatedUSBDevice { device == .potentiostat ? instruments.potentiostat : instruments.holder }

  private var isCellOpen: Bool {
    world.advance(to: clock.now)
    let connection = world.connection
    return connection.terminal.isHighImpedance || !connection.contactsClosed
  }

  // MARK: The session

  private func work() throws(Ended) {
    try connectCell()
    try call("rest") { () throws(InstrumentError) in try potentiostat.apply(.current(.zero)) }
    try sample(for: period * 3)
    if potentiostat.abilities.holdsCurrent {
      try call("charge") { () throws(InstrumentError) in try potentiostat.apply(.current(Amperes(2e-12))) }
      try sample(for: period * 3)
    }
    try call("hold") { () throws(InstrumentError) in try potentiostat.apply(.voltage(voltages.hold)) }
    reports.samples = 0
    try sample(for: period * 6)
    outcome.lastSamples = reports.samples
  }

  /// - Parameter isWhole: with leakage and zero, as a run does it.
  private func connectCell(isWhole: Bool = true) throws(Ended) {
    try call("connect holder") { () throws(InstrumentError) in _ = try holder.connect() }
    try call("connect") { () throws(InstrumentError) in _ = try potentiostat.connect() }
    let acquisition = Acquisition(
      period: period, currentRange: Amperes(1e-6), voltageRange: Volts(20),
      limits: CellLimits(voltage: voltages.limits, current: Amperes(-1e-6)...Amperes(1e-6)))
    try call("prepare") { () throws(InstrumentError) in try potentiostat.prepare(acquisition) }
    if isWhole {
      try call("leakage") { () throws(InstrumentError) in _ = try holder.leakage(at: Volts(1)) }
    }
    try call("arm") { () throws(InstrumentError) in try holder.arm() }
    if isWhole {
      try call("zero") { () throws(InstrumentError) in
        _ = try potentiostat.measureZero(of: Amperes(1e-6), for: period * 10)
      }
    }
    try call("close contacts") { () throws(InstrumentError) in try holder.closeContacts() }
  }

  /// As the threads of the daemon do it: polls, beats.
  private func sample(for span: Seconds) throws(Ended) {
    let end = clock.now + span
    var nextBeat = clock.now
    while clock.now < end {
      measure("poll") { potentiostat.tick() }
      if clock.now >= nextBeat {
        measure("beat") { holder.tick() }
        nextBeat = clock.now + holder.beatInterval
      }
      if reports.complaint != nil { throw Ended() }
      sleepThread(for: potentiostat.pollInterval)
    }
  }

  /// As the controller does it, in the one order there is.
  private func makeSafe() {
    measure("safe potentiostat") { attempt { () throws(InstrumentError) in try potentiostat.makeSafe() } }
    measure("safe holder") { attempt { () throws(InstrumentError) in try holder.makeSafe() } }
    // A holder that cannot be reached opens the cell when nobody beats.
    if !isCellOpen { sleepThread(for: holder.settings.heartbeatTimeout + Seconds(0.1)) }
    // What the instruments noted belongs to the run that ends.
    measure("notes") { potentiostat.checkConnection() }
  }

  /// The device is put back where it was unplugged, and everything works again.
  private func comeBack() {
    sleepThread(for: Seconds(0.4))
    // A session that was shorter than the one it is held against has not met its fault.
    emulated.forgetFaults()
    if !instruments.potentiostat.isPlugged { instruments.potentiostat.plug() }
    if !instruments.holder.isPlugged { instruments.holder.plug() }
    damaging?.heal()
    outcome.damaged = damaging?.count ?? 0
    latch.release()
    outcome.usableProblem = ""
    let complaint = reports.complaint
    reports.complaint = nil
    do throws(Ended) {
      try connectCell(isWhole: false)
      try call("rest again") { () throws(InstrumentError) in try potentiostat.apply(.current(.zero)) }
      reports.samples = 0
      try sample(for: period * 6)
      outcome.isUsable = reports.samples > 0
      if reports.samples == 0 { outcome.usableProblem = "no samples" }
    } catch { outcome.usableProblem = reports.complaint ?? "?" }
    reports.complaint = complaint
    makeSafe()
  }

  // MARK: Calls

  private func call(_ name: String, _ body: () throws(InstrumentError) -> Void) throws(Ended) {
    var failure: InstrumentError?
    measure(name) { do throws(InstrumentError) { try body() } catch { failure = error } }
    guard let failure else { return }
    reports.complaint = reports.complaint ?? "\(name): \(failure)"
    throw Ended()
  }

  private func attempt(_ body: () throws(InstrumentError) -> Void) {
    do throws(InstrumentError) { try body() } catch { reports.complaint = reports.complaint ?? "\(error)" }
  }

  private func measure(_ name: String, _ body: () -> Void) {
    let began = clock.now
    body()
    let took = clock.now - began
    outcome.calls[name] = max(took, outcome.calls[name] ?? .zero)
    if took > outcome.longestCall {
      outcome.longestCall = took
      outcome.longestCallName = name
    }
  }
}
