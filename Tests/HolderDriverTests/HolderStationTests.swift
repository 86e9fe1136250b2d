import EmulatedUSB
import HolderDriver
import Linux
import NanobatteryTwin
import Quantities
import Testing
import TwinBench
import USB

private final class Reports: Sendable {
  let latch = SafetyLatch()
  private let all = Monitor<[HolderReport]>([])
  func add(_ report: HolderReport) { all.update { $0.append(report) } }
  var pairs: [ClockPair] { all.read { $0.compactMap { if case .clockPair(let pair) = $0 { pair } else { nil } } } }
  var opened: [String] { all.read { $0.compactMap { if case .openedItself(let cause) = $0 { cause } else { nil } } } }
}

private func with(_ timeout: Seconds = Seconds(0.4), _ body: (TwinBench, HolderStation, Reports) throws -> Void) throws
{
  let bench = try TwinBench()
  defer { bench.end() }
  let reports = Reports()
  let settings = HolderSettings(
    model: "obh-1", usb: TwinBench.holder, contacts: HolderContacts(working: 1, counter: 2), heartbeatTimeout: timeout)
  let station = HolderStation(settings, bus: bench.bus, latch: reports.latch) { reports.add($0) }
  try body(bench, station, reports)
}

@Suite("An open biasing holder with its station")
struct HolderStationTests {
  @Test("Contacts close only after arming, and open at once when the cell is made safe")
  func contacts() throws {
    try with { bench, station, reports in
      let found = try station.connect()
      #expect(found.identity.model == "OBH-1")
      #expect(found.state.name == "SAFE_OPEN")
      #expect(throws: USB.InstrumentError.self) { try station.closeContacts() }
      #expect(!bench.world.connection.contactsClosed)
      try station.arm()
      #expect(!bench.world.connection.contactsClosed)
      try station.closeContacts()
      #expect(bench.world.connection.contactsClosed)
      try station.makeSafe()
      #expect(!bench.world.connection.contactsClosed)
      #expect(station.state?.safeCause == "HOST")
      #expect(throws: USB.InstrumentError.self) { try station.arm() }
      reports.latch.release()
      try station.arm()
    }
  }

  @Test("While the host beats the contacts stay closed; when it falls silent the holder opens them by itself")
  func heartbeat() throws {
    try with { bench, station, reports in
      _ = try station.connect()
      try station.arm()
      try station.closeContacts()
      for _ in 0..<10 {
        sleepThread(for: station.beatInterval)
        station.tick()
      }
      #expect(bench.world.connection.contactsClosed)
      #expect(reports.opened.isEmpty)
      let end = MonotonicTime.now + Seconds(3)
      while bench.world.connection.contactsClosed && MonotonicTime.now < end { sleepThread(for: Seconds(0.01)) }
      #expect(!bench.world.connection.contactsClosed)
      station.tick()
      station.tick()
      #expect(reports.opened == ["HEARTBEAT"])
    }
  }

  @Test("An interlock that opens opens the cell and is told of; arming again needs its return")
  func interlock() throws {
    try with(Seconds(5)) { bench, station, reports in
      _ = try station.connect()
      try station.arm()
      try station.closeContacts()
      bench.instruments.holder.perform {
        bench.instruments.openHolder.setInterlock(key: true, vacuum: false, holder: true, temperature: true, at: .now)
      }
      #expect(!bench.world.connection.contactsClosed)
      station.tick()
      station.tick()
      #expect(reports.opened == ["INTERLOCK"])
      #expect(throws: USB.InstrumentError.self) { try station.arm() }
    }
  }

  @Test(
    "Answers of 63, 64 and 65 bytes arrive whole, and so do those around a full packet of 64 and of 512 with their header",
    arguments: [63, 64, 65, 51, 52, 53, 499, 500, 501])
  func lengths(count: Int) throws {
    var settings = TwinInstruments.Settings()
    let rest = "OPENHOLDER,OBH-1,000001,\n".utf8.count
    settings.holder.firmware = String(repeating: "7", count: count - rest)
    let bench = try TwinBench(settings)
    defer { bench.end() }
    let connection = try SCPIConnection.open(TwinBench.holder, on: bench.bus, name: "obh-1")
    for _ in 0..<2 {
      let identity = try connection.identify { $0.model == "OBH-1" }
      #expect(identity.firmware == settings.holder.firmware)
      #expect(try connection.query(":ROUT:CLOS:STAT?") == "(@)", "nothing of the answer is left over")
    }
    connection.close()
  }

  @Test("Clock pairs bracket the holder's clock")
  func clock() throws {
    try with { _, station, reports in
      _ = try station.connect()
      for _ in 0..<8 { station.tick() }
      let pairs = reports.pairs
      #expect(pairs.count == 8)
      #expect(pairs.allSatisfy { $0.earliest! < $0.latest! })
      // One microsecond is the holder's tick.
      let lower = pairs.map { $0.earliest!.nanoseconds - $0.deviceNanoseconds }.max()!
      let upper = pairs.map { $0.latest!.nanoseconds - $0.deviceNanoseconds }.min()!
      #expect(lower <= upper + 20_000)
    }
  }

  @Test("Leakage is measured with the contacts open, as a resistance and a current that agree")
  func leakage() throws {
    try with { _, station, _ in
      _ = try station.connect()
      try station.arm()
      let (resistance, current) = try station.leakage(at: Volts(1))
      #expect(resistance.value > 1e9)
      #expect(abs(resistance.value * current.value - 1) < 0.05)
    }
  }
}
