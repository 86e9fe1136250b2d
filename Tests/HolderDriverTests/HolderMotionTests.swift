import EmulatedUSB
import HolderDriver
import Linux
import NanobatteryTwin
import Quantities
import Testing
import TwinBench
import USB

private final class Motions: Sendable {
  let latch = SafetyLatch()
  private let all = Monitor<[HolderReport]>([])
  func add(_ report: HolderReport) { all.update { $0.append(report) } }
  var phases: [MotionProgress] { all.read { $0.compactMap { if case .motion(let p) = $0 { p } else { nil } } } }
  var readings: [[HolderReading]] {
    all.read { $0.compactMap { if case .readings(let r) = $0 { r } else { nil } } }
  }
}

private func with(
  _ twin: (inout OpenBiasingHolder.Settings) -> Void = { _ in }, _ change: (inout HolderSettings) -> Void = { _ in },
  _ body: (TwinBench, HolderStation, Motions) throws -> Void
) throws {
  var settings = TwinInstruments.Settings()
  twin(&settings.holder)
  let bench = try TwinBench(settings)
  defer { bench.end() }
  let motions = Motions()
  var holder = HolderSettings(
    model: "obh-1", usb: TwinBench.holder, contacts: HolderContacts(working: 1, counter: 2),
    heartbeatTimeout: Seconds(5))
  change(&holder)
  let station = HolderStation(holder, bus: bench.bus, latch: motions.latch) { motions.add($0) }
  try body(bench, station, motions)
}

private typealias OpenBiasingHolder = NanobatteryTwin.OpenBiasingHolder

/// Ticks as the holder's thread does, until the probe rests.
private func run(_ station: HolderStation, within limit: Double = 20) {
  let end = MonotonicTime.now + Seconds(limit)
  while station.isMoving, MonotonicTime.now < end {
    sleepThread(for: station.tickInterval)
    station.tick()
  }
}

@Suite("A probe, a heater and inputs behind an open biasing holder")
struct HolderMotionTests {
  @Test("The probe is brought to contact with one coarse step, stays there, and the contacts are open again")
  func approach() throws {
    try with({ $0.probe.gap = 1e-6 }) { bench, station, motions in
      _ = try station.connect()
      try station.beginApproach(axis: nil, mostSteps: 5)
      run(station)
      let end = try #require(station.lastMotion)
      #expect(end.phase == .contact, "\(end.message)")
      #expect(end.steps == 1)
      let resistance = try #require(end.resistance?.value)
      #expect(resistance > 0.9e8 && resistance < 1.1e9, "\(resistance)")
      // A contact is believed at the first look: what was read on the way there does not count.
      #expect(
        motions.phases.map(\.phase) == [
          .retracting, .extending, .retracting, .stepping, .extending, .confirming, .contact,
        ])
      #expect(station.state?.name == "SAFE_OPEN")
      #expect(try station.closedChannels().isEmpty)
      let gap = bench.instruments.holder.perform { bench.instruments.openHolder.tipGap(at: .now) }
      #expect(gap < 0.2e-9, "\(gap)")
      // What a run does next finds its electrode.
      try station.arm()
      try station.closeContacts()
      #expect(bench.world.connection.contactsClosed)
      try station.makeSafe()
    }
  }

  @Test("An approach ends after its steps, and an operator's stop ends it at once")
  func bounded() throws {
    try with({ $0.probe.gap = 100e-6 }) { _, station, _ in
      _ = try station.connect()
      try station.beginApproach(axis: nil, mostSteps: 0)
      run(station)
      #expect(station.lastMotion?.phase == .failed)
      #expect(station.lastMotion?.message.contains("--max-steps") == true)
      #expect(station.state?.name == "SAFE_OPEN")

      try station.beginApproach(axis: nil, mostSteps: 5)
      #expect(throws: USB.InstrumentError.self) { try station.beginRetract(axis: nil, steps: 1) }
      for _ in 0..<3 { station.tick() }
      try station.stopMotion()
      #expect(!station.isMoving)
      #expect(station.lastMotion?.phase == .stopped)
      #expect(station.state?.name == "SAFE_OPEN")
    }
  }

  @Test("The safe state ends a motion and keeps the next one from beginning")
  func madeSafe() throws {
    try with({ $0.probe.gap = 100e-6 }) { _, station, motions in
      _ = try station.connect()
      try station.beginApproach(axis: nil, mostSteps: 5)
      try station.makeSafe()
      #expect(!station.isMoving)
      #expect(motions.phases.last?.phase == .stopped)
      #expect(throws: USB.InstrumentError.self) { try station.beginApproach(axis: nil, mostSteps: 5) }
    }
  }

  @Test("Taken back, the probe is off the sample by its fine range and its steps")
  func retract() throws {
    try with { bench, station, _ in
      _ = try station.connect()
      try station.beginRetract(axis: nil, steps: 3)
      run(station)
      #expect(station.lastMotion?.phase == .retracted)
      #expect(station.lastMotion?.steps == -3)
      let gap = bench.instruments.holder.perform { bench.instruments.openHolder.tipGap(at: .now) }
      #expect(abs(gap - (750e-9 + 3 * 480e-9 - 0.5e-9)) < 5e-9, "\(gap)")
    }
  }

  @Test("A holder that is pulled while the probe moves ends the motion and says so")
  func unplugged() throws {
    try with({ $0.probe.gap = 100e-6 }) { bench, station, motions in
      _ = try station.connect()
      try station.beginApproach(axis: nil, mostSteps: 5)
      station.tick()
      bench.instruments.holder.unplug()
      run(station, within: 5)
      #expect(!station.isMoving)
      #expect(motions.phases.last?.phase == .failed)
    }
  }

  @Test("The heater goes to its temperature and stays on through the end of a motion, not through the safe state")
  func heater() throws {
    let chip = HeaterChip(
      resistance: Ohms(120), temperature: Kelvins(293.15), alpha: 0.0012, beta: 0, maximumCurrent: Amperes(0.02),
      maximumTemperature: Kelvins(1273.15), serial: "C-17")
    try with(
      { _ in },
      {
        $0.profile.chip = chip
        $0.profile.heaterLines = HeaterLines(forceHigh: 5, forceLow: 6, senseHigh: 7, senseLow: 8)
        $0.profile.heaterRamp = 5000
      }
    ) { bench, station, _ in
      _ = try station.connect()
      #expect(throws: USB.InstrumentError.self) { try station.heat(to: Kelvins(1500)) }
      try station.heat(to: Kelvins(celsius: 350))
      #expect(try station.closedChannels().map(\.description).sorted() == ["5!6", "6!7", "7!8", "8!9"])
      #expect(station.state?.contactsClosed == false, "heater lines are no contact to the cell")
      // The emulated chip needs 66 ms of ramp and some of settling; a bounded wait for what has to come.
      let end = MonotonicTime.now + Seconds(5)
      var reading = try station.heaterReading()
      while abs((reading?.temperature.value ?? 0) - 623.15) > 0.5, MonotonicTime.now < end {
        sleepThread(for: Seconds(0.02))
        reading = try station.heaterReading()
      }
      let hot = try #require(reading)
      #expect(abs(hot.temperature.value - 623.15) < 0.5)
      #expect(abs(try #require(chip.temperature(of: hot.resistance)).value - hot.temperature.value) < 0.1)
      // Leakage is measured with a hot heater: its lines have nothing to do with the cell.
      #expect(try station.leakage(at: Volts(1)).resistance.value > 1e9)
      try station.beginRetract(axis: nil, steps: 0)
      run(station)
      #expect(station.isHeating)
      #expect((try station.heaterReading()?.temperature.value ?? 0) > 600)
      try station.makeSafe()
      #expect(!station.isHeating)
      _ = bench
    }
  }

  @Test("Readings come with quantity and unit, at no more than the configured rate")
  func readings() throws {
    try with({ $0.probe.gap = -5e-9 }) { _, station, motions in
      _ = try station.connect()
      for _ in 0..<5 { station.tick() }
      #expect(motions.readings.count == 1, "five ticks at once are one reading")
      let first = try #require(motions.readings.first)
      #expect(first.first { $0.quantity == "force" } == HolderReading("force", 1e-9, "N"))
      #expect(first.first { $0.quantity == "pressure" } == HolderReading("pressure", 2.1e-5, "Pa"))
      #expect(first.first { $0.quantity == "beam_blanked" }?.value == 0)
      #expect(first.contains { $0.quantity == "piezo_z" && $0.unit == "V" })
    }
  }

  @Test("Edges at a trigger input come with the holder's time, and those that were read are not read again")
  func edges() throws {
    try with { bench, station, _ in
      _ = try station.connect()
      bench.instruments.holder.perform {
        for _ in 0..<3 { bench.instruments.openHolder.edge(input: 2, rising: true, at: .now) }
      }
      let edges = try station.edges()
      #expect(edges.map(\.count) == [1, 2, 3])
      #expect(edges.allSatisfy { $0.input == 2 && $0.isRising && $0.time_us > 0 })
      #expect(try station.edges().isEmpty)
    }
  }

  @Test("A pair that shorts the cell is refused whatever else is said, and nothing moves")
  func shorts() throws {
    try with { bench, station, _ in
      _ = try station.connect()
      try station.arm()
      let error = #expect(throws: USB.InstrumentError.self) {
        try station.route([HolderChannel(1, 1), HolderChannel(2, 1)])
      }
      #expect("\(try #require(error))".contains("-221"))
      #expect(try station.closedChannels().isEmpty)
      #expect(try station.route([HolderChannel(1, 1), HolderChannel(2, 2)]).count == 2)
      #expect(bench.world.connection.contactsClosed)
      try station.openAll()
      #expect(!bench.world.connection.contactsClosed)
    }
  }

  @Test("An interlock that opens while the probe moves ends the motion soon, and nothing counts as armed any more")
  func interlockWhileMoving() throws {
    try with({ $0.probe.gap = 100e-6 }) { bench, station, _ in
      func interlock(_ isClosed: Bool) {
        bench.instruments.holder.perform {
          bench.instruments.openHolder.setInterlock(
            key: true, vacuum: isClosed, holder: true, temperature: true, at: .now)
        }
      }
      _ = try station.connect()
      try station.beginApproach(axis: nil, mostSteps: 100)
      for _ in 0..<20 where station.lastMotion?.phase != .extending {
        sleepThread(for: station.tickInterval)
        station.tick()
      }
      #expect(station.lastMotion?.phase == .extending)
      interlock(false)
      run(station, within: 3)
      #expect(station.lastMotion?.phase == .failed)
      #expect(station.lastMotion?.message.contains("INTERLOCK") == true, "\(station.lastMotion?.message ?? "")")
      #expect(!station.isArmed)
      interlock(true)
      // The next order arms anew instead of failing for ever.
      try station.beginRetract(axis: nil, steps: 0)
      run(station)
      #expect(station.lastMotion?.phase == .retracted)
    }
  }

  @Test(
    "An answer that does not come while the probe moves stops the tip and opens the contacts, although the holder is there"
  )
  func silentWhileMoving() throws {
    try with({ $0.probe.gap = 100e-6 }) { bench, station, _ in
      _ = try station.connect()
      try station.beginApproach(axis: nil, mostSteps: 100)
      for _ in 0..<20 where station.lastMotion?.phase != .extending {
        sleepThread(for: station.tickInterval)
        station.tick()
      }
      #expect(try !station.closedChannels().isEmpty)
      bench.instruments.holder.inject(USBFault(endpoint: 0x01, transfer: 2, kind: .stall))
      station.tick()
      #expect(station.lastMotion?.phase == .failed)
      #expect(!station.isMoving)
      #expect(try station.closedChannels().isEmpty)
      #expect(station.state?.name == "SAFE_OPEN")
      let voltages = bench.instruments.holder.perform { bench.instruments.openHolder.tipGap(at: .now) }
      sleepThread(for: Seconds(0.05))
      #expect(bench.instruments.holder.perform { bench.instruments.openHolder.tipGap(at: .now) } == voltages)
    }
  }

  @Test("What is refused half way leaves nothing armed; grounded contacts are named as the reason")
  func halfWay() throws {
    try with { _, station, _ in
      _ = try station.connect()
      #expect(throws: USB.InstrumentError.self) { try station.route([HolderChannel(1, 1), HolderChannel(2, 1)]) }
      #expect(!station.isArmed)
      #expect(station.state?.name == "SAFE_OPEN")
      try station.insert(true)
      for attempt in [{ try station.arm() }, { _ = try station.leakage(at: Volts(1)) }] {
        let error = #expect(throws: USB.InstrumentError.self) { try attempt() }
        #expect("\(try #require(error))".contains("insert off"))
      }
    }
  }

  @Test("Insertion grounds the contacts and arming waits for its end")
  func insert() throws {
    try with { _, station, _ in
      _ = try station.connect()
      try station.insert(true)
      #expect(station.state?.name == "INSERT")
      #expect(station.state?.contactsClosed == false)
      #expect(throws: USB.InstrumentError.self) { try station.arm() }
      try station.insert(false)
      #expect(station.state?.name == "SAFE_OPEN")
      try station.arm()
    }
  }

  @Test("What is not fitted is said in a sentence, before anything is changed")
  func notFitted() throws {
    try with({ $0.options = [] }) { _, station, motions in
      _ = try station.connect()
      #expect(station.abilities == HolderDriver.OpenBiasingHolder.always)
      for attempt in [
        { try station.beginApproach(axis: nil, mostSteps: 1) }, { try station.heat(to: Kelvins(500)) },
        { try station.blank(true) },
      ] {
        let error = #expect(throws: USB.InstrumentError.self) { try attempt() }
        #expect("\(try #require(error))".contains("fitted"))
      }
      #expect(station.state?.name == "SAFE_OPEN")
      station.tick()
      #expect(motions.readings.isEmpty)
    }
  }
}
