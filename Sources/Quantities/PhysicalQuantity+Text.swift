/// A text that is not the quantity asked for.
package struct QuantityError: Error, Equatable, CustomStringConvertible {
  package var description: String
  package init(_ description: String) { self.description = description }
}

/// SI prefixes that are understood, with their power of ten. "u", "µ" (U+00B5) and "μ" (U+03BC) are the same.
private let prefixes: [(String, Int)] = [
  ("f", -15), ("p", -12), ("n", -9), ("u", -6), ("µ", -6), ("μ", -6), ("m", -3), ("", 0), ("k", 3),
]

extension PhysicalQuantity {
  /// Reads "2 pA", "2pA" or "2e-12 A". The unit is mandatory; "M" is understood only before Ohm and Hz.
  package init(parsing text: String) throws(QuantityError) {
    let (number, unit) = try splitNumber(text, unit: Self.symbol)
    if let factor = unitScale(unit, symbol: Self.symbol) {
      self.init(scaled(number, factor))
      return
    }
    throw QuantityError(explainUnit(text, unit, symbol: Self.symbol))
  }

  /// Three significant digits and an SI prefix: "2.00 pA".
  package var description: String { formatted() }

  /// The value with an SI prefix and `digits` significant digits.
  package func formatted(digits: Int = 3) -> String {
    guard value.isFinite else { return "\(value) \(Self.symbol)" }
    var exponent = 0
    if value != 0 {
      exponent = Int((log10Floor(abs(value)) / 3).rounded(.down)) * 3
      exponent = min(max(exponent, -18), 3)
    }
    var scaledValue = scaled(value, -exponent)
    var text = significant(scaledValue, digits)
    if abs(Double(text) ?? 0) >= 1000 && exponent < 3 {
      exponent += 3
      scaledValue = scaled(value, -exponent)
      text = significant(scaledValue, digits)
    }
    let prefix = [-18: "a", -15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k"][exponent] ?? ""
    return "\(text) \(prefix)\(Self.symbol)"
  }
}

extension Seconds {
  /// Reads "10 ms", "60 s", "5 min", "1 h"; "second(s)", "sec", "minute(s)", "hour(s)", "hr" and "day(s)", "d" as well.
  package init(parsing text: String) throws(QuantityError) {
    let (number, unit) = try splitNumber(text, unit: "s")
    switch unit {
    case "second", "seconds", "sec": self.init(number)
    case "min", "minute", "minutes": self.init(number * 60)
    case "h", "hr", "hour", "hours": self.init(number * 3600)
    case "d", "day", "days": self.init(number * 86400)
    case "m":
      throw QuantityError("“\(text)”: write “\(plain(number)) min” or “\(plain(number)) ms”; “m” alone could be either")
    default:
      guard let factor = unitScale(unit, symbol: "s"), factor <= 0 else {
        throw QuantityError(explainUnit(text, unit, symbol: "s"))
      }
      self.init(scaled(number, factor))
    }
  }

  /// "250 ms", "12.5 s", "5 min 30 s", "2 h 10 min".
  package var description: String {
    guard value.isFinite else { return "\(value) s" }
    if abs(value) < 120 { return formatted() }
    let total = Int(value.rounded())
    let (h, m, s) = (total / 3600, total % 3600 / 60, total % 60)
    if h > 0 { return m > 0 ? "\(h) h \(m) min" : "\(h) h" }
    return s > 0 ? "\(m) min \(s) s" : "\(m) min"
  }
}

/// The number at the front of a text, and the unit behind it.
package func splitNumber(_ text: String, unit: String) throws(QuantityError) -> (Double, String) {
  let trimmed = text.drop { $0 == " " }
  var end = trimmed.startIndex
  var sawDigit = false
  var index = trimmed.startIndex
  while index < trimmed.endIndex {
    let c = trimmed[index]
    let isExponent =
      (c == "e" || c == "E") && sawDigit
      && trimmed[trimmed.index(after: index)...].first.map { $0.isNumber || $0 == "-" || $0 == "+" } ?? false
    let isSign =
      (c == "-" || c == "+") && (index == trimmed.startIndex || "eE".contains(trimmed[trimmed.index(before: index)]))
    guard c.isASCII && (c.isNumber || c == "." || isExponent || isSign) else { break }
    if c.isNumber { sawDigit = true }
    index = trimmed.index(after: index)
    end = index
  }
  guard let number = Double(String(trimmed[..<end])), number.isFinite else {
    throw QuantityError("“\(text)” is not a number with a unit, such as “2 \(unit)”")
  }
  let rest = trimmed[end...].drop { $0 == " " }
  var unitText = String(rest)
  while unitText.last == " " { unitText.removeLast() }
  return (number, unitText)
}

/// The power of ten of a prefixed unit, or nil when it is another unit.
private func unitScale(_ unit: String, symbol: String) -> Int? {
  let symbols = symbol == "Ohm" ? ["Ohm", "ohm", "Ω", "Ω"] : [symbol]
  for name in symbols where unit.hasSuffix(name) {
    let prefix = String(unit.dropLast(name.count))
    if let (_, power) = prefixes.first(where: { $0.0 == prefix }) { return power }
    if prefix == "M" && (symbol == "Ohm" || symbol == "Hz") { return 6 }
  }
  return nil
}

private func explainUnit(_ text: String, _ unit: String, symbol: String) -> String {
  if unit.isEmpty { return "“\(text)” has no unit; write for example “\(text) \(symbol)”" }
  if unit == "M" + symbol {
    return
      "“\(text)”: “M” (mega) is understood only before Ohm and Hz; “m\(symbol)” is milli, “\(symbol)” has no prefix"
  }
  return "“\(text)”: “\(unit)” is not \(symbol) with a prefix f, p, n, u, m or k"
}

/// `number`·10^`power`, exact where dividing by a power of ten is.
private func scaled(_ number: Double, _ power: Int) -> Double {
  var factor = 1.0
  for _ in 0..<abs(power) { factor *= 10 }
  return power < 0 ? number / factor : number * factor
}

private func log10Floor(_ x: Double) -> Double {
  var power = 0.0
  var y = x
  while y >= 10 {
    y /= 10
    power += 1
  }
  while y < 1 {
    y *= 10
    power -= 1
  }
  return power
}

/// `value` with `digits` significant digits, without an exponent.
private func significant(_ value: Double, _ digits: Int) -> String {
  guard value != 0 else { return "0" }
  let before = Int(log10Floor(abs(value))) + 1
  return fixed(value, decimals: max(0, digits - max(before, 1)))
}

/// `value` with `decimals` digits after the point.
package func fixed(_ value: Double, decimals: Int) -> String {
  guard value.isFinite, abs(value) < 9e15 else { return "\(value)" }
  var factor = 1.0
  for _ in 0..<decimals { factor *= 10 }
  let scaledValue = (abs(value) * factor).rounded()
  guard scaledValue < 9e18 else { return "\(value)" }
  let whole = Int64(scaledValue)
  let sign = value < 0 && whole != 0 ? "-" : ""
  let step = Int64(factor)
  guard decimals > 0 else { return "\(sign)\(whole)" }
  let fraction = String(whole % step)
  return "\(sign)\(whole / step)." + String(repeating: "0", count: decimals - fraction.count) + fraction
}

private func plain(_ number: Double) -> String { number == number.rounded() ? fixed(number, decimals: 0) : "\(number)" }
