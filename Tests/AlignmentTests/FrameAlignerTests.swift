import Alignment
import Glibc
import Quantities
import Testing

@Suite("Frame aligner")
struct FrameAlignerTests {
  private func time(_ seconds: Double) -> MonotonicTime { MonotonicTime(nanoseconds: Int64((seconds * 1e9).rounded())) }

  private func sample(
    _ seconds: Double, aperture: Double = 1e-3, voltage: Double? = 3, current: Double? = 2e-12, charge: Double = 0,
    bias: Int64 = 0
  ) -> AlignedSample {
    AlignedSample(
      centre: time(seconds), aperture: Seconds(aperture), voltage: voltage, current: current, voltageNoise: 1e-4,
      currentNoise: 50e-15, charge: charge, outputOn: true, halfWidth: Seconds(0), bias: bias)
  }

  private func exposure(_ start: Double, _ length: Double, halfWidth: Double = 0) -> Exposure {
    Exposure(start: time(start), stop: time(start + length), halfWidth: Seconds(halfWidth))
  }

  private func aligner(_ samples: [AlignedSample], _ settings: FrameAligner.Settings = .init()) -> FrameAligner {
    var aligner = FrameAligner(settings)
    aligner.append(samples)
    aligner.finish()
    return aligner
  }

  @Test("samples count by how much of the exposure they cover")
  func weights() throws {
    // Apertures 0–2 ms and 2–4 ms; the exposure 1–3.5 ms covers 1 ms and 1.5 ms of them.
    var aligner = aligner([
      sample(1e-3, aperture: 2e-3, voltage: 1, current: 1e-12), sample(3e-3, aperture: 2e-3, voltage: 2, current: nil),
    ])
    let value = aligner.value(of: exposure(1e-3, 2.5e-3))
    let voltage = try #require(value.voltage)
    #expect(value.samples == 2)
    #expect(abs(voltage.mean - (1 * 1 + 2 * 1.5) / 2.5) < 1e-9)
    #expect(voltage.minimum == 1 && voltage.maximum == 2)
    #expect(abs(voltage.uncertainty - 1e-4 * (1 + 1.5 * 1.5).squareRoot() / 2.5) < 1e-8)
    // The second reading has no current: the first alone speaks.
    #expect(value.current?.mean == 1e-12)
  }

  @Test("an exposure between samples gets the straight line and an honest width")
  func between() throws {
    var aligner = aligner([sample(0), sample(10e-3, voltage: 3.1), sample(20e-3, voltage: 3.2)])
    let value = aligner.value(of: exposure(3e-3, 2e-3, halfWidth: 1e-3))
    let voltage = try #require(value.voltage)
    #expect(value.samples == 0)
    #expect(abs(voltage.mean - 3.04) < 1e-9)
    #expect(abs(voltage.minimum - 3.03) < 1e-9 && abs(voltage.maximum - 3.05) < 1e-9)
    let noise = 1e-4 * 1e-4 * (0.6 * 0.6 + 0.4 * 0.4)
    let timing = 10 * 1e-3 / 3.0.squareRoot()
    #expect(abs(voltage.uncertainty - (noise + 0.01 / 12 + timing * timing).squareRoot()) < 1e-7)
    #expect(abs(value.timeUncertainty.value - 1e-3 / 3.0.squareRoot()) < 1e-9)
  }

  @Test("between two biases there is no value, and the charge after them knows less")
  func biasChange() throws {
    var aligner = aligner([
      sample(0), sample(10e-3), sample(50e-3, charge: 60e-15, bias: 1), sample(60e-3, charge: 80e-15, bias: 1),
    ])
    let between = aligner.value(of: exposure(30e-3, 2e-3))
    #expect(between.samples == 0 && between.voltage == nil && between.current == nil && between.charge == nil)
    let before = try #require(aligner.value(of: exposure(9.8e-3, 1e-4)).chargeUncertainty)
    let after = try #require(aligner.value(of: exposure(55e-3, 2e-3)).chargeUncertainty)
    #expect(after > before + 40e-15, "2 pA over 40 ms, anything between none and all")
    #expect(aligner.value(of: exposure(55e-3, 2e-3)).current != nil)
  }

  @Test("beyond the samples, in a hole and without a reading there is no value")
  func nothing() {
    var edges = aligner([sample(1), sample(1.01), sample(1.02), sample(5), sample(5.01), sample(5.02, voltage: nil)])
    for start in [0.5, 3, 6] {
      let value = edges.value(of: exposure(start, 2e-3))
      #expect(value.samples == 0 && value.voltage == nil && value.current == nil && value.charge == nil)
    }
    let overflow = edges.value(of: exposure(5.0195, 1e-3))
    #expect(overflow.samples == 1 && overflow.voltage == nil && overflow.current != nil)
    // Samples that come every 4 s are no hole.
    var rare = aligner((0..<5).map { sample(Double($0) * 4) })
    #expect(rare.value(of: exposure(6, 2e-3)).voltage != nil)
    var none = FrameAligner(.init())
    none.finish()
    #expect(none.value(of: exposure(0, 1)).voltage == nil)
  }

  @Test("a step beside the exposure widens it instead of moving it")
  func step() throws {
    var aligner = aligner([
      sample(0, current: 0), sample(10e-3, current: 0), sample(20e-3, current: 2e-12), sample(30e-3, current: 2e-12),
    ])
    let beside = try #require(aligner.value(of: exposure(18.4e-3, 2e-3)).current)
    #expect(beside.mean == 2e-12)
    #expect(beside.uncertainty > 80e-15)
    let between = try #require(aligner.value(of: exposure(14e-3, 2e-3)).current)
    #expect(between.uncertainty > 2e-12 / 12.0.squareRoot() - 1e-16)
    let away = try #require(aligner.value(of: exposure(4e-3, 2e-3)).current)
    #expect(away.uncertainty < 60e-15)
  }

  @Test("charge follows the trapezoid between samples and knows what it does not know")
  func charge() throws {
    // 2 pA rising by 1 pA in 10 ms; the record's charge is 5 % more than the trapezoid's.
    var aligner = aligner(
      [
        sample(0, charge: 1e-12), sample(10e-3, current: 3e-12, charge: 1e-12 + 26.25e-15), sample(20e-3),
        sample(30e-3),
      ],
      .init(currentSystematic: 1e-12))
    let value = aligner.value(of: exposure(2e-3, 3e-3))
    let trapezoid = 2e-12 * 5e-3 + 0.5 * 0.5e-12 * 5e-3
    #expect(abs(try #require(value.charge) - (1e-12 + trapezoid + 0.5 * 1.25e-15)) < 1e-20)
    let late = try #require(aligner.value(of: exposure(18e-3, 1e-3)).chargeUncertainty)
    #expect(late > 1e-12 * 19e-3 && late < 1e-12 * 21e-3)
  }

  @Test("two standard uncertainties hold the truth for 90 to 100 % of thousands of frames")
  func coverage() throws {
    for seed in 1...3 as ClosedRange<UInt64> {
      var chance = Chance(seed: seed)
      // A charging curve with a ripple, a current that decays; 10 ms samples with apertures of 2 ms, 400 fps.
      func voltage(_ t: Double) -> Double { 3 + 0.04 * t + 0.02 * sin(2 * .pi * 0.7 * t) }
      func current(_ t: Double) -> Double { 2e-12 * exp(-t / 8) }
      func charge(_ t: Double) -> Double { 2e-12 * 8 * (1 - exp(-t / 8)) }
      let shift = 80e-6 * (2 * chance.uniform() - 1)
      var samples: [AlignedSample] = []
      for index in 0..<2000 {
        let t = Double(index) * 10e-3
        samples.append(
          AlignedSample(
            centre: time(t + shift), aperture: Seconds(2e-3), voltage: voltage(t) + 2e-4 * chance.normal(),
            current: current(t) + 50e-15 * chance.normal(), voltageNoise: 2e-4, currentNoise: 50e-15, charge: charge(t),
            outputOn: true, halfWidth: Seconds(80e-6)))
      }
      var aligner = aligner(samples)
      var covered = (voltage: 0, current: 0, charge: 0, all: 0)
      for index in 8..<7980 {
        let start = Double(index) * 2.5e-3
        let value = aligner.value(of: exposure(start, 2.4e-3, halfWidth: 60e-6))
        let v = try #require(value.voltage)
        let i = try #require(value.current)
        let middle = start + 1.2e-3
        covered.all += 1
        if abs(v.mean - voltage(middle)) <= 2 * v.uncertainty { covered.voltage += 1 }
        if abs(i.mean - current(middle)) <= 2 * i.uncertainty { covered.current += 1 }
        let q = try #require(value.charge)
        if abs(q - charge(start + 2.4e-3)) <= 2 * (try #require(value.chargeUncertainty)) { covered.charge += 1 }
        #expect(i.uncertainty < 100e-15, "seed \(seed)")
      }
      let all = Double(covered.all)
      for share in [Double(covered.voltage) / all, Double(covered.current) / all, Double(covered.charge) / all] {
        #expect(share >= 0.90, "seed \(seed)")
      }
      #expect(Double(covered.current) / all < 0.9999, "seed \(seed): so much is not covered by chance")
    }
  }

  @Test("samples that come in pieces give the same values, and few are kept")
  func streaming() {
    let samples = (0..<40_000).map { sample(Double($0) * 1e-3, voltage: Double($0 % 97)) }
    var whole = aligner(samples)
    var piecewise = FrameAligner(.init())
    var next = 0
    var differences = 0
    for index in 1..<4000 {
      let exposure = exposure(Double(index) * 9.7e-3, 2.4e-3)
      while piecewise.needsSamples(for: exposure), next < samples.count {
        piecewise.append(samples[next..<min(next + 500, samples.count)])
        next += 500
      }
      if next >= samples.count { piecewise.finish() }
      if piecewise.hasPassed(exposure) || piecewise.value(of: exposure) != whole.value(of: exposure) {
        differences += 1
      }
    }
    #expect(differences == 0)
    #expect(piecewise.hasPassed(exposure(0.1, 1e-3)))
  }

  @Test("noise comes from the readings, past slopes, steps and spikes")
  func noise() throws {
    var chance = Chance(seed: 2)
    var readings: [Double] = []
    for index in 0..<1000 {
      readings.append(0.3 * Double(index) + (index > 500 ? 40 : 0) + (index % 100 == 7 ? 500 : 0) + chance.normal())
    }
    let found = try #require(NoiseEstimate.standardDeviation(of: readings))
    #expect(found > 0.9 && found < 1.15)
    let coarse = (0..<100).map { Double($0 / 10) }
    #expect(try #require(NoiseEstimate.standardDeviation(of: coarse)) == 1 / 12.0.squareRoot())
    #expect(NoiseEstimate.standardDeviation(of: [1, 2, 3]) == nil)
    #expect(NoiseEstimate.standardDeviation(of: Array(repeating: 1.0, count: 20)) == 0)
  }
}
