import EmulatedUSB
import Linux
import NanobatteryTwin
import Quantities
import Testing
import TwinBench
import USB

@testable import Potentiostat

/// A model, and what is reasonable to ask of it.
struct Subject: Sendable, CustomTestStringConvertible {
  var hardware: PalmSensHardware
  var range: Amperes
  var most: Amperes
  var testDescription: String { hardware.name }

  static let lr = Subject(hardware: .emStat4LR, range: Amperes(1e-9), most: Amperes(200e-12))
  static let hr = Subject(hardware: .emStat4HR, range: Amperes(100e-9), most: Amperes(400e-12))
  static let nexus = Subject(hardware: .nexus, range: Amperes(100e-12), most: Amperes(200e-12))
  static let pico = Subject(hardware: .emStatPico, range: Amperes(60e-9), most: Amperes(20e-9))
  static let all = [lr, hr, nexus, pico]
  static let galvanostats = [lr, hr, nexus]

  func acquisition(voltage: ClosedRange<Volts> = Volts(-0.5)...Volts(1.6), period: Double = 0.02) -> Acquisition {
    Acquisition(
      period: Seconds(period), currentRange: range, voltageRange: Volts(2),
      limits: CellLimits(voltage: voltage, current: -most...most))
  }
}

private struct Table {
  let bench: PalmSensBench
  let station: PotentiostatStation
  let reports = StationReports()

  init(_ subject: Subject, _ settings: MethodScriptInstrument.Settings = .init()) throws {
    bench = try PalmSensBench(subject.hardware, settings)
    station = PotentiostatStation(
      PotentiostatSettings(model: subject.hardware.name, usb: bench.match), bus: bench.bus, latch: reports.latch
    ) { [reports] in reports.add($0) }
  }

  func poll(for span: Double, until isDone: () -> Bool = { false }) {
    let end = MonotonicTime.now + Seconds(span)
    while MonotonicTime.now < end, !isDone() {
      station.tick()
      sleepThread(for: Seconds(0.003))
    }
  }
  var isOpen: Bool { bench.world.connection.terminal == .highImpedance }
}

private func with(
  _ subject: Subject, _ settings: MethodScriptInstrument.Settings = .init(), _ body: (Table) throws -> Void
) throws {
  let table = try Table(subject, settings)
  defer { table.bench.end() }
  try body(table)
}

private let polarise = "e\nset_pgstat_mode 2\nset_e 500m\ncell_on\n"

@Suite("PalmSens potentiostats with their station")
struct PalmSensStationTests {
  @Test("The instrument says what it is, and another model is refused by what it is", arguments: Subject.all)
  func identity(subject: Subject) throws {
    try with(subject) { table in
      let found = try table.station.connect()
      #expect(found.manufacturer == "PalmSens" && found.serial == subject.hardware.serial)
      #expect(table.station.range?.range == subject.range)
      #expect(table.station.abilities.holdsCurrent == (subject.hardware.name != "emstat-pico"))
      let wrong = PotentiostatStation(
        PotentiostatSettings(
          model: subject.hardware.name == "nexus" ? "emstat4-lr" : "nexus", usb: table.bench.match),
        bus: table.bench.bus
      ) { _ in }
      table.station.close()
      #expect(throws: USB.InstrumentError.self) { try wrong.connect() }
    }
  }

  @Test("A script that nobody watches is closed on connecting, and its cell with it", arguments: Subject.all)
  func forgottenScript(subject: Subject) throws {
    try with(subject) { table in
      table.bench.type(polarise + "wait 1000\n\n")
      #expect(table.bench.wait { $0.isCellOn && $0.isRunning })
      _ = try table.station.connect()
      #expect(!table.bench.isCellOn && !table.bench.isRunning)
      #expect(table.isOpen)
    }
  }

  @Test("Connecting to an idle instrument changes nothing; preparing opens the cell")
  func idleWithCellOn() throws {
    try with(.lr) { table in
      table.bench.type(polarise + "\n")
      #expect(table.bench.wait { $0.isCellOn && !$0.isRunning })
      _ = try table.station.connect()
      #expect(table.bench.isCellOn, "nothing was changed")
      #expect(!table.bench.received.contains("r"))
      try table.station.prepare(Subject.lr.acquisition())
      #expect(!table.bench.isCellOn && table.isOpen)
    }
  }

  @Test("A half-typed script is flushed and not carried out")
  func halfTyped() throws {
    try with(.lr) { table in
      table.bench.type("l\nset_pgstat_mode 2\nset_e 500m\ncell_")
      _ = try table.station.connect()
      #expect(!table.bench.isCellOn)
      try table.station.prepare(Subject.lr.acquisition())
    }
  }

  @Test("The zero that is read with the contacts open is the meter's offset, and is subtracted")
  func zero() throws {
    var settings = MethodScriptInstrument.Settings()
    settings.common.measureOffset = 5e-12
    try with(.lr, settings) { table in
      _ = try table.station.connect()
      try table.station.prepare(Subject.lr.acquisition())
      let zero = try table.station.measureZero(of: Amperes(1e-9), for: Seconds(0.6))
      #expect(abs(zero.current.value - 5e-12) < 10 * zero.standardError.value + 50e-15)
      #expect(table.isOpen, "the cell is off again")
      table.bench.world.setContacts(closed: true, at: .now)
      try table.station.apply(.current(Amperes(20e-12)))
      table.poll(for: 3) { table.reports.samples.count > 15 }
      let currents = table.reports.samples.dropFirst(3).compactMap(\.current?.value)
      try #require(currents.count > 5)
      #expect(abs(currents.reduce(0, +) / Double(currents.count) - 20e-12) < 0.3e-12)
    }
  }

  @Test("A rest reads the voltage with the cell off", arguments: Subject.all)
  func rest(subject: Subject) throws {
    try with(subject) { table in
      _ = try table.station.connect()
      try table.station.prepare(subject.acquisition())
      table.bench.world.setContacts(closed: true, at: .now)
      try table.station.apply(.current(.zero))
      table.poll(for: 3) { table.reports.samples.count > 8 }
      let samples = table.reports.samples
      #expect(samples.count > 8)
      let truth = table.bench.world.cell.voltage
      #expect(samples.allSatisfy { $0.current == nil && $0.flags.contains(.openCircuit) })
      #expect(abs((samples.last?.voltage?.value ?? 0) - truth) < 0.01)
      #expect(!table.bench.isCellOn && table.isOpen)
      #expect(zip(samples, samples.dropFirst()).allSatisfy { $0.deviceNanoseconds < $1.deviceNanoseconds })
    }
  }

  @Test(
    "A hold begins at the voltage that the cell has and reaches its set point in small steps", arguments: Subject.all)
  func hold(subject: Subject) throws {
    try with(subject) { table in
      _ = try table.station.connect()
      try table.station.prepare(subject.acquisition())
      table.bench.world.setContacts(closed: true, at: .now)
      try table.station.apply(.current(.zero))
      table.poll(for: 3) { table.reports.samples.count > 5 }
      let resting = try #require(table.reports.samples.last?.voltage)
      try table.station.apply(.voltage(resting + Volts(0.1)))
      #expect(table.bench.isCellOn)
      func held() -> Int { table.reports.samples.filter { $0.current != nil && !$0.flags.contains(.settling) }.count }
      table.poll(for: 3) { held() > 5 }
      let samples = table.reports.samples.drop { !$0.flags.contains(.settling) }
      let ramp = samples.filter { $0.flags.contains(.settling) }.compactMap(\.voltage?.value)
      #expect(ramp.count >= 9)
      #expect(abs((ramp.first ?? 0) - resting.value) < 0.012, "the ramp begins where the cell is")
      #expect(zip(ramp, ramp.dropFirst()).allSatisfy { $1 - $0 < 0.0105 && $1 >= $0 })
      let held = try #require(samples.last)
      #expect(abs((held.voltage?.value ?? 0) - resting.value - 0.1) < 0.001)
      #expect(held.range == subject.range && held.current != nil)
      #expect(table.reports.trips.isEmpty && table.reports.failures.isEmpty, "\(table.reports.failures)")
      try table.station.apply(.open)
      #expect(table.isOpen)
    }
  }

  @Test("A current is held from 0 A on", arguments: Subject.galvanostats)
  func current(subject: Subject) throws {
    try with(subject) { table in
      _ = try table.station.connect()
      try table.station.prepare(subject.acquisition())
      table.bench.world.setContacts(closed: true, at: .now)
      let wanted = subject.most * 0.25
      try table.station.apply(.current(wanted))
      func held() -> [Sample] { table.reports.samples.filter { !$0.flags.contains(.openCircuit) } }
      table.poll(for: 3) { held().count > 5 }
      let samples = held()
      let currents = samples.compactMap(\.current?.value)
      try #require(currents.count > 3)
      let mean = currents.reduce(0, +) / Double(currents.count)
      #expect(abs(mean - wanted.value) < 0.05 * wanted.value + subject.range.value * 92e-6)
      let range = subject.hardware.name == "nexus" ? Amperes(1e-9) : subject.range
      #expect(samples.allSatisfy { $0.voltage != nil && $0.range == range })
    }
  }

  @Test("The Nexus holds currents from its 1 nA range on, whose zero is read too")
  func nexusSource() throws {
    var settings = MethodScriptInstrument.Settings()
    settings.common.measureOffset = 5e-12
    try with(.nexus, settings) { table in
      _ = try table.station.connect()
      try table.station.prepare(Subject.nexus.acquisition())
      let zero = try table.station.measureZero(of: Amperes(100e-12), for: Seconds(0.4))
      #expect(zero.range == Amperes(100e-12))
      table.bench.world.setContacts(closed: true, at: .now)
      try table.station.apply(.current(Amperes(20e-12)))
      func held() -> [Sample] { table.reports.samples.filter { !$0.flags.contains(.openCircuit) } }
      table.poll(for: 3) { held().count > 15 }
      let currents = held().compactMap(\.current?.value)
      try #require(currents.count > 5)
      #expect(held().allSatisfy { $0.range == Amperes(1e-9) })
      #expect(abs(currents.reduce(0, +) / Double(currents.count) - 20e-12) < 0.5e-12)
    }
  }

  @Test("The Pico refuses a held current and says what to do instead")
  func picoHoldsNoCurrent() throws {
    try with(.pico) { table in
      _ = try table.station.connect()
      try table.station.prepare(Subject.pico.acquisition())
      #expect {
        try table.station.apply(.current(Amperes(1e-9)))
      } throws: { if case USB.InstrumentError.unable = $0 { "\($0)".contains("no galvanostat") } else { false } }
      #expect(table.isOpen)
      #expect(table.station.abilities.remarks.contains { $0.contains("no pA instrument") })
    }
  }

  @Test("A voltage beyond the limit opens the cell", arguments: [Subject.lr, .nexus])
  func trip(subject: Subject) throws {
    try with(subject) { table in
      _ = try table.station.connect()
      try table.station.prepare(subject.acquisition(voltage: Volts(-0.5)...Volts(1.0)))
      table.bench.world.setContacts(closed: true, at: .now)
      try table.station.apply(.current(subject.most * 0.5))
      table.poll(for: 5) { !table.reports.trips.isEmpty }
      #expect(table.reports.trips.count == 1)
      #expect(table.reports.trips.first?.contains("voltage") ?? false, "\(table.reports.trips)")
      #expect(table.isOpen)
    }
  }

  @Test("With the host silent the script itself holds the limit", arguments: [Subject.lr])
  func limitInScript(subject: Subject) throws {
    try with(subject) { table in
      _ = try table.station.connect()
      try table.station.prepare(subject.acquisition(voltage: Volts(-0.5)...Volts(1.0)))
      table.bench.world.setContacts(closed: true, at: .now)
      try table.station.apply(.current(subject.most * 0.5))
      #expect(table.bench.wait { !$0.isRunning })
      #expect(!table.bench.isCellOn && table.isOpen)
      // Whoever listens again learns of it.
      table.poll(for: 3) { !table.reports.trips.isEmpty }
      #expect(table.reports.trips.count == 1)
    }
  }

  @Test("Made safe, the cell stays open whatever is asked for, until the hold is ended", arguments: Subject.all)
  func held(subject: Subject) throws {
    try with(subject) { table in
      _ = try table.station.connect()
      try table.station.prepare(subject.acquisition())
      try table.station.apply(.voltage(Volts(0.2)))
      let asked = MonotonicTime.now
      try table.station.makeSafe()
      let took = MonotonicTime.now - asked
      print("\(subject.hardware.name): opened in the middle of a stream within \(took)")
      #expect(took < Seconds(0.5))
      #expect(table.isOpen)
      #expect(throws: USB.InstrumentError.self) { try table.station.apply(.voltage(Volts(0.2))) }
      #expect(throws: USB.InstrumentError.self) { try table.station.measureZero(of: subject.range, for: Seconds(0.1)) }
      #expect(table.isOpen)
      table.reports.latch.release()
      try table.station.apply(.voltage(Volts(0.2)))
      #expect(table.bench.isCellOn)
    }
  }

  @Test("A range changes with the cell open")
  func range() throws {
    try with(.lr) { table in
      _ = try table.station.connect()
      try table.station.prepare(Subject.lr.acquisition())
      try table.station.apply(.voltage(Volts(0.1)))
      table.poll(for: 0.1)
      try table.station.setRange(Amperes(10e-9))
      #expect(table.isOpen)
      try table.station.apply(.voltage(Volts(0.1)))
      table.poll(for: 3) { table.reports.samples.last?.range == Amperes(10e-9) }
      #expect(table.reports.samples.last?.range == Amperes(10e-9))
    }
  }

  @Test("A runtime error leaves the cell on, and is followed by cell_off", arguments: [true, false])
  func runtimeError(endsWithEmptyLine: Bool) throws {
    var settings = MethodScriptInstrument.Settings()
    settings.endsErrorsWithEmptyLine = endsWithEmptyLine
    try with(.lr, settings) { table in
      _ = try table.station.connect()
      try table.station.prepare(Subject.lr.acquisition())
      try table.station.apply(.voltage(Volts(0.2)))
      table.poll(for: 0.1)
      table.bench.device.perform { table.bench.instrument.failNextReading(code: 0x0032) }
      let before = table.bench.received.count
      table.poll(for: 2) { !table.reports.failures.isEmpty }
      #expect(table.reports.failures.first?.contains("0032") ?? false)
      #expect(table.bench.received[before...].contains("cell_off"))
      #expect(!table.bench.isCellOn && table.isOpen)
      #expect(try table.station.errors().contains { $0.contains("critical overload") })
    }
  }

  @Test(
    "Unplugged in the middle of a script the cell stays polarised; opening again closes it",
    arguments: [Subject.lr, .pico])
  func unplugged(subject: Subject) throws {
    try with(subject) { table in
      _ = try table.station.connect()
      try table.station.prepare(subject.acquisition())
      try table.station.apply(.voltage(Volts(0.2)))
      table.poll(for: 0.1)
      table.bench.device.unplug()
      table.poll(for: 3) { !table.reports.failures.isEmpty }
      #expect(table.reports.failures.count == 1)
      #expect(!table.station.isConnected)
      #expect(table.bench.isCellOn, "the script goes on without its host")
      table.bench.device.plug()
      #expect(try table.station.connect().model == subject.hardware.modelName)
      #expect(!table.bench.isCellOn && !table.bench.isRunning && table.isOpen)
    }
  }

  @Test("Pairs of the clock do not contradict each other over several scripts, and the time base never goes back")
  func clock() throws {
    try with(.lr) { table in
      _ = try table.station.connect()
      try table.station.prepare(Subject.lr.acquisition())
      for volts in [0.1, 0.15, 0.1] {
        let before = table.reports.samples.count
        try table.station.apply(.voltage(Volts(volts)))
        table.poll(for: 3) { table.reports.samples.count > before + 8 }
      }
      try table.station.makeSafe()
      let pairs = table.reports.pairs
      let lower = pairs.compactMap { pair in pair.earliest.map { $0.nanoseconds - pair.deviceNanoseconds } }
      let upper = pairs.compactMap { pair in pair.latest.map { $0.nanoseconds - pair.deviceNanoseconds } }
      #expect(lower.count == 3, "one bracket for each script")
      #expect(upper.count > 20)
      // 35 ppm over a second are 35 µs.
      #expect(try #require(lower.max()) <= #require(upper.min()) + 100_000)
      let stamps = table.reports.samples.map(\.deviceNanoseconds)
      #expect(zip(stamps, stamps.dropFirst()).allSatisfy { $0 < $1 })
    }
  }
}

extension PalmSensHardware {
  fileprivate var modelName: String {
    PalmSensModel.all.first { $0.name == name }?.product ?? ""
  }
}
