/// A number with its unit in the type. The value is always in the SI unit named by `symbol`.
package protocol PhysicalQuantity: Comparable, Hashable, Sendable, CustomStringConvertible {
  /// The unit as printed after a number, with SI prefixes before it: "A", "V", "C".
  static var symbol: String { get }
  var value: Double { get }
  init(_ value: Double)
  /// Reads a number with its unit: "2 pA". A type with units of its own (minutes) reads them here.
  init(parsing text: String) throws(QuantityError)
}

extension PhysicalQuantity {
  package static var zero: Self { Self(0) }
  package var magnitude: Self { Self(abs(value)) }
  package static func < (a: Self, b: Self) -> Bool { a.value < b.value }
  package static func + (a: Self, b: Self) -> Self { Self(a.value + b.value) }
  package static func - (a: Self, b: Self) -> Self { Self(a.value - b.value) }
  package static func * (a: Self, factor: Double) -> Self { Self(a.value * factor) }
  package static func / (a: Self, b: Self) -> Double { a.value / b.value }
  package static prefix func - (a: Self) -> Self { Self(-a.value) }
}

/// Electric potential, V.
package struct Volts: PhysicalQuantity {
  package static let symbol = "V"
  package var value: Double
  package init(_ value: Double) { self.value = value }
}

/// Electric current, A. Positive current charges the working electrode (anodic).
package struct Amperes: PhysicalQuantity {
  package static let symbol = "A"
  package var value: Double
  package init(_ value: Double) { self.value = value }
}

/// Electric charge, C. Positive charge has charged the working electrode.
package struct Coulombs: PhysicalQuantity {
  package static let symbol = "C"
  package var value: Double
  package init(_ value: Double) { self.value = value }
}

/// Resistance, Ω.
package struct Ohms: PhysicalQuantity {
  package static let symbol = "Ohm"
  package var value: Double
  package init(_ value: Double) { self.value = value }
}

/// Frequency, Hz.
package struct Hertz: PhysicalQuantity {
  package static let symbol = "Hz"
  package var value: Double
  package init(_ value: Double) { self.value = value }
}

/// Length of time, s.
package struct Seconds: PhysicalQuantity {
  package static let symbol = "s"
  package var value: Double
  package init(_ value: Double) { self.value = value }
  package init(nanoseconds: Int64) { value = Double(nanoseconds) / 1e9 }
  package var nanoseconds: Int64 { Int64((value * 1e9).rounded()) }
}
