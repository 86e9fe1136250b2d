/// Length, m.
package struct Metres: PhysicalQuantity {
  package static let symbol = "m"
  package static let noun = "length"
  package var value: Double
  package init(_ value: Double) { self.value = value }
}
