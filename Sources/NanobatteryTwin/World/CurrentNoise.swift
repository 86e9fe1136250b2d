internal import Glibc
internal import Quantities

/// The cell's noise on the model's grid: Johnson noise of the series resistance, 1/f noise of the insulation.
///
/// 1/f is a sum of relaxations one decade apart with equal variance: flat to a fraction of a decibel in f·S(f) from
/// 0.02 Hz to 200 Hz.
struct CurrentNoise: Sendable {
  /// V in series with the cell during the present interval.
  private(set) var series = 0.0
  /// A injected by the insulation during the present interval.
  private(set) var insulation = 0.0

  private static let timeConstants = [0.8e-3, 8e-3, 80e-3, 0.8, 8]
  private var random: SeededRandom
  private var relaxations: [Double]
  private let seriesPerRootHertz: Double
  private let flicker: Double
  private var decaySpan = 0.0
  private var decays: [(keep: Double, add: Double)] = []

  init(_ parameters: CellParameters, seed: UInt64) {
    random = SeededRandom(seed: seed, stream: 1)
    relaxations = Self.timeConstants.map { _ in 0 }
    let boltzmann = 1.380649e-23
    seriesPerRootHertz =
      parameters.thermalNoise
      ? (4 * boltzmann * parameters.temperature_K * parameters.seriesResistance.value).squareRoot() : 0
    flicker = parameters.flickerNoise.value / Double(Self.timeConstants.count).squareRoot()
    // The process has been going on for ever: begin anywhere in its distribution.
    for index in relaxations.indices { relaxations[index] = flicker * random.normal() }
  }

  /// Draws the noise of the next interval, `span` seconds long.
  mutating func draw(_ span: Double) {
    if seriesPerRootHertz > 0 { series = seriesPerRootHertz / (2 * span).squareRoot() * random.normal() }
    guard flicker > 0 else { return }
    if span != decaySpan {
      decaySpan = span
      decays = Self.timeConstants.map {
        let keep = exp(-span / $0)
        return (keep, (1 - keep * keep).squareRoot() * flicker)
      }
    }
    var sum = 0.0
    for index in relaxations.indices {
      relaxations[index] = relaxations[index] * decays[index].keep + decays[index].add * random.normal()
      sum += relaxations[index]
    }
    insulation = sum
  }
}
