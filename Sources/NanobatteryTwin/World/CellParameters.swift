package import Quantities

/// What the cell, its holder and its noise are made of. The defaults are a lamella of about 1 µm² that 2 pA charges in
/// half a minute: 1 GΩ is 100 nm of a LiPON-like electrolyte (10 Ω·cm²) on that area.
package struct CellParameters: Equatable, Sendable {
  package var capacity = Coulombs(60e-12)
  /// State of charge when the twin starts, 0…1.
  package var initialStateOfCharge = 0.15
  package var curve = OpenCircuitCurve()
  /// i0 of the Butler–Volmer equation with both transfer coefficients 0.5.
  package var exchangeCurrent = Amperes(2e-12)
  package var seriesResistance = Ohms(1e9)
  /// The double layer at the electrode.
  package var doubleLayerCapacitance = Farads(0.2e-12)
  /// Cable and holder between the source and the contacts. What it holds flows into the cell when contacts close.
  package var strayCapacitance = Farads(2e-12)
  /// Insulation of cable and holder, seen by the source.
  package var leakageResistance = Ohms(200e12)
  /// The cell's own electronic leakage: it discharges itself through it.
  package var selfDischargeResistance = Ohms(400e12)
  /// Two terms of diffusion: the surface runs ahead of the mean state of charge by Σ xₖ, dxₖ/dt = gₖ·I/Q − xₖ/τₖ.
  package var slowDiffusion = DiffusionTerm(timeConstant: Seconds(6), weight: 0.4)
  package var fastDiffusion = DiffusionTerm(timeConstant: Seconds(0.8), weight: 0.6)
  package var temperature_K = 298.15
  /// Standard deviation of the 1/f current noise of the insulation, 0.02 Hz to 200 Hz.
  package var flickerNoise = Amperes(2e-15)
  /// Johnson noise of the series resistance.
  package var thermalNoise = true

  package init() {}

  package struct DiffusionTerm: Equatable, Sendable {
    package var timeConstant: Seconds
    package var weight: Double
    package init(timeConstant: Seconds, weight: Double) {
      self.timeConstant = timeConstant
      self.weight = weight
    }
  }

  /// The values with zeros and extremes moved to where the equations stay solvable.
  var bounded: CellParameters {
    var p = self
    p.capacity = max(capacity, Coulombs(1e-15))
    p.exchangeCurrent = max(exchangeCurrent, Amperes(1e-18))
    p.seriesResistance = max(seriesResistance, Ohms(1))
    p.doubleLayerCapacitance = max(doubleLayerCapacitance, Farads(1e-18))
    p.strayCapacitance = max(strayCapacitance, Farads(1e-15))
    p.leakageResistance = max(leakageResistance, Ohms(1))
    p.selfDischargeResistance = max(selfDischargeResistance, Ohms(1))
    p.slowDiffusion.timeConstant = max(slowDiffusion.timeConstant, Seconds(1e-3))
    p.fastDiffusion.timeConstant = max(fastDiffusion.timeConstant, Seconds(1e-3))
    p.temperature_K = max(temperature_K, 1)
    return p
  }
}
