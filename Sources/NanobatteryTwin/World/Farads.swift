internal import Quantities

/// Capacitance, F.
package struct Farads: PhysicalQuantity {
  package static let symbol = "F"
  package static let noun = "capacitance"
  package var value: Double
  package init(_ value: Double) { self.value = value }
}

/// A rate error in parts per million.
struct PartsPerMillion: PhysicalQuantity {
  static let symbol = "ppm"
  static let noun = "rate"
  var value: Double
  init(_ value: Double) { self.value = value }
}

/// A rate error in parts per billion.
struct PartsPerBillion: PhysicalQuantity {
  static let symbol = "ppb"
  static let noun = "rate"
  var value: Double
  init(_ value: Double) { self.value = value }
}
