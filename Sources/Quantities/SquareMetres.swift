/// Area, m².
package struct SquareMetres: PhysicalQuantity {
  package static let symbol = "m^2"
  package static let noun = "area"
  package var value: Double
  package init(_ value: Double) { self.value = value }

  /// Reads "1.2 um^2", "1.2 µm²", "400 nm^2", "1 cm^2", "2 m^2".
  package init(parsing text: String) throws(QuantityError) {
    let written = try WrittenQuantity(text, example: "1.2 um^2")
    let unit = written.unit.hasSuffix("²") ? String(written.unit.dropLast()) + "^2" : written.unit
    guard unit.hasSuffix("m^2"), let power = lengthPowers.first(where: { $0.prefix == unit.dropLast(3) })?.power else {
      if written.unit.isEmpty {
        throw QuantityError("“\(text)” has no unit; write for example “\(text) um^2”")
      }
      throw QuantityError("“\(text)”: “\(written.unit)” is not an area; write for example “1.2 um^2”")
    }
    self.init(try written.value(power: 2 * power))
  }

  /// "1.20 um^2".
  package var description: String {
    guard value.isFinite, value != 0 else { return "\(value) m^2" }
    let (prefix, power) = scale
    let number = Double(ShortestDecimal(value).text(power: 2 * power)) ?? value
    return "\(fixed(number, decimals: 2)) \(prefix)m^2"
  }

  /// "1.2 um^2".
  package var exactText: String {
    guard value.isFinite, value != 0 else { return "\(value) m^2" }
    let (prefix, power) = scale
    return "\(ShortestDecimal(value).text(power: 2 * power)) \(prefix)m^2"
  }

  /// The largest prefix that leaves at least one before the point.
  private var scale: (prefix: String, power: Int) {
    let fitting = [("", 0), ("m", -3), ("u", -6)].first { ShortestDecimal(value).leadingPower >= 2 * $0.1 }
    return fitting ?? ("n", -9)
  }
}

private let lengthPowers: [(prefix: String, power: Int)] = [
  ("", 0), ("c", -2), ("m", -3), ("u", -6), ("µ", -6), ("μ", -6), ("n", -9), ("p", -12),
]
