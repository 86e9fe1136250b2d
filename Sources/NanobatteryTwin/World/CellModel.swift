internal import Glibc
internal import Quantities

/// The electrochemical cell with its cable, moved on in steps by backward Euler.
///
/// Source ─┬─ stray C ∥ insulation ─┬─ contacts ─ R_s ─ (double layer ∥ Butler–Volmer) ─ U(surface state of charge).
/// All that the step's end depends on is a rising function of one unknown, the charge-transfer overpotential: a
/// bracketed Newton search finds it for any parameters, however stiff.
package struct CellModel: Sendable {
  package let parameters: CellParameters
  package private(set) var stateOfCharge: Double
  private var slowExcess = 0.0
  private var fastExcess = 0.0
  /// Charge-transfer overpotential, V: the voltage of the double layer.
  private var overpotential = 0.0
  /// V at the source's terminals.
  package private(set) var terminalVoltage = 0.0
  /// V at the cell's terminals.
  package private(set) var cellVoltage: Double

  private let faradayOverRT: Double

  /// What flowed during a step.
  package struct Flow: Sendable {
    /// A, mean over the step, out of the source.
    package var current: Double
    package var inCompliance: Bool
  }

  package init(_ parameters: CellParameters) {
    let bounded = parameters.bounded
    self.parameters = bounded
    stateOfCharge = bounded.initialStateOfCharge
    cellVoltage = bounded.curve.value(at: bounded.initialStateOfCharge).voltage
    faradayOverRT = 96485.33212 / (8.314462618 * bounded.temperature_K)
  }

  /// V of the cell when it has rested for long.
  package var openCircuitVoltage: Double { parameters.curve.value(at: stateOfCharge).voltage }

  /// Charge in C that all storing parts hold more than at the start; for the balance of charge.
  package var storedCharge: Double {
    parameters.capacity.value * (stateOfCharge - parameters.initialStateOfCharge)
      + parameters.strayCapacitance.value * terminalVoltage
  }

  /// Moves on by `span` seconds.
  /// - Parameters:
  ///   - seriesNoise: V in series with the cell, constant over the step.
  ///   - insulationNoise: A that the insulation injects, constant over the step.
  package mutating func step(
    _ span: Double, terminal: CellTerminal, contactsClosed: Bool, seriesNoise: Double = 0, insulationNoise: Double = 0
  ) -> Flow {
    let step = Step(model: self, span: span, seriesNoise: seriesNoise, insulationNoise: insulationNoise)
    return contactsClosed ? stepClosed(step, terminal) : stepOpen(step, terminal)
  }

  private mutating func stepClosed(_ step: Step, _ terminal: CellTerminal) -> Flow {
    func solve(_ unknown: Trial.Unknown, _ target: Double) -> Trial { step.solve(unknown, for: target) }
    var end: Trial
    var limited = false
    switch terminal {
    case .highImpedance:
      end = solve(.sourceCurrent, 0)
    case .voltage(let target, let limit):
      end = solve(.terminalVoltage, target)
      let most = abs(limit)
      if abs(end.sourceCurrent.value) > most {
        limited = true
        end = solve(.sourceCurrent, end.sourceCurrent.value < 0 ? -most : most)
      }
    case .current(let target, let limit):
      end = solve(.sourceCurrent, target)
      let most = abs(limit)
      if abs(end.terminalVoltage.value) > most {
        limited = true
        end = solve(.terminalVoltage, end.terminalVoltage.value < 0 ? -most : most)
        // A source at its voltage limit carries at most its set current, either way.
        if abs(end.sourceCurrent.value) > abs(target) {
          end = solve(.sourceCurrent, end.sourceCurrent.value < 0 ? -abs(target) : abs(target))
        }
      }
    }
    take(end, step)
    terminalVoltage = end.terminalVoltage.value
    cellVoltage = terminalVoltage
    return Flow(current: end.sourceCurrent.value, inCompliance: limited)
  }

  /// The cell rests; the source sees the cable alone, which is linear.
  private mutating func stepOpen(_ step: Step, _ terminal: CellTerminal) -> Flow {
    let end = step.solve(.cellCurrent, for: 0)
    take(end, step)
    cellVoltage = end.internalVoltage

    let charging = parameters.strayCapacitance.value / step.span
    let conductance = charging + 1 / parameters.leakageResistance.value
    let held = charging * terminalVoltage + step.insulationNoise
    func voltage(at current: Double) -> Double { (current + held) / conductance }
    func current(at voltage: Double) -> Double { conductance * voltage - held }
    var flow = Flow(current: 0, inCompliance: false)
    switch terminal {
    case .highImpedance: break
    case .voltage(let target, let limit):
      let wanted = current(at: target)
      flow.current = min(max(wanted, -abs(limit)), abs(limit))
      flow.inCompliance = flow.current != wanted
    case .current(let target, let limit):
      flow.current = target
      let reached = voltage(at: target)
      if abs(reached) > abs(limit) {
        flow.inCompliance = true
        flow.current = min(max(current(at: reached < 0 ? -abs(limit) : abs(limit)), -abs(target)), abs(target))
      }
    }
    terminalVoltage = voltage(at: flow.current)
    return flow
  }

  private mutating func take(_ end: Trial, _ step: Step) {
    overpotential = end.overpotential
    slowExcess = step.slow.at(end.faradaicCurrent.value)
    fastExcess = step.fast.at(end.faradaicCurrent.value)
    stateOfCharge = step.mean.at(end.faradaicCurrent.value)
  }
}

/// A value and its derivative by the overpotential.
private struct Slope {
  var value: Double
  var derivative: Double
}

/// A value that is linear in the faradaic current.
private struct Linear {
  var constant: Double
  var factor: Double
  func at(_ x: Double) -> Double { constant + factor * x }
}

/// The end of a step, were the overpotential there `overpotential`.
private struct Trial {
  var overpotential: Double
  var faradaicCurrent: Slope
  var cellCurrent: Slope
  /// V of the cell without what drops at the series resistance by current.
  var internalVoltage: Double
  var terminalVoltage: Slope
  var sourceCurrent: Slope

  /// What can be prescribed.
  enum Unknown { case terminalVoltage, sourceCurrent, cellCurrent }
  subscript(_ unknown: Unknown) -> Slope {
    switch unknown {
    case .terminalVoltage: terminalVoltage
    case .sourceCurrent: sourceCurrent
    case .cellCurrent: cellCurrent
    }
  }
}

/// One step of backward Euler: where it starts, as functions of where it ends.
private struct Step {
  let parameters: CellParameters
  let span: Double
  let seriesNoise: Double
  let insulationNoise: Double
  let startOverpotential: Double
  let startVoltage: Double
  let halfFRT: Double
  let mean: Linear
  let slow: Linear
  let fast: Linear

  init(model: CellModel, span: Double, seriesNoise: Double, insulationNoise: Double) {
    let p = model.parameters
    let start = model.start
    parameters = p
    self.span = span
    self.seriesNoise = seriesNoise
    self.insulationNoise = insulationNoise
    startOverpotential = start.overpotential
    startVoltage = model.terminalVoltage
    halfFRT = start.halfFRT
    let perCharge = span / p.capacity.value
    mean = Linear(
      constant: model.stateOfCharge - perCharge * model.cellVoltage / p.selfDischargeResistance.value,
      factor: perCharge)
    func term(_ value: Double, _ term: CellParameters.DiffusionTerm) -> Linear {
      let decay = 1 / (1 + span / term.timeConstant.value)
      return Linear(constant: value * decay, factor: perCharge * term.weight * decay)
    }
    slow = term(start.slow, p.slowDiffusion)
    fast = term(start.fast, p.fastDiffusion)
  }

  /// Beyond this exponent the exponential goes on straight, so that no trial overflows.
  private static let straightBeyond = 40.0

  /// i0·(exp(x) − exp(−x)), x = F·η / 2RT.
  private func chargeTransfer(_ overpotential: Double) -> Slope {
    let x = halfFRT * overpotential
    let bounded = min(max(x, -Self.straightBeyond), Self.straightBeyond)
    let up = exp(bounded)
    let down = 1 / up
    let i0 = parameters.exchangeCurrent.value
    let slope = i0 * (up + down)
    return Slope(value: i0 * (up - down) + slope * (x - bounded), derivative: slope * halfFRT)
  }

  func trial(_ overpotential: Double) -> Trial {
    let p = parameters
    let faradaic = chargeTransfer(overpotential)
    let surface = mean.at(faradaic.value) + slow.at(faradaic.value) + fast.at(faradaic.value)
    let open = p.curve.value(at: surface)
    let layer = p.doubleLayerCapacitance.value / span
    let cell = Slope(
      value: faradaic.value + layer * (overpotential - startOverpotential), derivative: faradaic.derivative + layer)
    let inside = open.voltage + overpotential
    let insideSlope = open.slope * (mean.factor + slow.factor + fast.factor) * faradaic.derivative + 1
    let voltage = Slope(
      value: inside + p.seriesResistance.value * cell.value + seriesNoise,
      derivative: insideSlope + p.seriesResistance.value * cell.derivative)
    let cable = 1 / p.leakageResistance.value + p.strayCapacitance.value / span
    let source = Slope(
      value: cell.value + cable * voltage.value - p.strayCapacitance.value / span * startVoltage - insulationNoise,
      derivative: cell.derivative + cable * voltage.derivative)
    return Trial(
      overpotential: overpotential, faradaicCurrent: faradaic, cellCurrent: cell, internalVoltage: inside,
      terminalVoltage: voltage, sourceCurrent: source)
  }

  /// V; no charge-transfer overpotential goes beyond it.
  private static let widest = 20.0
  private static let mostTrials = 100
  /// V; two trials nearer than this are the same.
  private static let resolution = 1e-13

  /// Newton's search, kept inside a bracket that bisection halves whenever Newton would be slow.
  func solve(_ unknown: Trial.Unknown, for target: Double) -> Trial {
    var low = -Self.widest
    var high = Self.widest
    var best = trial(startOverpotential)
    var lastMiss = Double.infinity
    for _ in 0..<Self.mostTrials {
      let miss = best[unknown].value - target
      if miss == 0 { break }
      if miss > 0 { high = best.overpotential } else { low = best.overpotential }
      var next = best.overpotential - miss / best[unknown].derivative
      if !(next > low && next < high) || abs(miss) > 0.5 * lastMiss { next = low + (high - low) / 2 }
      lastMiss = abs(miss)
      if abs(next - best.overpotential) <= Self.resolution { break }
      best = trial(next)
    }
    return best
  }
}

extension CellModel {
  fileprivate var start: (overpotential: Double, slow: Double, fast: Double, halfFRT: Double) {
    (overpotential, slowExcess, fastExcess, faradayOverRT / 2)
  }
}
