/// A text that is not the quantity asked for.
package struct QuantityError: Error, Equatable, CustomStringConvertible {
  package var description: String
  package init(_ description: String) { self.description = description }
}

extension PhysicalQuantity {
  /// Reads "2 pA", "2pA" or "2e-12 A". The unit is mandatory; "M" is understood only before Ohm and Hz.
  package init(parsing text: String) throws(QuantityError) {
    let written = try WrittenQuantity(text, example: "2 \(Self.symbol)")
    guard let power = unitPower(written.unit, symbol: Self.symbol) else {
      throw QuantityError(explainUnit(written, symbol: Self.symbol, noun: Self.noun))
    }
    self.init(try written.value(power: power))
  }
}

/// The number at the front of a text, and the unit behind it.
package func splitNumber(_ text: String, unit: String) throws(QuantityError) -> (Double, String) {
  let written = try WrittenQuantity(text, example: "2 \(unit)")
  return (try written.value(power: 0), written.unit)
}

/// A number as it was written, so that its unit's power of ten can be applied without rounding twice, and its unit.
struct WrittenQuantity {
  /// All of it, as written.
  let text: String
  /// Sign, digits and point.
  private let mantissa: String
  private let exponent: Int
  var unit: String

  init(_ text: String, example: String) throws(QuantityError) {
    let refusal = QuantityError("“\(text)” is not a number with a unit, such as “\(example)”")
    // People paste from papers: non-breaking and thin spaces, and the minus sign of typesetters.
    let characters = text.map { (character: Character) -> Character in
      switch character {
      case "\u{A0}", "\u{2009}", "\u{202F}", "\t": " "
      case "\u{2212}": "-"
      default: character
      }
    }
    var rest = characters[...].drop { $0 == " " }
    mantissa = Self.take(&rest, fraction: true)
    guard mantissa.contains(where: \.isNumber), Double(mantissa) != nil else { throw refusal }
    var power = 0
    if let letter = rest.first, letter == "e" || letter == "E" {
      var behind = rest.dropFirst()
      let digits = Self.take(&behind, fraction: false)
      if !digits.isEmpty {
        // Beyond a thousand the number is 0 or infinite whatever it is multiplied with.
        guard let value = Int(digits), abs(value) < 1000 else { throw refusal }
        power = value
        rest = behind
      }
    }
    exponent = power
    while rest.last == " " { rest.removeLast() }
    self.text = text
    unit = String(rest.drop { $0 == " " })
  }

  /// The number times 10^`power`, rounded once: "2 pA" is the double nearest to 2e-12.
  func value(power: Int) throws(QuantityError) -> Double {
    guard let value = Double("\(mantissa)e\(exponent + power)"), value.isFinite else {
      throw QuantityError("“\(text)” is too large a number")
    }
    return value
  }

  /// Takes an optional sign and the digits behind it, with a point among them where a fraction may be.
  private static func take(_ rest: inout ArraySlice<Character>, fraction: Bool) -> String {
    var taken = ""
    while let character = rest.first, character.isASCII {
      let isSign = taken.isEmpty && (character == "-" || character == "+")
      guard character.isNumber || isSign || (fraction && character == ".") else { break }
      taken.append(character)
      rest = rest.dropFirst()
    }
    return taken
  }
}

/// SI prefixes that are understood, with their power of ten. "u", "µ" (U+00B5) and "μ" (U+03BC) are the same.
private let prefixes: [(String, Int)] = [
  ("f", -15), ("p", -12), ("n", -9), ("u", -6), ("µ", -6), ("μ", -6), ("m", -3), ("", 0), ("k", 3),
]

/// The power of ten of a unit with its prefix, or nil when it is another unit.
func unitPower(_ unit: String, symbol: String) -> Int? {
  let spellings = symbol == "Ohm" ? ["Ohm", "ohm", "Ω"] : [symbol]
  for spelling in spellings where unit.hasSuffix(spelling) {
    let prefix = String(unit.dropLast(spelling.count))
    if let (_, power) = prefixes.first(where: { $0.0 == prefix }) { return power }
    if prefix == "M" && (symbol == "Ohm" || symbol == "Hz") { return 6 }
  }
  return nil
}

/// Why a unit is not one of `symbol`, and what to write.
func explainUnit(_ written: WrittenQuantity, symbol: String, noun: String) -> String {
  let (text, unit) = (written.text, written.unit)
  if unit.isEmpty { return "“\(text)” has no unit; write for example “\(text) \(symbol)”" }
  if unit.first == "," { return "“\(text)”: write the decimals behind a point, not a comma" }
  if unit == "M" + symbol {
    return
      "“\(text)”: “M” (mega) is understood only before Ohm and Hz; “m\(symbol)” is milli, “\(symbol)” has no prefix"
  }
  if let other = kind(ofUnit: unit) {
    let article = "aeiou".contains(other.prefix(1)) ? "an" : "a"
    return "“\(text)” is \(article) \(other); a \(noun) is needed here, such as “2 \(symbol)”"
  }
  let near = prefixes.map { $0.0 + symbol }.filter { $0.lowercased() == unit.lowercased() }
  if let meant = near.first { return "“\(text)”: “\(unit)” is not a unit; did you mean “\(meant)”?" }
  return "“\(text)”: “\(unit)” is not \(symbol) with a prefix f, p, n, u, m or k"
}

/// What a unit is a measure of, or nil when it is no unit of ours.
private func kind(ofUnit unit: String) -> String? {
  switch unit {
  case "min", "minute", "minutes", "h", "hr", "hour", "hours", "second", "seconds", "sec": return Seconds.noun
  case _ where unit.hasPrefix("e/"): return ElectronDose.noun
  case _ where unit.hasSuffix("m^2") || unit.hasSuffix("m²"): return SquareMetres.noun
  default:
    let kinds: [any PhysicalQuantity.Type] = [
      Volts.self, Amperes.self, Coulombs.self, Ohms.self, Hertz.self, Seconds.self,
    ]
    return kinds.first { unitPower(unit, symbol: $0.symbol) != nil }?.noun
  }
}
