internal import Linux
package import Quantities

/// What a world starts from.
package struct WorldSettings: Sendable {
  package var cell: CellParameters
  package var seed: UInt64
  /// The instant at which the world begins.
  package var start: MonotonicTime
  package var truth: TruthRecorder?
  /// Told every note; it must not block.
  package var report: @Sendable (String) -> Void

  package init(
    cell: CellParameters = CellParameters(), seed: UInt64 = 1, start: MonotonicTime = .now,
    truth: TruthRecorder? = nil, report: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    self.cell = cell
    self.seed = seed
    self.start = start
    self.truth = truth
    self.report = report
  }
}

/// The one physical truth behind all instruments: the cell, its contacts and what the source presents, over host time.
///
/// Every call may come from any thread; one lock is held while the model moves on. Time never goes back: an instant
/// before the present one counts as the present one.
package final class World: Sendable {
  /// ns; the grid of the model while anything is connected.
  static let fineStep: Int64 = 250_000
  /// ns; the grid while the cell rests with open contacts and the source's relay is open.
  static let restStep: Int64 = 5_000_000
  /// ns; a longer gap (a stopped process) is bridged in coarse steps up to this length before its end.
  static let longestFineGap: Int64 = 60_000_000_000
  static let bridgeStep: Int64 = 10_000_000
  /// ns; noise is drawn for no less, so that a broken step does not shout.
  static let shortestNoise: Int64 = 10_000

  private struct State {
    var model: CellModel
    var noise: CurrentNoise
    var noiseUntil: Int64
    var now: Int64
    var terminal = CellTerminal.highImpedance
    var contactsClosed = false
    /// Charge that had passed when the contacts closed last, C.
    var chargeAtClosing = 0.0
    var history: TerminalHistory
    var lastRow: (nanoseconds: Int64, charge: Double)
  }

  private let state: Monitor<State>
  package let truth: TruthRecorder?
  private let report: @Sendable (String) -> Void

  package init(_ settings: WorldSettings) {
    let model = CellModel(settings.cell)
    let start = settings.start.nanoseconds
    truth = settings.truth
    report = settings.report
    state = Monitor(
      State(
        model: model, noise: CurrentNoise(model.parameters, seed: settings.seed), noiseUntil: start, now: start,
        history: TerminalHistory(start: start), lastRow: (start, 0)))
  }

  /// Moves the model on to an instant.
  package func advance(to time: MonotonicTime) { state.update { advance(&$0, to: time.nanoseconds) } }

  /// The source presents something else from this instant on.
  package func setTerminal(_ terminal: CellTerminal, at time: MonotonicTime) {
    state.update { state in
      advance(&state, to: time.nanoseconds)
      state.terminal = terminal.finite
    }
  }

  /// The holder's relays connect the source with the cell, or open.
  package func setContacts(closed: Bool, at time: MonotonicTime) {
    let changed = state.update { state -> MonotonicTime? in
      advance(&state, to: time.nanoseconds)
      guard closed != state.contactsClosed else { return nil }
      state.contactsClosed = closed
      if closed {
        state.chargeAtClosing = state.history.last.charge
        state.lastRow = (state.now, state.chargeAtClosing)
      }
      return MonotonicTime(nanoseconds: state.now)
    }
    if let changed { note(closed ? "contacts closed" : "contacts open", at: changed) }
  }

  /// True means at the source's terminals over a window; of a window without length, the step it lies in.
  ///
  /// At least the last 10 s are kept. The part of a window before that is left out.
  package func means(from: MonotonicTime, to: MonotonicTime) -> TerminalMeans {
    state.update { state in
      advance(&state, to: to.nanoseconds)
      let end = max(to.nanoseconds, from.nanoseconds)
      return Self.means(state, from: min(from.nanoseconds, end - 1), to: end)
    }
  }

  /// C through the source's terminals since the contacts closed, at an instant of the last 10 s.
  package func charge(at time: MonotonicTime) -> Double {
    state.update { state in
      advance(&state, to: time.nanoseconds)
      return state.history.at(time.nanoseconds).charge - state.chargeAtClosing
    }
  }

  /// The cell as it is now: V at its terminals, V at rest, C since the contacts closed, mean state of charge 0…1.
  package var cell: (voltage: Double, openCircuitVoltage: Double, charge_C: Double, stateOfCharge: Double) {
    state.read {
      (
        $0.model.cellVoltage, $0.model.openCircuitVoltage, $0.history.last.charge - $0.chargeAtClosing,
        $0.model.stateOfCharge
      )
    }
  }

  /// What the source presents and whether the contacts are closed.
  package var connection: (terminal: CellTerminal, contactsClosed: Bool) {
    state.read { ($0.terminal, $0.contactsClosed) }
  }

  /// A line in the truth's `events.csv`.
  package func note(_ text: String, at time: MonotonicTime) {
    truth?.event(text, at: time)
    report(text)
  }

  /// The present instant of the model.
  package var now: MonotonicTime { state.read { MonotonicTime(nanoseconds: $0.now) } }

  private static func means(_ state: State, from: Int64, to: Int64) -> TerminalMeans {
    let a = state.history.at(from)
    var b = state.history.at(to)
    if b.nanoseconds <= a.nanoseconds { b = state.history.at(a.nanoseconds + 1) }
    guard b.nanoseconds > a.nanoseconds else {
      return TerminalMeans(
        voltage: state.model.terminalVoltage, current: 0, complianceShare: 0,
        smuOutputOn: !state.terminal.isHighImpedance, cellVoltage: state.model.cellVoltage)
    }
    let window_ns = Double(b.nanoseconds - a.nanoseconds)
    let span = window_ns * 1e-9
    return TerminalMeans(
      voltage: (b.voltage - a.voltage) / span, current: (b.charge - a.charge) / span,
      complianceShare: min(max((b.compliance_ns - a.compliance_ns) / window_ns, 0), 1),
      smuOutputOn: (b.outputOn_ns - a.outputOn_ns) / window_ns > 0.5,
      cellVoltage: (b.cellVoltage - a.cellVoltage) / span)
  }

  private func advance(_ state: inout State, to target: Int64) {
    while state.now < target {
      let grid =
        if target - state.now > Self.longestFineGap {
          Self.bridgeStep
        } else if state.contactsClosed || !state.terminal.isHighImpedance {
          Self.fineStep
        } else {
          Self.restStep
        }
      let boundary = (state.now / grid + 1) * grid
      if state.now >= state.noiseUntil {
        state.noise.draw(Double(max(boundary - state.now, Self.shortestNoise)) * 1e-9)
        state.noiseUntil = boundary
      }
      step(&state, to: min(boundary, target))
    }
  }

  private func step(_ state: inout State, to end: Int64) {
    let start = state.now
    let span = Double(end - start) * 1e-9
    let flow = state.model.step(
      span, terminal: state.terminal, contactsClosed: state.contactsClosed, seriesNoise: state.noise.series,
      insulationNoise: state.noise.insulation)
    var entry = state.history.last
    entry.nanoseconds = end
    entry.voltage += state.model.terminalVoltage * span
    entry.charge += flow.current * span
    entry.compliance_ns += flow.inCompliance ? Double(end - start) : 0
    entry.outputOn_ns += state.terminal.isHighImpedance ? 0 : Double(end - start)
    entry.cellVoltage += state.model.cellVoltage * span
    state.history.append(entry)
    state.now = end
    if state.contactsClosed, let truth, end % 1_000_000 == 0 {
      let passed = Double(end - state.lastRow.nanoseconds) * 1e-9
      truth.append(
        TruthRecorder.CellRow(
          raw_ns: end, voltage_V: state.model.terminalVoltage,
          current_A: passed > 0 ? (entry.charge - state.lastRow.charge) / passed : 0,
          charge_C: entry.charge - state.chargeAtClosing))
      state.lastRow = (end, entry.charge)
    }
  }
}

extension CellTerminal {
  /// Set points that are no numbers become an open relay.
  fileprivate var finite: CellTerminal {
    switch self {
    case .highImpedance: self
    case .voltage(let value, let limit): value.isFinite && !limit.isNaN ? self : .highImpedance
    case .current(let value, let limit): value.isFinite && !limit.isNaN ? self : .highImpedance
    }
  }
}
