import Alignment
import Quantities
import Testing

@Suite("Electrons of a frame")
struct FrameDosimetryTests {
  private let dosimetry = FrameDosimetry(
    countsPerElectron: UncertainValue(12.5, 0.5), pixelSize: UncertainValue(0.5, 0.005))

  @Test("Counts become electrons per area; three shares of uncertainty add in squares")
  func arithmetic() {
    // 10000 electrons on 100 × 100 pixels of 0.25 Å² are 4 e/Å².
    let found = dosimetry.electrons(counts: 125_000, pixels: 10_000)
    #expect(abs(found.value - 4) < 1e-12)
    // 1 % of counting, 4 % of the counts per electron, twice 1 % of the pixel's side.
    let share = (0.01 * 0.01 + 0.04 * 0.04 + 0.02 * 0.02).squareRoot()
    #expect(abs(found.relative - share) < 1e-12)
    #expect(abs(dosimetry.systematicShare - (0.04 * 0.04 + 0.02 * 0.02).squareRoot()) < 1e-12)
  }

  @Test("An average of k frames counted the electrons of all k, as their sum did")
  func averages() {
    let sum = dosimetry.electrons(counts: 125_000, pixels: 10_000)
    let average = dosimetry.electrons(counts: 125_000 / 8, pixels: 10_000, averageOf: 8)
    #expect(abs(average.value - sum.value) < 1e-12 && abs(average.uncertainty - sum.uncertainty) < 1e-12)
  }

  @Test("A frame without counts has no electrons, give or take one")
  func nothing() {
    let found = dosimetry.electrons(counts: 0, pixels: 10_000)
    #expect(found == UncertainValue(0, 1 / 2500))
  }

  @Test(
    "The stated uncertainty covers the truth as often as it says",
    arguments: [(30.0, 0.05, 0.02), (100, 0.05, 0.02), (100, 0.01, 0.001), (400, 0.001, 0.03)])
  func coverage(electrons: Double, gainShare: Double, sizeShare: Double) {
    var chance = Chance(seed: 20)
    let (gain, size, pixels) = (12.5, 0.52, 4096)
    let truth = electrons / (Double(pixels) * size * size)
    let trials = 4000
    var within = 0
    var withinTwo = 0
    for _ in 0..<trials {
      // What was measured of the camera is off by its uncertainty; the electrons are counted.
      let believed = FrameDosimetry(
        countsPerElectron: UncertainValue(gain * (1 + gainShare * chance.normal()), gain * gainShare),
        pixelSize: UncertainValue(size * (1 + sizeShare * chance.normal()), size * sizeShare))
      let found = believed.electrons(counts: gain * Double(chance.poisson(electrons)), pixels: pixels)
      let error = abs(found.value - truth)
      if error <= found.uncertainty { within += 1 }
      if error <= 2 * found.uncertainty { withinTwo += 1 }
    }
    // A normal error lies within one standard deviation in 68.3 %, within two in 95.4 % of all cases; 4000 trials tell it to
    // 0.7 % and 0.3 %.
    #expect(abs(Double(within) / Double(trials) - 0.683) < 0.025, "\(within) of \(trials)")
    #expect(abs(Double(withinTwo) / Double(trials) - 0.954) < 0.015, "\(withinTwo) of \(trials)")
  }
}

extension Chance {
  /// A Poisson count: events with exponential waits until the time is over.
  fileprivate mutating func poisson(_ mean: Double) -> Int {
    var count = -1
    var time = 0.0
    repeat {
      time += exponential(1)
      count += 1
    } while time < mean
    return count
  }
}
