package import Quantities

/// What the maker of a heating chip says of it: `R(T) = R0·[1 + α(T−T0) + β(T−T0)²]` (holder.md §2).
package struct HeaterChip: Hashable, Sendable {
  /// R0 at T0.
  package var resistance: Ohms
  package var temperature: Kelvins
  /// 1/K.
  package var alpha: Double
  /// 1/K².
  package var beta: Double
  package var maximumCurrent: Amperes
  package var maximumTemperature: Kelvins
  package var serial: String

  package init(
    resistance: Ohms, temperature: Kelvins, alpha: Double, beta: Double, maximumCurrent: Amperes,
    maximumTemperature: Kelvins, serial: String
  ) {
    self.resistance = resistance
    self.temperature = temperature
    self.alpha = alpha
    self.beta = beta
    self.maximumCurrent = maximumCurrent
    self.maximumTemperature = maximumTemperature
    self.serial = serial
  }

  package func resistance(at t: Kelvins) -> Ohms {
    let d = t.value - temperature.value
    return Ohms(resistance.value * (1 + alpha * d + beta * d * d))
  }

  /// The temperature that a resistance means; nil where the formula has none.
  package func temperature(of r: Ohms) -> Kelvins? {
    let ratio = r.value / resistance.value - 1
    guard beta != 0 else { return alpha == 0 ? nil : Kelvins(temperature.value + ratio / alpha) }
    let discriminant = alpha * alpha + 4 * beta * ratio
    guard discriminant >= 0 else { return nil }
    return Kelvins(temperature.value + (-alpha + discriminant.squareRoot()) / (2 * beta))
  }
}
