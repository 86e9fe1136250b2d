/// What the source-measure unit presents at its terminals.
package enum CellTerminal: Equatable, Sendable {
  /// The output relay is open.
  case highImpedance
  /// A voltage in V with the current limited to ±`currentLimit` A. Output-off NORMAL is `voltage(0, …)`: it discharges.
  case voltage(Double, currentLimit: Double)
  /// A current in A, positive charges the cell, with the voltage limited to ±`voltageLimit` V.
  case current(Double, voltageLimit: Double)

  package var isHighImpedance: Bool { self == .highImpedance }
}

/// True means over a window, at the terminals of the source-measure unit.
package struct TerminalMeans: Equatable, Sendable {
  /// V.
  package var voltage: Double
  /// A, positive charges the cell.
  package var current: Double
  /// Share of the window, 0…1, in which the source was at its limit.
  package var complianceShare: Double
  /// The output relay was closed for most of the window.
  package var smuOutputOn: Bool
  /// V at the cell behind the contacts, whether they are closed or not.
  package var cellVoltage: Double
}
