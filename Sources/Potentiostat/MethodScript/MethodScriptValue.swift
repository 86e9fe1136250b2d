import Glibc

/// Numbers as MethodSCRIPT writes them: values of packages (methodscript.md §3) and literals of scripts (§4).
package enum MethodScriptValue {
  /// Added to a value's mantissa, so that its seven digits have no sign.
  private static let offset = 0x800_0000

  /// Reads the eight characters of a value: seven hexadecimal digits and a prefix, or `nan`.
  ///
  /// The prefix of a plain number is a space, which some tools strip: seven characters are taken too. `a`, `f` and `E`
  /// are prefixes and digits: only the place tells.
  /// - Returns: the value, `.nan` where the instrument had none; nil when the text is no value.
  package static func decode(_ text: some Collection<UInt8>) -> Double? {
    let characters = Array(text)
    if Array(characters.drop { $0 == UInt8(ascii: " ") }) == Array("nan".utf8) { return .nan }
    guard characters.count == 7 || characters.count == 8 else { return nil }
    var mantissa = 0
    for character in characters.prefix(7) {
      guard let digit = hexDigit(character) else { return nil }
      mantissa = mantissa << 4 | digit
    }
    guard let exponent = exponent(characters.count == 8 ? characters[7] : UInt8(ascii: " ")) else { return nil }
    let value = Double(mantissa - offset)
    // Powers of ten up to 10^22 are exact: one division or multiplication rounds once.
    return exponent < 0 ? value / power(-exponent) : value * power(exponent)
  }

  static func hexDigit(_ character: UInt8) -> Int? {
    switch character {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(character - UInt8(ascii: "0"))
    case UInt8(ascii: "A")...UInt8(ascii: "F"): Int(character - UInt8(ascii: "A")) + 10
    case UInt8(ascii: "a")...UInt8(ascii: "f"): Int(character - UInt8(ascii: "a")) + 10
    default: nil
    }
  }

  /// A whole number in hexadecimal digits; nil when there is anything else, or nothing.
  static func hexadecimal(_ text: some Collection<UInt8>) -> Int? {
    guard !text.isEmpty, text.count <= 8 else { return nil }
    var value = 0
    for character in text {
      guard let digit = hexDigit(character) else { return nil }
      value = value << 4 | digit
    }
    return value
  }

  private static let prefixes: [(character: UInt8, exponent: Int)] = [
    (UInt8(ascii: "a"), -18), (UInt8(ascii: "f"), -15), (UInt8(ascii: "p"), -12), (UInt8(ascii: "n"), -9),
    (UInt8(ascii: "u"), -6), (UInt8(ascii: "m"), -3), (UInt8(ascii: " "), 0), (UInt8(ascii: "k"), 3),
    (UInt8(ascii: "M"), 6), (UInt8(ascii: "G"), 9), (UInt8(ascii: "T"), 12), (UInt8(ascii: "P"), 15),
    (UInt8(ascii: "E"), 18),
  ]

  private static func exponent(_ character: UInt8) -> Int? {
    // A value of a whole-number variable.
    if character == UInt8(ascii: "i") { return 0 }
    return prefixes.first { $0.character == character }?.exponent
  }

  private static func power(_ exponent: Int) -> Double {
    var value = 1.0
    for _ in 0..<exponent { value *= 10 }
    return value
  }

  /// Digits of a literal's mantissa that mean something.
  private static let literalDigits = 6

  /// A number as a script's literal: whole mantissa and prefix, no decimal point ("1500m"), to six digits.
  /// - Parameters:
  ///   - value: finite, within 1e-18…1e18 or 0; smaller ones become 0 or `1a`, as the rule says.
  ///   - rule: limits are rounded away from what they allow.
  package static func literal(_ value: Double, rounding rule: FloatingPointRoundingRule = .toNearestOrEven) -> String {
    precondition(value.isFinite, "a script has no literal for \(value)")
    guard value != 0 else { return "0" }
    var exponent = max(Int(log10(abs(value)).rounded(.down)) - (literalDigits - 1), -18)
    let scaled = exponent < 0 ? value * power(-exponent) : value / power(exponent)
    // What a product of decimal fractions leaves behind the twelfth digit is no reason to round away from it.
    let nearest = scaled.rounded()
    var mantissa = abs(scaled - nearest) < 1e-6 ? Int(nearest) : Int(scaled.rounded(rule))
    guard mantissa != 0 else { return "0" }
    while mantissa % 10 == 0 {
      mantissa /= 10
      exponent += 1
    }
    while exponent % 3 != 0 || exponent > 18 {
      mantissa *= 10
      exponent -= 1
    }
    let prefix = prefixes.first { $0.exponent == exponent }?.character ?? UInt8(ascii: " ")
    return exponent == 0 ? "\(mantissa)" : "\(mantissa)\(Character(Unicode.Scalar(prefix)))"
  }
}
