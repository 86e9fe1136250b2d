extension PhysicalQuantity {
  /// Three significant digits and an SI prefix: "2.00 pA".
  package var description: String { formatted() }

  /// The value with an SI prefix and `digits` significant digits.
  package func formatted(digits: Int = 3) -> String {
    guard value.isFinite else { return "\(value) \(Self.symbol)" }
    guard value != 0 else { return "0 \(Self.symbol)" }
    let largest = largestPower(of: Self.symbol)
    var power = min(max(floorToThree(leadingPower(value)), -15), largest)
    var text = significant(value, digits, power: power)
    // 999.96 pA has three digits as 1.00 nA.
    if abs(Double(text) ?? 0) >= 1000 && power < largest {
      power += 3
      text = significant(value, digits, power: power)
    }
    return "\(text) \(prefix(ofPower: power))\(Self.symbol)"
  }

  package var exactText: String {
    guard value.isFinite else { return "\(value) \(Self.symbol)" }
    guard value != 0 else { return "0 \(Self.symbol)" }
    let decimal = ShortestDecimal(value)
    // 0.5 V, not 500 mV; but 50 mV.
    let power =
      decimal.leadingPower == -1
      ? 0 : min(max(floorToThree(decimal.leadingPower), -15), largestPower(of: Self.symbol))
    return "\(decimal.text(power: power)) \(prefix(ofPower: power))\(Self.symbol)"
  }
}

/// The shortest decimal digits that read back as a double.
struct ShortestDecimal {
  private let isNegative: Bool
  private let digits: [Character]
  /// The power of ten of the first digit.
  let leadingPower: Int

  /// - Parameter value: finite and not 0.
  init(_ value: Double) {
    // Swift prints the shortest digits that read back: "2e-12", "0.0125", "4200.0", "1.5e+16".
    let parts = "\(abs(value))".split(separator: "e")
    let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
    let whole = Array(mantissa[0])
    let fraction = mantissa.count > 1 ? Array(mantissa[1]) : []
    let all = whole + fraction
    let leading = all.prefix { $0 == "0" }.count
    var significant = Array(all[leading...])
    while significant.count > 1 && significant.last == "0" { significant.removeLast() }
    isNegative = value < 0
    digits = significant
    leadingPower = whole.count - 1 - leading + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
  }

  /// The value divided by 10^`power`, without an exponent.
  func text(power: Int) -> String {
    let before = leadingPower - power + 1
    let sign = isNegative ? "-" : ""
    if before <= 0 { return sign + "0." + String(repeating: "0", count: -before) + String(digits) }
    if before >= digits.count { return sign + String(digits) + String(repeating: "0", count: before - digits.count) }
    return sign + String(digits[..<before]) + "." + String(digits[before...])
  }
}

private func largestPower(of symbol: String) -> Int { symbol == "Ohm" || symbol == "Hz" ? 6 : 3 }

private func prefix(ofPower power: Int) -> String {
  [-15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M"][power] ?? ""
}

private func floorToThree(_ power: Int) -> Int { power >= 0 ? power / 3 * 3 : -((2 - power) / 3) * 3 }

private func leadingPower(_ value: Double) -> Int { ShortestDecimal(value).leadingPower }

/// `value`/10^`power` with `digits` significant digits, without an exponent.
private func significant(_ value: Double, _ digits: Int, power: Int) -> String {
  let before = leadingPower(value) - power + 1
  let number = scaled(value, -power)
  let decimals = min(max(0, digits - before), 18)
  let text = fixed(number, decimals: decimals)
  // 9.996 rounds to one digit more before the point.
  guard decimals > 0, let rounded = Double(text), rounded != 0, leadingPower(rounded) >= before else { return text }
  return fixed(number, decimals: decimals - 1)
}

/// `number`·10^`power`; multiplying or dividing by a power of ten up to 10^22 rounds once.
private func scaled(_ number: Double, _ power: Int) -> Double {
  var factor = 1.0
  for _ in 0..<abs(power) { factor *= 10 }
  return power < 0 ? number / factor : number * factor
}

/// `value` with `decimals` digits after the point.
package func fixed(_ value: Double, decimals: Int) -> String {
  guard value.isFinite, abs(value) < 9e15, (0...18).contains(decimals) else { return "\(value)" }
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
