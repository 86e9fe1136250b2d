/// Electrons that have passed through an area (fluence), e/Å².
package struct ElectronDose: PhysicalQuantity {
  package static let symbol = "e/A^2"
  package static let noun = "dose"
  package var value: Double
  package init(_ value: Double) { self.value = value }

  /// Reads "5000 e/A^2", "5000 e/Å^2" and "500000 e/nm^2" (= 5000 e/Å²). The units are tokens of their own, because
  /// A is also ampere (design §7); "²" is read like "^2".
  package init(parsing text: String) throws(QuantityError) {
    let written = try WrittenQuantity(text, example: "5000 e/A^2")
    let unit = written.unit.hasSuffix("²") ? String(written.unit.dropLast()) + "^2" : written.unit
    switch unit {
    case "e/A^2", "e/Å^2", "e-/A^2", "e-/Å^2": self.init(try written.value(power: 0))
    case "e/nm^2", "e-/nm^2": self.init(try written.value(power: -2))
    case "": throw QuantityError("“\(text)” has no unit; write for example “\(text) e/A^2”")
    default: throw QuantityError("“\(text)”: “\(unit)” is not a dose; write e/A^2, e/Å^2 or e/nm^2")
    }
  }

  /// "5000 e/A^2": whole electrons from a hundred on, otherwise three digits.
  package var description: String {
    guard value.isFinite, value != 0, abs(value) < 9e15 else { return "\(value) e/A^2" }
    let before = ShortestDecimal(value).leadingPower + 1
    return "\(fixed(value, decimals: min(max(0, 3 - before), 18))) e/A^2"
  }

  package var exactText: String {
    guard value.isFinite, value != 0 else { return "\(value) e/A^2" }
    return "\(ShortestDecimal(value).text(power: 0)) e/A^2"
  }
}
