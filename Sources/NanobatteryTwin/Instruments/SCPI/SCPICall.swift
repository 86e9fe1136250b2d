package import Quantities

/// One relay or line of a channel list: `1!2` is line 1 at tap 2.
package struct SCPIChannel: Hashable, Comparable, Sendable {
  package var line: Int
  package var tap: Int

  package init(_ line: Int, _ tap: Int) {
    self.line = line
    self.tap = tap
  }

  package static func < (a: Self, b: Self) -> Bool { (a.tap, a.line) < (b.tap, b.line) }
}

/// The arguments of one command, and when it is executed.
package struct SCPICall {
  /// As written, without the blanks around them.
  package let arguments: [String]
  package let time: MonotonicTime

  func expect(_ counts: ClosedRange<Int>) throws(SCPIError) {
    if arguments.count < counts.lowerBound { throw .missingParameter }
    if arguments.count > counts.upperBound { throw .parameterNotAllowed }
  }

  func argument(_ index: Int) throws(SCPIError) -> String {
    guard index < arguments.count else { throw .missingParameter }
    return arguments[index]
  }

  /// A number within `range`, or MIN, MAX, DEF.
  func number(_ index: Int = 0, in range: ClosedRange<Double>, default value: Double? = nil) throws(SCPIError) -> Double
  {
    let text = try argument(index)
    if SCPIPattern.isForm(text, of: "MINimum") { return range.lowerBound }
    if SCPIPattern.isForm(text, of: "MAXimum") { return range.upperBound }
    if let value, SCPIPattern.isForm(text, of: "DEFault") { return value }
    guard let number = Self.number(text) else { throw .dataType }
    guard range.contains(number) else { throw .outOfRange }
    return number
  }

  func integer(_ index: Int = 0, in range: ClosedRange<Int>, default value: Int? = nil) throws(SCPIError) -> Int {
    let number = try number(
      index, in: Double(range.lowerBound)...Double(range.upperBound), default: value.map(Double.init))
    return Int(number.rounded())
  }

  /// ON, OFF, 1 or 0.
  func flag(_ index: Int = 0) throws(SCPIError) -> Bool {
    let text = try argument(index).uppercased()
    if text == "ON" { return true }
    if text == "OFF" { return false }
    guard let number = Self.number(text) else { throw .illegalValue }
    return number.rounded() != 0
  }

  /// One of a list of keywords, in short or long form.
  func keyword<Value>(_ index: Int, _ choices: [(String, Value)]) throws(SCPIError) -> Value {
    let text = try argument(index)
    guard let choice = choices.first(where: { SCPIPattern.isForm(text, of: $0.0) }) else { throw .illegalValue }
    return choice.1
  }

  func keyword<Value>(_ choices: [(String, Value)]) throws(SCPIError) -> Value { try keyword(0, choices) }

  /// The inside of a string in single or double quotes.
  func quoted(_ index: Int = 0) throws(SCPIError) -> String {
    let text = try argument(index)
    guard text.count >= 2, let quote = text.first, quote == "\"" || quote == "'", text.last == quote else {
      throw .invalidString
    }
    return String(text.dropFirst().dropLast())
  }

  /// `(@1!1,2!2)` with ranges `1!0:8!0` within one tap.
  func channels(_ index: Int = 0, lines: ClosedRange<Int>, taps: ClosedRange<Int>) throws(SCPIError) -> [SCPIChannel] {
    let text = try argument(index)
    guard text.hasPrefix("(@"), text.hasSuffix(")") else { throw .dataType }
    var channels: [SCPIChannel] = []
    for item in text.dropFirst(2).dropLast().split(separator: ",", omittingEmptySubsequences: false) {
      let ends = item.split(separator: ":", omittingEmptySubsequences: false)
      var parsed: [SCPIChannel] = []
      for end in ends { parsed.append(try Self.channel(end, lines: lines, taps: taps)) }
      guard let first = parsed.first, let last = parsed.last, parsed.count <= 2, first.tap == last.tap,
        first.line <= last.line
      else { throw .syntax }
      channels += (first.line...last.line).map { SCPIChannel($0, first.tap) }
    }
    return channels
  }

  static func channel(_ text: Substring, lines: ClosedRange<Int>, taps: ClosedRange<Int>) throws(SCPIError)
    -> SCPIChannel
  {
    let parts = text.split(separator: "!", omittingEmptySubsequences: false).map { Int(String($0).trimmedBlanks) }
    guard parts.count == 2, let line = parts[0], let tap = parts[1] else { throw .syntax }
    guard lines.contains(line), taps.contains(tap) else { throw .outOfRange }
    return SCPIChannel(line, tap)
  }

  /// NR1, NR2 or NR3; nothing else that Swift would take (hexadecimal, "nan", "inf").
  static func number(_ text: String) -> Double? {
    guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) || [43, 45, 46, 69, 101].contains($0) }) else {
      return nil
    }
    guard let number = Double(text.hasPrefix("+") ? String(text.dropFirst()) : text), number.isFinite else {
      return nil
    }
    return number
  }
}

extension String {
  var trimmedBlanks: String {
    var bytes = Array(utf8)[...]
    while let last = bytes.last, last <= 32 { bytes.removeLast() }
    while let first = bytes.first, first <= 32 { bytes.removeFirst() }
    return String(decoding: bytes, as: UTF8.self)
  }
}
