/// Absolute temperature, K. Written in kelvin or in degrees Celsius.
package struct Kelvins: PhysicalQuantity {
  package static let symbol = "K"
  package static let noun = "temperature"
  /// 0 °C.
  private static let zeroCelsius = 273.15
  package var value: Double
  package init(_ value: Double) { self.value = value }
  package init(celsius: Double) { value = celsius + Self.zeroCelsius }
  package var celsius: Double { value - Self.zeroCelsius }

  /// Reads "623 K", "350 C", "350 °C" and "350 degC". "m" and other prefixes are not understood.
  package init(parsing text: String) throws(QuantityError) {
    let written = try WrittenQuantity(text, example: "350 C")
    switch written.unit {
    case "K": self.init(try written.value(power: 0))
    // "℃" is a character of its own.
    case "C", "°C", "℃", "degC": self.init(celsius: try written.value(power: 0))
    case "": throw QuantityError("“\(text)” has no unit; write for example “\(text) C” or “\(text) K”")
    default: throw QuantityError("“\(text)”: “\(written.unit)” is not a temperature; write K or C (degrees Celsius)")
    }
    guard value >= 0 else { throw QuantityError("“\(text)” is below absolute zero") }
  }

  /// "623.2 K (350.0 C)".
  package var description: String { "\(fixed(value, decimals: 1)) K (\(fixed(celsius, decimals: 1)) C)" }
  package var exactText: String {
    guard value.isFinite, value != 0 else { return "\(value) K" }
    return "\(ShortestDecimal(value).text(power: 0)) K"
  }
}
