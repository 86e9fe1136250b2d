/// A value with its standard uncertainty, both in one unit that whoever holds it names.
package struct UncertainValue: Hashable, Sendable {
  package var value: Double
  package var uncertainty: Double

  package init(_ value: Double, _ uncertainty: Double) {
    self.value = value
    self.uncertainty = uncertainty
  }

  /// The uncertainty as a share of the value.
  package var relative: Double { abs(uncertainty / value) }

  /// "2.50 ± 0.12": as many decimals as show two digits of the uncertainty.
  package var description: String {
    guard value.isFinite, uncertainty.isFinite else { return "\(value) ± \(uncertainty)" }
    let digits = uncertainty > 0 ? 1 - ShortestDecimal(uncertainty).leadingPower : value == 0 ? 0 : 3
    let decimals = min(max(0, digits), 18)
    return "\(fixed(value, decimals: decimals)) ± \(fixed(uncertainty, decimals: decimals))"
  }
}

extension UncertainValue {
  /// Reads "12.5 +- 0.4", "0.52 A +- 1 %" or "0.52 ± 0.01 A": the standard uncertainty in the same unit, another one, or per cent.
  /// - Parameters:
  ///   - units: what may be written, with its factor; "" where the unit may be left out.
  ///   - example: in messages.
  ///   - share: taken for the relative standard uncertainty where none is written.
  package init(
    parsing text: String, units: [String: Double], example: String, otherwise share: Double
  ) throws(QuantityError) {
    let halves = Self.halves(text)
    guard halves.count <= 2, let first = halves.first else {
      throw QuantityError("“\(text)” has more than one uncertainty; write for example “\(example)”")
    }
    var number = try WrittenQuantity(first, example: example)
    var spread = try halves.count == 2 ? WrittenQuantity(halves[1], example: example) : nil
    // One unit behind both: "0.52 ± 0.01 A".
    if let unit = spread?.unit, number.unit.isEmpty, unit != "%" { number.unit = unit }
    if spread?.unit.isEmpty == true { spread?.unit = number.unit }
    let value = try Self.scaled(number, text, units, example)
    guard value > 0 else {
      throw QuantityError("“\(text)” is not possible; more than zero is needed, such as “\(example)”")
    }
    var uncertainty = value * share
    if let spread {
      uncertainty =
        spread.unit == "%" ? try value * spread.value(power: -2) : try Self.scaled(spread, text, units, example)
    }
    guard uncertainty >= 0, uncertainty < value else {
      throw QuantityError("“\(text)” has an uncertainty that is not possible; it is 0 or more, and less than the value")
    }
    self.init(value, uncertainty)
  }

  /// What stands before and behind "±", "+-" and "+/-".
  private static func halves(_ text: String) -> [String] {
    var parts = [""]
    var rest = text[...]
    while !rest.isEmpty {
      if let sign = ["±", "+/-", "+-"].first(where: rest.hasPrefix) {
        rest = rest.dropFirst(sign.count)
        parts.append("")
      } else {
        parts[parts.count - 1].append(rest.removeFirst())
      }
    }
    return parts
  }

  private static func scaled(
    _ written: WrittenQuantity, _ text: String, _ units: [String: Double], _ example: String
  ) throws(QuantityError) -> Double {
    guard let factor = units[written.unit] else {
      let known = units.keys.filter { !$0.isEmpty }.sorted().joined(separator: ", ")
      let what = written.unit.isEmpty ? "has no unit" : "has the unit “\(written.unit)”"
      let meant = known.isEmpty ? "none is possible" : "possible: \(known)"
      throw QuantityError("“\(text)” \(what); \(meant). Write for example “\(example)”")
    }
    return try written.value(power: 0) * factor
  }
}
