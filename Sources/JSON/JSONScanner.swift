import Glibc

/// Reads a JSON document where it lies, value after value, and copies and allocates nothing: for messages that come with every
/// frame. At least as strict as `JSONValue`; what was read is known to be JSON when the end is reached without an error.
///
/// Valid as long as the bytes are.
@safe
package struct JSONScanner {
  /// Containers within each other; deeper is damage.
  package static let mostDepth = 64

  package enum Value {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case text(JSONText)
    /// Before the first element; read with `nextElement`.
    case array(JSONScanner)
    /// Before the first member; read with `nextMember`.
    case object(JSONScanner)
  }

  private let bytes: UnsafeRawBufferPointer
  private var position: Int
  private var isFirst = true

  /// Reads a document that must be an object; nil when it does not begin with a brace.
  @safe
  package init?(object bytes: UnsafeRawBufferPointer) {
    guard unsafe bytes.first == UInt8(ascii: "{") else { return nil }
    unsafe self.init(bytes, behind: 1)
  }

  private init(_ bytes: UnsafeRawBufferPointer, behind position: Int) {
    unsafe self.bytes = unsafe bytes
    self.position = position
  }

  // MARK: Members and elements

  /// The key of the next member, whose value must be read next; nil behind the last.
  package mutating func nextMember() throws(JSONError) -> JSONText? {
    guard try goesOn(until: UInt8(ascii: "}")) else { return nil }
    let key = try text()
    skipBlanks()
    guard next == UInt8(ascii: ":") else { throw Self.damaged }
    position += 1
    return key
  }

  /// The next element; nil behind the last.
  package mutating func nextElement() throws(JSONError) -> Value? {
    try goesOn(until: UInt8(ascii: "]")) ? try value() : nil
  }

  /// The value of a member.
  package mutating func value() throws(JSONError) -> Value { try value(depth: 1) }

  /// Nothing but blanks follows what was read.
  package var isAtEnd: Bool {
    var rest = self
    rest.skipBlanks()
    return rest.next == nil
  }

  // MARK: Values

  private static let damaged = JSONError(description: "not JSON: damaged")
  private static let early = JSONError(description: "not JSON: it ends too early")

  private var next: UInt8? { unsafe position < bytes.count ? bytes[position] : nil }

  private mutating func skipBlanks() {
    while let byte = next, byte == 32 || byte == 10 || byte == 13 || byte == 9 { position += 1 }
  }

  /// True before one more member or element; false behind the end.
  private mutating func goesOn(until end: UInt8) throws(JSONError) -> Bool {
    skipBlanks()
    guard let byte = next else { throw Self.early }
    if byte == end {
      position += 1
      return false
    }
    if isFirst {
      isFirst = false
    } else {
      guard byte == UInt8(ascii: ",") else { throw Self.damaged }
      position += 1
      skipBlanks()
    }
    return true
  }

  private mutating func value(depth: Int) throws(JSONError) -> Value {
    guard depth < Self.mostDepth else { throw JSONError(description: "JSON nested more than 64 deep") }
    skipBlanks()
    guard let byte = next else { throw Self.early }
    switch byte {
    case UInt8(ascii: "\""): return .text(try text())
    case UInt8(ascii: "{"):
      let inside = unsafe JSONScanner(bytes, behind: position + 1)
      var rest = inside
      while try rest.nextMember() != nil { _ = try rest.value(depth: depth + 1) }
      position = rest.position
      return .object(inside)
    case UInt8(ascii: "["):
      let inside = unsafe JSONScanner(bytes, behind: position + 1)
      var rest = inside
      while try rest.goesOn(until: UInt8(ascii: "]")) { _ = try rest.value(depth: depth + 1) }
      position = rest.position
      return .array(inside)
    case UInt8(ascii: "t"):
      try literal("true")
      return .bool(true)
    case UInt8(ascii: "f"):
      try literal("false")
      return .bool(false)
    case UInt8(ascii: "n"):
      try literal("null")
      return .null
    default: return try number()
    }
  }

  private mutating func literal(_ word: StaticString) throws(JSONError) {
    guard unsafe word.utf8CodeUnitCount <= bytes.count - position else { throw Self.early }
    for index in 0..<word.utf8CodeUnitCount {
      guard unsafe bytes[position + index] == word.utf8Start[index] else { throw Self.damaged }
    }
    position += word.utf8CodeUnitCount
  }

  // MARK: Texts

  private mutating func text() throws(JSONError) -> JSONText {
    guard next == UInt8(ascii: "\"") else { throw Self.damaged }
    position += 1
    let start = position
    var isEscaped = false
    while let byte = next {
      switch byte {
      case UInt8(ascii: "\""):
        position += 1
        let inside = unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<position - 1])
        return unsafe JSONText(inside, isEscaped: isEscaped)
      case UInt8(ascii: "\\"):
        isEscaped = true
        try escape()
      case 0..<32: throw Self.damaged
      case 32..<128: position += 1
      default: position += try multibyte()
      }
    }
    throw Self.early
  }

  private mutating func escape() throws(JSONError) {
    position += 1
    switch next {
    case UInt8(ascii: "u"):
      let unit = try hexadecimal()
      if (0xDC00..<0xE000).contains(unit) { throw Self.damaged }
      guard (0xD800..<0xDC00).contains(unit) else { return }
      // The first half of a pair.
      guard next == UInt8(ascii: "\\") else { throw Self.damaged }
      position += 1
      guard next == UInt8(ascii: "u"), (0xDC00..<0xE000).contains(try hexadecimal()) else { throw Self.damaged }
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
      UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
      position += 1
    default: throw Self.damaged
    }
  }

  /// Four digits behind the `u` that the reader is at.
  private mutating func hexadecimal() throws(JSONError) -> UInt32 {
    position += 1
    var unit: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next else { throw Self.early }
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): unit = unit << 4 | UInt32(byte - UInt8(ascii: "0"))
      case UInt8(ascii: "a")...UInt8(ascii: "f"): unit = unit << 4 | UInt32(byte - UInt8(ascii: "a") + 10)
      case UInt8(ascii: "A")...UInt8(ascii: "F"): unit = unit << 4 | UInt32(byte - UInt8(ascii: "A") + 10)
      default: throw Self.damaged
      }
      position += 1
    }
    return unit
  }

  /// Bytes of the character at the reader, which must be well-formed UTF-8 (Unicode, table 3-7).
  private func multibyte() throws(JSONError) -> Int {
    let first = unsafe bytes[position]
    let (length, second): (Int, ClosedRange<UInt8>) =
      switch first {
      case 0xC2...0xDF: (2, 0x80...0xBF)
      case 0xE0: (3, 0xA0...0xBF)
      case 0xED: (3, 0x80...0x9F)
      case 0xE1...0xEF: (3, 0x80...0xBF)
      case 0xF0: (4, 0x90...0xBF)
      case 0xF1...0xF3: (4, 0x80...0xBF)
      case 0xF4: (4, 0x80...0x8F)
      default: (0, 0...0)
      }
    guard length > 0 else { throw JSONError(description: "not JSON: not UTF-8") }
    guard unsafe position + length <= bytes.count else { throw Self.early }
    for index in 1..<length {
      let allowed = index == 1 ? second : 0x80...0xBF
      guard unsafe allowed.contains(bytes[position + index]) else {
        throw JSONError(description: "not JSON: not UTF-8")
      }
    }
    return length
  }

  // MARK: Numbers

  private mutating func number() throws(JSONError) -> Value {
    let start = position
    let isNegative = next == UInt8(ascii: "-")
    if isNegative { position += 1 }
    var mantissa = Mantissa()
    guard let first = digit else { throw next == nil ? Self.early : Self.damaged }
    mantissa.take(first)
    position += 1
    if first > 0 { readDigits(into: &mantissa) }
    var isWhole = true
    var exponent = 0
    if next == UInt8(ascii: ".") {
      isWhole = false
      position += 1
      let digits = position
      readDigits(into: &mantissa)
      guard position > digits else { throw next == nil ? Self.early : Self.damaged }
      exponent = digits - position
    }
    if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
      isWhole = false
      exponent += try exponentPart()
    }
    if isWhole, let value = mantissa.integer(isNegative: isNegative) { return .integer(value) }
    if let value = mantissa.double(exponent: exponent) { return .number(isNegative ? -value : value) }
    let value = roundedNumber(start)
    guard value.isFinite else { throw JSONError(description: "not JSON: a number that is too large") }
    return .number(value)
  }

  private var digit: UInt8? {
    guard let byte = next, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
    return byte - UInt8(ascii: "0")
  }

  private mutating func readDigits(into mantissa: inout Mantissa) {
    while let digit {
      mantissa.take(digit)
      position += 1
    }
  }

  private mutating func exponentPart() throws(JSONError) -> Int {
    position += 1
    let isNegative = next == UInt8(ascii: "-")
    if isNegative || next == UInt8(ascii: "+") { position += 1 }
    guard digit != nil else { throw next == nil ? Self.early : Self.damaged }
    var exponent = 0
    while let digit {
      exponent = min(exponent * 10 + Int(digit), 1_000_000)
      position += 1
    }
    return isNegative ? -exponent : exponent
  }

  /// Seldom: what cannot be had exactly by one multiplication is left to the C library.
  private func roundedNumber(_ start: Int) -> Double {
    let count = position - start
    return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: count + 1) { text in
      for index in 0..<count { unsafe text[index] = CChar(bitPattern: bytes[start + index]) }
      unsafe text[count] = 0
      return unsafe strtod(text.baseAddress!, nil)
    }
  }
}

/// The digits of a number, with its point left out.
private struct Mantissa {
  private var value: UInt64 = 0
  private var isExact = true

  mutating func take(_ digit: UInt8) {
    let (tenfold, overflow) = value.multipliedReportingOverflow(by: 10)
    let (sum, carry) = tenfold.addingReportingOverflow(UInt64(digit))
    if overflow || carry { isExact = false }
    value = sum
  }

  /// nil: it does not fit.
  func integer(isNegative: Bool) -> Int64? {
    guard isExact else { return nil }
    guard isNegative else { return Int64(exactly: value) }
    return value == 1 << 63 ? .min : Int64(exactly: value).map { -$0 }
  }

  /// Exact where digits and power of ten both are: one rounding, the last.
  func double(exponent: Int) -> Double? {
    guard isExact, value <= 1 << 53, (-22...22).contains(exponent) else { return nil }
    var power = 1.0
    for _ in 0..<abs(exponent) { power *= 10 }
    return exponent < 0 ? Double(value) / power : Double(value) * power
  }
}
