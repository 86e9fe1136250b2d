import EmulatedUSB
import HolderDriver
import Linux
import NanobatteryTwin
import Quantities
import Testing
import TwinBench
import USB

private final class Told: Sendable {
  let latch = SafetyLatch()
  private let all = Monitor<[HolderReport]>([])
  func add(_ report: HolderReport) { all.update { $0.append(report) } }
  var phases: [MotionProgress.Phase] {
    all.read { $0.compactMap { if case .motion(let p) = $0 { p.phase } else { nil } } }
  }
  var notAtRest: [String] { all.read { $0.compactMap { if case .notAtRest(let words) = $0 { words } else { nil } } } }
  var cameToRest: Int { all.read { $0.count { if case .cameToRest = $0 { true } else { false } } } }
}

private func with(gap: Double, _ body: (TwinBench, HolderStation, Told) throws -> Void) throws {
  var settings = TwinInstruments.Settings()
  settings.holder.probe.gap = gap
  let bench = try TwinBench(settings)
  defer { bench.end() }
  let told = Told()
  let holder = HolderSettings(
    model: "obh-1", usb: TwinBench.holder, contacts: HolderContacts(working: 1, counter: 2),
    heartbeatTimeout: Seconds(0.5))
  let station = HolderStation(holder, bus: bench.bus, latch: told.latch) { told.add($0) }
  _ = try station.connect()
  try body(bench, station, told)
}

extension TwinBench {
  /// The next messages to the holder are refused at the endpoint.
  fileprivate func refuse(_ count: Int) {
    for transfer in 1...count {
      instruments.holder.inject(USBFault(endpoint: 0x01, transfer: transfer, kind: .stall))
    }
  }

  fileprivate var gap: Double { instruments.holder.perform { instruments.openHolder.tipGap(at: .now) } }
}

private func extend(_ station: HolderStation) throws {
  try station.beginApproach(axis: nil, mostSteps: 100)
  for _ in 0..<50 where station.lastMotion?.phase != .extending {
    sleepThread(for: station.tickInterval)
    station.tick()
  }
  #expect(station.lastMotion?.phase == .extending)
}

@Suite("A holder that does not take the word to stop")
struct HolderRestTests {
  @Test("A tip whose stop failed is told of, and stopped with a later tick; until then nothing new begins")
  func stopFails() throws {
    try with(gap: 100e-6) { bench, station, told in
      try extend(station)
      bench.refuse(6)
      #expect(throws: USB.InstrumentError.self) { try station.stopMotion() }
      #expect(station.isMoving, "nobody knows that it stands")
      #expect(station.lastMotion?.phase == .stopping)
      #expect(station.lastMotion?.message.contains("not known to stand") == true)
      #expect(told.notAtRest.count == 1)
      #expect(throws: USB.InstrumentError.self) { try station.beginRetract(axis: nil, steps: 1) }
      for _ in 0..<20 where station.isMoving {
        sleepThread(for: station.tickInterval)
        station.tick()
      }
      #expect(!station.isMoving)
      #expect(told.phases.last == .stopped)
      #expect(told.notAtRest.count == 1, "it is told once")
      #expect(told.cameToRest == 1)
      #expect(station.state?.name == "SAFE_OPEN")
      let gap = bench.gap
      sleepThread(for: Seconds(0.05))
      #expect(bench.gap == gap)
    }
  }

  @Test("A motion that fails and whose stop fails as well is stopped later")
  func stopAfterFailure() throws {
    try with(gap: 100e-6) { bench, station, told in
      try extend(station)
      bench.refuse(6)
      station.tick()
      #expect(station.lastMotion?.phase == .stopping)
      #expect(station.isMoving)
      for _ in 0..<20 where station.isMoving {
        sleepThread(for: station.tickInterval)
        station.tick()
      }
      #expect(told.phases.last == .failed)
      #expect(told.cameToRest == 1)
      let gap = bench.gap
      sleepThread(for: Seconds(0.05))
      #expect(bench.gap == gap)
    }
  }

  @Test("While a stop is owed no heartbeat is sent: a holder that hears nothing stops the tip by itself")
  func noHeartbeat() throws {
    try with(gap: 100e-6) { bench, station, told in
      try extend(station)
      // Every message, for longer than the heartbeat's half a second.
      bench.refuse(400)
      let end = MonotonicTime.now + Seconds(5)
      func state() -> String {
        bench.instruments.holder.perform {
          bench.instruments.openHolder.advance(to: .now)
          return bench.instruments.openHolder.cause.rawValue
        }
      }
      while state() != "HEARTBEAT", MonotonicTime.now < end {
        sleepThread(for: station.tickInterval)
        station.tick()
      }
      #expect(state() == "HEARTBEAT")
      #expect(told.notAtRest.count == 1)
      let gap = bench.gap
      sleepThread(for: Seconds(0.05))
      #expect(bench.gap == gap)
    }
  }

  @Test("A safe state that failed is brought about by a later tick; a holder that is gone owes nothing")
  func safeStateFails() throws {
    try with(gap: -1e-9) { bench, station, told in
      try station.arm()
      try station.closeContacts()
      bench.refuse(3)
      #expect(throws: USB.InstrumentError.self) { try station.makeSafe() }
      #expect(bench.world.connection.contactsClosed)
      for _ in 0..<20 where told.cameToRest == 0 {
        sleepThread(for: station.tickInterval)
        station.tick()
      }
      #expect(!bench.world.connection.contactsClosed)
      #expect(told.cameToRest == 1)

      told.latch.release()
      try station.arm()
      try station.closeContacts()
      bench.refuse(1)
      #expect(throws: USB.InstrumentError.self) { try station.makeSafe() }
      bench.instruments.holder.unplug()
      station.tick()
      #expect(station.identity == nil)
      #expect(!bench.world.connection.contactsClosed)
      bench.instruments.holder.plug()
      told.latch.release()
      _ = try station.connect()
      try station.arm()
    }
  }
}
