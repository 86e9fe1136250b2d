import Quantities
import Testing

@testable import RunControl

private func sample(_ milliseconds: Int64, _ current: Double?, _ flags: SampleFlags = []) -> Sample {
  Sample(
    deviceNanoseconds: milliseconds * 1_000_000, arrival: MonotonicTime(nanoseconds: milliseconds * 1_000_000),
    voltage: Volts(3), current: current.map { Amperes($0) }, range: Amperes(10e-9), aperture: Seconds(0.008),
    flags: flags)
}

@Suite("Charge from samples")
struct ChargeCounterTests {
  @Test("A constant current gives current times time; a ramp gives its trapezoid")
  func integral() {
    var counter = ChargeCounter()
    for t in stride(from: Int64(0), through: 1000, by: 10) { _ = counter.add(sample(t, 2e-12)) }
    #expect(abs(counter.charge.value - 2e-12) < 1e-24)
    var ramp = ChargeCounter()
    for t in stride(from: Int64(0), through: 1000, by: 10) { _ = ramp.add(sample(t, 2e-12 * Double(t) / 1000)) }
    #expect(abs(ramp.charge.value - 1e-12) < 1e-24)
  }

  @Test("A pause longer than a second is a hole: counted, its charge not guessed")
  func hole() {
    var counter = ChargeCounter()
    _ = counter.add(sample(0, 2e-12))
    _ = counter.add(sample(5000, 2e-12))
    #expect(abs(counter.charge.value - 2e-12 * 0.008) < 1e-27, "what the two readings cover was measured")
    #expect(counter.holes == 1)
    #expect(abs(counter.holeTime.value - 4.992) < 1e-9)
  }

  @Test("A short hole whose first reading has a voltage alone is one all the same")
  func flaggedWithoutCurrent() {
    var counter = ChargeCounter()
    _ = counter.add(sample(0, 1e-12))
    _ = counter.add(sample(100, nil, [.afterHole, .openCircuit]))
    _ = counter.add(sample(120, 3e-12))
    #expect(counter.holes == 1)
    #expect(abs(counter.holeTime.value - 0.092) < 1e-9)
    #expect(abs(counter.charge.value - (1e-12 + 3e-12) * 0.004) < 1e-27)
    _ = counter.add(sample(130, 3e-12))
    #expect(counter.holes == 1, "the flag is used up")
    #expect(abs(counter.charge.value - (16e-15 + 30e-15)) < 1e-27)
  }

  @Test("A cell that was open is no hole, however long: nothing flowed")
  func openCircuit() {
    var counter = ChargeCounter()
    _ = counter.add(sample(0, 1e-12))
    for t in stride(from: Int64(10), through: 60_000, by: 10) { _ = counter.add(sample(t, nil, .openCircuit)) }
    _ = counter.add(sample(60_010, 1e-12))
    #expect(counter.holes == 0)
    #expect(abs(counter.charge.value - 2e-12 * 0.004) < 1e-27)
  }

  @Test("A sample without a current adds nothing, and the next one bridges it")
  func missing() {
    var counter = ChargeCounter()
    _ = counter.add(sample(0, 1e-12))
    _ = counter.add(sample(10, nil))
    _ = counter.add(sample(20, 1e-12))
    #expect(abs(counter.charge.value - 20e-15) < 1e-27)
  }
}

@Suite("Clock pairs worth keeping")
struct ClockThinnerTests {
  @Test("Of each quarter second the tightest lower and the tightest upper bound go through")
  func tightest() {
    var thinner = ClockThinner()
    var kept: [ClockPair] = []
    for k in 0..<500 {
      let device = Int64(k) * 1_000_000
      let early = Int64((k * 37) % 101) * 1000
      let late = Int64((k * 53) % 97) * 1000
      kept += thinner.add([
        ClockPair(
          deviceNanoseconds: device, earliest: MonotonicTime(nanoseconds: device - early),
          latest: MonotonicTime(nanoseconds: device + late))
      ])
    }
    kept += thinner.flush()
    #expect(kept.count <= 6)
    #expect(kept.contains { $0.earliest!.nanoseconds == $0.deviceNanoseconds })
    #expect(kept.contains { $0.latest!.nanoseconds == $0.deviceNanoseconds })
  }
}
