/// A number with its unit in the type. The value is always in the unit named by `symbol`.
package protocol PhysicalQuantity: Comparable, Hashable, Sendable, CustomStringConvertible {
  /// The unit as printed after a number, with SI prefixes before it: "A", "V", "C".
  static var symbol: String { get }
  /// What it is a measure of, for messages: "current", "voltage".
  static var noun: String { get }
  var value: Double { get }
  init(_ value: Double)
  /// Reads a number with its unit: "2 pA". A type with units of its own (minutes, e/nm^2) reads them here.
  init(parsing text: String) throws(QuantityError)
  /// The shortest text that `init(parsing:)` reads back as the same value: "2 pA", "4.2 V".
  var exactText: String { get }
}

extension PhysicalQuantity {
  package static var noun: String { "quantity" }
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
  package static let noun = "voltage"
  package var value: Double
  package init(_ value: Double) { self.value = value }
}

/// Electric current, A. Positive current charges the working electrode (anodic).
package struct Amperes: PhysicalQuantity {
  package static let symbol = "A"
  package static let noun = "current"
  package var value: Double
  package init(_ value: Double) { self.value = value }
}

/// Electric charge, C. Positive charge has charged the working electrode.
package struct Coulombs: PhysicalQuantity {
  package static let symbol = "C"
  package static let noun = "charge"
  package var value: Double
  package init(_ value: Double) { self.value = value }
}

/// Resistance, Ω.
package struct Ohms: PhysicalQuantity {
  package static let symbol = "Ohm"
  package static let noun = "resistance"
  package var value: Double
  package init(_ value: Double) { self.value = value }
}

/// Frequency, Hz.
package struct Hertz: PhysicalQuantity {
  package static let symbol = "Hz"
  package static let noun = "frequency"
  package var value: Double
  package init(_ value: Double) { self.value = value }
}

/// Length of time, s.
package struct Seconds: PhysicalQuantity {
  package static let symbol = "s"
  package static let noun = "time"
  package var value: Double
  package init(_ value: Double) { self.value = value }
  package init(nanoseconds: Int64) { value = Double(nanoseconds) / 1e9 }
  /// Rounded to whole nanoseconds; beyond 146 years the ends of that span, so that a sum with an instant cannot overflow.
  package var nanoseconds: Int64 {
    let longest = Int64.max / 2
    let exact = (value * 1e9).rounded()
    return abs(exact) < Double(longest) ? Int64(exact) : (exact > 0 ? longest : -longest)
  }
}
