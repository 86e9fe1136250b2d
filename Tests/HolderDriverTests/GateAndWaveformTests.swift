import EmulatedUSB
import HolderDriver
import Linux
import NanobatteryTwin
import Quantities
import Testing
import TwinBench
import USB

private func with(_ contacts: HolderContacts, _ body: (TwinBench, HolderStation) throws -> Void) throws {
  let bench = try TwinBench()
  defer { bench.end() }
  let settings = HolderSettings(
    model: "obh-1", usb: TwinBench.holder, contacts: contacts, heartbeatTimeout: Seconds(5))
  let station = HolderStation(settings, bus: bench.bus) { _ in }
  _ = try station.connect()
  try body(bench, station)
}

@Suite("A gate on an open biasing holder")
struct GateTests {
  private let contacts = HolderContacts(working: 1, counter: 2, gate: 3)

  @Test("The gate is at ground before the cell is connected, goes to its voltage from there, and opens with the rest")
  func drives() throws {
    try with(contacts) { bench, station in
      func voltage() -> Double? {
        bench.instruments.holder.perform { bench.instruments.openHolder.voltage(ofLine: 3, at: .now) }
      }
      try station.arm()
      #expect(throws: USB.InstrumentError.self) { try station.driveGate(to: Volts(1)) }
      try station.closeContacts()
      #expect(voltage() == 0)
      let closed = bench.instruments.holder.perform { bench.instruments.openHolder.log }.compactMap { entry in
        if case .relay(let channel, closed: true) = entry.event { channel.line } else { nil as Int? }
      }
      #expect(closed.first == 3, "the gate comes first: \(closed)")

      try station.driveGate(to: Volts(0.2))
      let end = MonotonicTime.now + Seconds(5)
      while voltage() != 0.2, MonotonicTime.now < end { sleepThread(for: Seconds(0.01)) }
      #expect(voltage() == 0.2)
      #expect(bench.world.connection.contactsClosed, "the cell stays connected")
      // A reading of the holder's meter is a period old at most.
      var read: Double?
      while read.map({ abs($0 - 0.2) > 1e-6 }) ?? true, MonotonicTime.now < end {
        sleepThread(for: Seconds(0.05))
        station.tick()
        read = station.readings.first { $0.quantity == "bias_voltage" }?.value
      }
      #expect(read.map { abs($0 - 0.2) < 1e-6 } == true, "\(read ?? .nan)")
      try station.driveGate(to: Volts(-0.1))
      while voltage() != -0.1, MonotonicTime.now < end { sleepThread(for: Seconds(0.01)) }
      #expect(voltage() == -0.1)

      try station.makeSafe()
      #expect(voltage() == nil)
      #expect(try station.closedChannels().isEmpty)
    }
  }

  @Test("A gate never meets an electrode at one tap, and one that is not wired is named as the reason")
  func refusals() throws {
    try with(contacts) { _, station in
      try station.arm()
      for pair in [[HolderChannel(1, 1), HolderChannel(3, 1)], [HolderChannel(3, 0), HolderChannel(3, 4)]] {
        let error = #expect(throws: USB.InstrumentError.self) { try station.route(pair) }
        #expect("\(try #require(error))".contains("-221"))
      }
      #expect(try station.closedChannels().isEmpty)
      try station.closeContacts()
      let beyond = #expect(throws: USB.InstrumentError.self) { try station.driveGate(to: Volts(11)) }
      #expect("\(try #require(beyond))".contains("-222"))
    }
    try with(HolderContacts(working: 1, counter: 2)) { _, station in
      try station.arm()
      try station.closeContacts()
      let error = #expect(throws: USB.InstrumentError.self) { try station.driveGate(to: Volts(1)) }
      #expect("\(try #require(error))".contains("holder.contacts.gate"))
    }
  }
}

@Suite("A waveform of one's own for the coarse drive")
struct WaveformTests {
  private func run(_ station: HolderStation) {
    let end = MonotonicTime.now + Seconds(10)
    while station.isMoving, MonotonicTime.now < end {
      sleepThread(for: station.tickInterval)
      station.tick()
    }
  }

  @Test("A table is sent, compared and used: a rise and an edge carry the tip, the same slowly back do not")
  func steps() throws {
    let points: [UInt8] = (0...255).map { UInt8($0) }
    let saw = try WaveformTable(points)
    let rise: [UInt8] = (0...127).map { UInt8($0) * 2 }
    let triangle = try WaveformTable(rise + rise.reversed())
    try with(HolderContacts(working: 1, counter: 2)) { bench, station in
      func gap() -> Double { bench.instruments.holder.perform { bench.instruments.openHolder.tipGap(at: .now) } }
      func moved(_ waveform: StepWaveform) throws -> Double {
        try station.setWaveform(waveform)
        try station.beginRetract(axis: nil, steps: 0)
        run(station)
        let before = gap()
        try station.beginRetract(axis: nil, steps: 2)
        run(station)
        #expect(station.lastMotion?.phase == .retracted, "\(station.lastMotion?.message ?? "")")
        return gap() - before
      }
      let plain = try moved(.sawtooth)
      #expect(abs(plain - 2 * 480e-9) < 1e-9, "\(plain)")
      let own = try moved(.user(saw))
      #expect(abs(own - plain) < 1e-12)
      let slow = try moved(.user(triangle))
      #expect(abs(slow) < 1e-12, "\(slow)")
    }
  }

  @Test("What is no table of 256 points, or could step further than its amplitude, is refused in a sentence")
  func refusals() throws {
    let words = Array(repeating: "1 2,3\n0", count: 64).joined(separator: " ")
    #expect(try WaveformTable(parsing: words).points.prefix(5) == [1, 2, 3, 0, 1])
    func reason(_ text: String) -> String {
      do { return "\(try WaveformTable(parsing: text).points.count) points" } catch { return "\(error)" }
    }
    #expect(reason("1 2 256").contains("“256”"))
    #expect(reason("1 -2").contains("“-2”"))
    #expect(reason("1 2 3").contains("3 points"))
    #expect(reason(Array(repeating: "7", count: 256).joined(separator: ",")).contains("nothing would move"))
    #expect(reason(Array(repeating: "7", count: 257).joined(separator: ",")).contains("more than 256"))
    let twice = (0...255).map { "\(($0 * 2) % 256)" }.joined(separator: " ")
    #expect(reason(twice).contains("longer than its amplitude"))
  }
}
