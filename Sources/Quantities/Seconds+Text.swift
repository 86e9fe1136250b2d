extension Seconds {
  /// Reads "10 ms", "60 s", "5 min", "1 h"; "second(s)", "sec", "minute(s)", "hour(s)", "hr" and "day(s)", "d" as well.
  package init(parsing text: String) throws(QuantityError) {
    let written = try WrittenQuantity(text, example: "2 s")
    let plain = try written.value(power: 0)
    switch written.unit {
    case "second", "seconds", "sec": self.init(plain)
    case "min", "minute", "minutes": self.init(plain * 60)
    case "h", "hr", "hour", "hours": self.init(plain * 3600)
    case "d", "day", "days": self.init(plain * 86400)
    case "m":
      let number = text.prefix { $0 != "m" }.split(separator: " ").joined()
      throw QuantityError("“\(text)”: write “\(number) min” or “\(number) ms”; “m” alone could be either")
    default:
      guard let power = unitPower(written.unit, symbol: "s"), power <= 0 else {
        throw QuantityError(explainUnit(written, symbol: "s", noun: Self.noun))
      }
      self.init(try written.value(power: power))
    }
    guard value.isFinite else { throw QuantityError("“\(text)” is too large a number") }
  }

  /// "250 ms", "12.5 s", "5 min 30 s", "2 h 10 min".
  package var description: String {
    guard abs(value) >= 120, abs(value) < 1e15 else { return formatted() }
    let total = Int(abs(value).rounded())
    let sign = value < 0 ? "-" : ""
    let (h, m, s) = (total / 3600, total % 3600 / 60, total % 60)
    if h > 0 { return m > 0 ? "\(sign)\(h) h \(m) min" : "\(sign)\(h) h" }
    return s > 0 ? "\(sign)\(m) min \(s) s" : "\(sign)\(m) min"
  }

  /// "10 ms", "60 s", "5 min", "1 h"; "90 min", because one number with one unit is read back.
  package var exactText: String {
    guard value.isFinite, value != 0 else { return "\(value == 0 ? "0" : "\(value)") s" }
    if abs(value) >= 120, abs(value) < 1e15, value == value.rounded() {
      let whole = Int(value)
      if whole % 3600 == 0 { return "\(whole / 3600) h" }
      if whole % 60 == 0 { return "\(whole / 60) min" }
    }
    let decimal = ShortestDecimal(value)
    // Time has no "ks": what is longer than a second stays in seconds.
    let power = decimal.leadingPower >= -1 ? 0 : max(-((2 - decimal.leadingPower) / 3) * 3, -15)
    let prefix = [-15: "f", -12: "p", -9: "n", -6: "u", -3: "m"][power] ?? ""
    return "\(decimal.text(power: power)) \(prefix)s"
  }
}
