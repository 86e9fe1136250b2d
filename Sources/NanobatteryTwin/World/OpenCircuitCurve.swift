internal import Glibc

/// Open-circuit voltage over state of charge: a sloping plateau with a steep foot and a steep head.
///
/// U(s) = base + slope·s − foot·exp(−s / footWidth) + head·exp((s − 1) / headWidth), V; strictly rising. Beyond
/// −0.05…1.05 it goes on straight, so that an abused cell gives large voltages instead of infinite ones.
package struct OpenCircuitCurve: Equatable, Sendable {
  package var base = 3.62
  package var slope = 0.20
  package var foot = 0.62
  package var footWidth = 0.07
  package var head = 0.38
  package var headWidth = 0.08

  package init() {}

  private static let straightBelow = -0.05
  private static let straightAbove = 1.05

  /// Voltage in V and its slope dU/ds in V.
  package func value(at stateOfCharge: Double) -> (voltage: Double, slope: Double) {
    let s = min(max(stateOfCharge, Self.straightBelow), Self.straightAbove)
    let low = foot * exp(-s / footWidth)
    let high = head * exp((s - 1) / headWidth)
    let derivative = slope + low / footWidth + high / headWidth
    return (base + slope * s - low + high + derivative * (stateOfCharge - s), derivative)
  }
}
