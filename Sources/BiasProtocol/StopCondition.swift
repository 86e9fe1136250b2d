package import Quantities

/// What ends a step before its time: a voltage or a current that has been reached.
package struct StopCondition: Hashable, Sendable, CustomStringConvertible {
  package enum Quantity: String, Hashable, Sendable { case voltage, current }
  package enum Comparison: String, Hashable, Sendable { case above, below }

  package var quantity: Quantity
  package var comparison: Comparison
  /// V or A.
  package var threshold: Double
  /// The value is compared without its sign.
  package var magnitude: Bool

  package init(_ quantity: Quantity, _ comparison: Comparison, _ threshold: Double, magnitude: Bool = false) {
    self.quantity = quantity
    self.comparison = comparison
    self.threshold = threshold
    self.magnitude = magnitude
  }

  /// True when the value has reached the threshold. A missing value (overflow, no reading) reaches nothing: the step
  /// then ends by another condition or by its bound in time, and the limits watch over the cell meanwhile.
  package func isMet(voltage: Volts?, current: Amperes?) -> Bool {
    guard let read = quantity == .voltage ? voltage?.value : current?.value, read.isFinite else { return false }
    let value = magnitude ? abs(read) : read
    return comparison == .above ? value >= threshold : value <= threshold
  }

  /// "V > 4.2 V", "|I| < 200 fA".
  package var description: String {
    let letter = quantity == .voltage ? "V" : "I"
    return "\(magnitude ? "|\(letter)|" : letter) \(symbol) \(thresholdText)"
  }

  var symbol: String { comparison == .above ? ">" : "<" }

  var thresholdText: String {
    quantity == .voltage ? Volts(threshold).exactText : Amperes(threshold).exactText
  }
}
