import Linux
import NanobatteryTwin
import Quantities
import Testing
import TwinBench
import USB

@testable import Potentiostat

/// A line on which every data package arrives damaged, and losses are told.
private final class DamagedWire: MethodScriptWire {
  private let inner: SerialConnection
  var isDamaged = false
  /// Called before lines are written.
  var willWrite: (String) -> Void = { _ in }
  private var count = 0
  init(_ inner: SerialConnection) { self.inner = inner }

  private func damage(_ line: SerialInput.Line) -> SerialInput.Line {
    guard isDamaged, line.text.hasPrefix("P") else { return line }
    return SerialInput.Line(text: "\u{FFFD}" + line.text.dropFirst(3), arrival: line.arrival)
  }
  func write(_ bytes: [UInt8], within limit: Seconds) throws(InstrumentError) {
    willWrite(String(decoding: bytes, as: UTF8.self))
    try inner.write(bytes, within: limit)
  }
  func lines() throws(InstrumentError) -> [SerialInput.Line] {
    guard !isDamaged else { throw .wire(.malformed(device: "the line", reason: "bytes were lost")) }
    return try inner.lines()
  }
  func line(within limit: Seconds) throws(InstrumentError) -> SerialInput.Line? {
    count += 1
    if isDamaged, count % 3 == 0 { throw .wire(.malformed(device: "the line", reason: "bytes were lost")) }
    return try inner.line(within: limit).map(damage)
  }
  func discardInput() { inner.discardInput() }
  func close() { inner.close() }
}

private func with(
  _ hardware: PalmSensHardware = .emStat4LR, scriptTime: Double = 45, latch: SafetyLatch = SafetyLatch(),
  _ body: (PalmSensBench, PalmSens, DamagedWire) throws -> Void
) throws {
  let bench = try PalmSensBench(hardware)
  defer { bench.end() }
  let model = try #require(PalmSensModel.all.first { $0.name == hardware.name })
  let wire = DamagedWire(
    try SerialConnection.open(bench.match, model.serial, baud: model.baud, on: bench.bus, name: "instrument"))
  let driver = try PalmSens(wire, model, name: "instrument", latch: latch, scriptTime: Seconds(scriptTime))
  defer { driver.close() }
  try driver.prepare(acquisition)
  try body(bench, driver, wire)
}

private let acquisition = Acquisition(
  period: Seconds(0.02), currentRange: Amperes(1e-9), voltageRange: Volts(2),
  limits: CellLimits(voltage: Volts(-0.5)...Volts(1.6), current: Amperes(-200e-12)...Amperes(200e-12)))

extension PalmSens {
  fileprivate func poll(for span: Double, until isDone: ([Sample]) -> Bool) throws -> [Sample] {
    var samples: [Sample] = []
    let end = MonotonicTime.now + Seconds(span)
    while MonotonicTime.now < end, !isDone(samples) {
      samples += try poll().samples
      sleepThread(for: Seconds(0.003))
    }
    return samples
  }
}

@Suite("Scripts of the PalmSens driver")
struct PalmSensDriverTests {
  @Test(
    "A step longer than a script goes on in the next one, and the first reading after the hole says so",
    arguments: [true, false])
  func hole(isHeld: Bool) throws {
    try with(scriptTime: 0.3) { bench, driver, _ in
      bench.world.setContacts(closed: true, at: .now)
      let bias: Bias = isHeld ? .current(Amperes(20e-12)) : .current(.zero)
      var samples = try driver.begin(bias, present: nil, isWithinLimits: { _ in true }).samples
      samples += try driver.poll(for: 5) { $0.filter { $0.flags.contains(.afterHole) }.count >= 2 && $0.count > 40 }
      let holes = samples.indices.filter { samples[$0].flags.contains(.afterHole) }
      #expect(holes.count >= 2 && holes.first ?? 0 > 5)
      for index in holes where index > 0 {
        let pause = samples[index].deviceNanoseconds - samples[index - 1].deviceNanoseconds
        #expect(pause > 0 && pause < 2_000_000_000)
      }
      #expect(zip(samples, samples.dropFirst()).allSatisfy { $0.deviceNanoseconds < $1.deviceNanoseconds })
      try driver.open()
      #expect(!bench.isCellOn)
    }
  }

  @Test("With the host silent a script is over when its time is, and the cell open")
  func deadMan() throws {
    try with(scriptTime: 0.3) { bench, driver, _ in
      _ = try driver.begin(.voltage(Volts(0.05)), present: nil, isWithinLimits: { _ in true })
      #expect(bench.isCellOn)
      #expect(bench.wait { !$0.isRunning })
      #expect(!bench.isCellOn && bench.world.connection.terminal == .highImpedance)
    }
  }

  /// When somebody else wants the cell safe, on the way from a script that is over to the next one.
  enum Moment: String, CaseIterable { case before, whileLoading = "l\n", whileStarting = "r\n" }

  @Test("A script whose time is over is not begun anew while somebody wants the cell safe", arguments: Moment.allCases)
  func latched(moment: Moment) throws {
    let latch = SafetyLatch()
    try with(scriptTime: 0.3, latch: latch) { bench, driver, wire in
      bench.world.setContacts(closed: true, at: .now)
      _ = try driver.begin(.voltage(Volts(0.9)), present: nil, isWithinLimits: { _ in true })
      #expect(bench.wait { !$0.isRunning })
      let begun = bench.received.filter { $0 == "r" }.count
      if moment == .before {
        latch.set()
      } else {
        wire.willWrite = { if $0.hasPrefix(moment.rawValue) { latch.set() } }
      }
      _ = try driver.poll(for: 0.5) { _ in false }
      #expect(latch.isSet)
      #expect(!bench.isCellOn && bench.world.connection.terminal == .highImpedance)
      // Opening the cell is a script too; that of the bias ran only where it was on its way already.
      let since = bench.received.filter { $0 == "r" }.count - begun
      #expect(since == (moment == .whileStarting ? 2 : moment == .whileLoading ? 1 : since), "\(since)")
      // The next bias is asked for anew.
      wire.willWrite = { _ in }
      #expect(throws: InstrumentError.self) {
        _ = try driver.begin(.voltage(Volts(0.9)), present: nil, isWithinLimits: { _ in true })
      }
      #expect(!bench.isCellOn)
      latch.release()
      _ = try driver.begin(.voltage(Volts(0.9)), present: nil, isWithinLimits: { _ in true })
      #expect(bench.isCellOn)
      try driver.open()
    }
  }

  @Test("Opening the cell needs no healthy stream")
  func damagedStream() throws {
    try with { bench, driver, wire in
      _ = try driver.begin(.voltage(Volts(0.2)), present: nil, isWithinLimits: { _ in true })
      wire.isDamaged = true
      sleepThread(for: Seconds(0.1))
      #expect(bench.isCellOn)
      #expect(try driver.poll().samples.isEmpty, "a loss is told by errors(), and ends nothing")
      let asked = MonotonicTime.now
      try driver.open()
      print("opened on a damaged stream within \(MonotonicTime.now - asked)")
      #expect(MonotonicTime.now - asked < Seconds(0.5))
      #expect(!bench.isCellOn && bench.world.connection.terminal == .highImpedance)
      #expect(try driver.errors().contains { $0.contains("damaged") })
    }
  }

  @Test("A script that somebody halted is opened too")
  func halted() throws {
    try with { bench, driver, _ in
      _ = try driver.begin(.voltage(Volts(0.2)), present: nil, isWithinLimits: { _ in true })
      bench.type("h\n")
      try driver.open()
      #expect(!bench.isCellOn && !bench.isRunning)
    }
  }

  @Test("A ramp ends where a reading is not wanted")
  func rampStops() throws {
    try with { bench, driver, _ in
      let acquired = try driver.begin(.voltage(Volts(1.5)), present: nil) { ($0.voltage ?? .zero) < Volts(0.3) }
      #expect(try #require(acquired.samples.last?.voltage) < Volts(0.5))
      try driver.open()
      #expect(!bench.isCellOn)
    }
  }

  @Test("Every script is taken by the instrument, and none has a line too long", arguments: PalmSensModel.all)
  func accepted(model: PalmSensModel) throws {
    let hardware = try #require(
      [PalmSensHardware.emStat4LR, .emStat4HR, .nexus, .emStatPico].first { $0.name == model.name })
    let bench = try PalmSensBench(hardware)
    defer { bench.end() }
    let link = MethodScriptLink(
      try SerialConnection.open(bench.match, model.serial, baud: model.baud, on: bench.bus, name: "instrument"),
      name: "instrument")
    defer { link.close() }
    _ = try link.synchronize()
    var wide = acquisition
    wide.limits = CellLimits(voltage: Volts(-.infinity)...Volts(.infinity), current: Amperes(-1)...Amperes(1))
    for (acquisition, range) in [(acquisition, 1e-9), (wide, 1e-3), (acquisition, 0)] {
      var acquisition = acquisition
      acquisition.currentRange = Amperes(range)
      let script = PalmSensScript(model, acquisition, time: 45)
      for lines in [
        script.rest(), script.current(-1.23456789e-12), script.voltage(0.7654321, isThere: false),
        script.voltage(0, isThere: true),
      ] {
        #expect(lines.allSatisfy { $0.utf8.count <= MethodScriptLink.longestLine })
        #expect(lines.suffix(2) == ["on_finished:", "cell_off"])
        try link.load(lines)
      }
    }
    #expect(!bench.isCellOn, "loading energises nothing")
  }

  @Test("A script that is refused names the line")
  func refused() throws {
    let bench = try PalmSensBench(.emStat4LR)
    defer { bench.end() }
    let link = MethodScriptLink(
      try SerialConnection.open(bench.match, .cdcACM, baud: 921_600, on: bench.bus, name: "instrument"),
      name: "instrument")
    defer { link.close() }
    _ = try link.synchronize()
    #expect {
      try link.load(["var p", "set_e 1.5"])
    } throws: { "\($0)".contains("set_e 1.5") && "\($0)".contains("4004") }
    #expect(throws: InstrumentError.self) { try link.load([String(repeating: "x", count: 121)]) }
  }

  @Test("Limits that the instrument cannot apply are refused before anything is on")
  func limitsBeyond() throws {
    try with { _, driver, _ in
      var beyond = acquisition
      beyond.limits.voltage = Volts(3.2)...Volts(4.5)
      #expect {
        try driver.prepare(beyond)
      } throws: { if case InstrumentError.unable = $0 { true } else { false } }
      #expect(throws: InstrumentError.self) {
        _ = try driver.begin(.voltage(Volts(3.5)), present: nil, isWithinLimits: { _ in true })
      }
    }
  }

  @Test(
    "Nothing that a package says of a reading is lost",
    arguments: [
      ("10,203,40", []), ("11,203", .timingNotMet), ("12,203", [.overflow, .compliance]), ("14,203", .underload),
      ("18,203", .overloadWarning), ("1D,203", [.timingNotMet, .underload, .overloadWarning]),
      ("10,203,4B", .noise(level: 11)),
    ] as [(String, SampleFlags)])
  func flags(metadata: String, flags: SampleFlags) throws {
    let start = MonotonicTime(nanoseconds: 5_000_000_000)
    var reader = PalmSensReader(model: .emStat4LR, epoch: MonotonicTime(nanoseconds: 1_000_000_000))
    reader.begin(PalmSensScript(.emStat4LR, acquisition, time: 45), startWritten: start)
    var acquired = Acquired()
    for (index, line) in ["Peb8000000 ", "M0007", "Peb80186A0u;da8030D40u;ba800000Ap,\(metadata)"].enumerated() {
      reader.take(
        MethodScriptLink.Output(line: MethodScriptLine(line), arrival: start + Seconds(0.001 * Double(index + 1))),
        into: &acquired)
    }
    let sample = try #require(acquired.samples.first)
    #expect(acquired.samples.count == 1 && sample.flags == flags)
    #expect(sample.flags.noiseLevel == flags.noiseLevel)
    #expect(sample.voltage == Volts(0.2) && sample.range == Amperes(1e-9))
    #expect(sample.current == (flags.contains(.overflow) ? nil : Amperes(10e-12)))
    // 100 ms after the script's zero, 4 s after the epoch; the aperture of 20 ms ends there.
    #expect(sample.deviceNanoseconds == 4_090_000_000)
    #expect(acquired.clockPairs.map(\.deviceNanoseconds) == [4_000_000_000, 4_100_000_000])
    #expect(acquired.clockPairs.map(\.earliest) == [start, nil])
    #expect(acquired.clockPairs.allSatisfy { $0.latest != nil })
  }

  @Test("A package says which range was really in use, also as galvanostat")
  func rangeInUse() throws {
    var reader = PalmSensReader(model: .nexus, epoch: MonotonicTime(nanoseconds: 0))
    reader.begin(PalmSensScript(.nexus, acquisition, time: 45), startWritten: MonotonicTime(nanoseconds: 0))
    var acquired = Acquired()
    for index in ["10", "20", "02", "2B", "77"] {
      let line = MethodScriptLine("Peb8000001m;ab8030D40u;ba800000Ap,10,2\(index)")
      reader.take(MethodScriptLink.Output(line: line, arrival: .now), into: &acquired)
    }
    // An index that is in no table leaves the range that was asked for.
    #expect(acquired.samples.map(\.range.value) == [100e-12, 1e-9, 100e-9, 1, 1e-9])
  }
}
