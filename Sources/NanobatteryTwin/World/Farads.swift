internal import Quantities

/// Capacitance, F.
package struct Farads: PhysicalQuantity {
  package static let symbol = "F"
  package var value: Double
  package init(_ value: Double) { self.value = value }
}

/// A rate error in parts per million.
struct PartsPerMillion: PhysicalQuantity {
  static let symbol = "ppm"
  var value: Double
  init(_ value: Double) { self.value = value }
}

/// A rate error in parts per billion.
struct PartsPerBillion: PhysicalQuantity {
  static let symbol = "ppb"
  var value: Double
  init(_ value: Double) { self.value = value }
}
