import BiasProtocol
import Potentiostat
import Quantities

extension PlannedInstrument {
  /// The potentiostat of a station as data; nil when it has never been reached.
  init?(model: String, of station: PotentiostatStation) {
    guard let smallest = station.ranges.first else { return nil }
    self.init(
      model: model,
      ranges: station.ranges.map {
        PlannedInstrument.Range(full: $0.range, resolution: $0.measureResolution, accuracy: $0.measureOffset)
      }, holdsCurrent: station.abilities.holdsCurrent,
      lowestHolding: station.abilities.holdsCurrent ? station.rangeHolding(smallest.range) : nil,
      shortestPeriod: station.shortestPeriod, voltages: station.abilities.voltages)
  }
}
