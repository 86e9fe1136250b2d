/// Numbers as the instrument writes and reads them (methodscript.md §3, §4).
enum MethodScriptText {
  private static let prefixes: [(letter: Character, factor: Double)] = [
    ("a", 1e-18), ("f", 1e-15), ("p", 1e-12), ("n", 1e-9), ("u", 1e-6), ("m", 1e-3), (" ", 1), ("k", 1e3), ("M", 1e6),
    ("G", 1e9), ("T", 1e12), ("P", 1e15), ("E", 1e18),
  ]

  /// Eight characters of a package: the finest prefix that 27 bits of mantissa hold.
  static func value(_ value: Double, isInteger: Bool) -> String {
    guard value.isFinite else { return "     nan" }
    if value == 0 { return "8000000" + (isInteger ? "i" : " ") }
    let bound = Double(1 << 27) - 1
    if isInteger { return digits(Int(min(max(value.rounded(), -bound), bound))) + "i" }
    for (letter, factor) in prefixes where abs(value / factor) <= bound {
      return digits(Int((value / factor).rounded())) + String(letter)
    }
    return "     nan"
  }

  private static func digits(_ mantissa: Int) -> String { hexadecimal(mantissa + (1 << 27), 7) }

  static func hexadecimal(_ number: Int, _ width: Int) -> String {
    let text = String(number, radix: 16, uppercase: true)
    return String(repeating: "0", count: max(0, width - text.count)) + text
  }

  /// A literal of a script. Nil: it begins like one and is none.
  static func literal(_ text: String) -> (value: Double, isInteger: Bool)? {
    var digits = Substring(text)
    for (mark, radix) in [("0x", 16), ("0b", 2)] where digits.hasPrefix(mark) {
      digits = digits.dropFirst(2)
      if radix == 2 || digits.last == "i" { if digits.last == "i" { digits = digits.dropLast() } }
      return Int(digits, radix: radix).map { (Double($0), true) }
    }
    var factor = 1.0
    var isInteger = false
    if let last = digits.last, !last.isNumber {
      if last == "i" {
        isInteger = true
      } else if let prefix = prefixes.first(where: { $0.letter == last }), last != " " {
        factor = prefix.factor
      } else {
        return nil
      }
      digits = digits.dropLast()
    }
    // Division rounds once: 500m is 0.5, not 0.5 and a bit.
    return Int(digits).map { (factor < 1 ? Double($0) / (1 / factor).rounded() : Double($0) * factor, isInteger) }
  }
}
