/// Reads CBOR (RFC 8949) item by item and copies nothing: strings are given as ranges of the message.
///
/// Every count is checked against what is left and nesting has a limit, so that the work done is bounded by the bytes
/// there are. Maps and arrays may be of indefinite length. Strings may not where they are read, because their bytes would
/// lie in pieces; where they are passed over they may.
@safe
struct CBORReader {
  /// Items within each other; deeper is damage.
  static let mostDepth = 16

  enum Kind: UInt8 { case unsigned, negative, bytes, text, array, map, tag, simple }

  /// What is left of a map or an array.
  struct Entries {
    /// nil: until the break.
    fileprivate var left: UInt64?
  }

  private let bytes: UnsafeRawBufferPointer
  private let end: Int
  private(set) var position = 0

  @safe
  init(_ bytes: UnsafeRawBufferPointer) {
    unsafe self.bytes = bytes
    end = bytes.count
  }

  var isAtEnd: Bool { position == end }

  /// What the next item is; nil at the end of the message.
  var next: Kind? { position < end ? Kind(rawValue: byte(position) >> 5) : nil }

  // MARK: Items

  mutating func unsigned() throws(DecodeError) -> UInt64 { try argument(of: .unsigned, "a whole number") }

  mutating func tag() throws(DecodeError) -> UInt64 { try argument(of: .tag, "a tag") }

  /// The place of a text's bytes; whether they are UTF-8 is not looked at.
  mutating func text() throws(DecodeError) -> Range<Int> { try string(.text, "a text") }

  /// The place of a byte string's bytes.
  mutating func byteString() throws(DecodeError) -> Range<Int> { try string(.bytes, "a byte string") }

  mutating func array() throws(DecodeError) -> Entries { try entries(.array, "an array") }

  mutating func map() throws(DecodeError) -> Entries { try entries(.map, "a map") }

  /// The begin of an array that must have exactly `count` items.
  mutating func array(of count: UInt64) throws(DecodeError) {
    guard try array().left == count else { throw DecodeError("a CBOR array that has not \(count) items") }
  }

  /// True while there is one more item of an array, or one more pair of a map. At its end the reader is behind it.
  mutating func more(_ entries: inout Entries) throws(DecodeError) -> Bool {
    if let left = entries.left {
      guard left > 0 else { return false }
      entries.left = left - 1
      return true
    }
    guard position < end else { throw Self.early }
    guard byte(position) == Self.stop else { return true }
    position += 1
    return false
  }

  /// Passes over one item, whatever it is.
  mutating func skip() throws(DecodeError) { try skip(depth: 0) }

  // MARK: Strings

  /// Compares bytes of the message without making a string of them.
  func text(_ range: Range<Int>, is word: StaticString) -> Bool {
    guard range.count == word.utf8CodeUnitCount else { return false }
    for index in 0..<range.count where unsafe byte(range.lowerBound + index) != word.utf8Start[index] { return false }
    return true
  }

  func text(_ range: Range<Int>, is word: [UInt8]) -> Bool {
    guard range.count == word.count else { return false }
    for index in 0..<range.count where byte(range.lowerBound + index) != word[index] { return false }
    return true
  }

  /// A text as a string, not longer than `most` bytes of it.
  func string(_ range: Range<Int>, most: Int = 200) -> String {
    String(decoding: range.prefix(most).map { byte($0) }, as: UTF8.self)
  }

  // MARK: Heads

  private static let stop: UInt8 = 0xFF
  private static let early = DecodeError("CBOR that ends too early")

  private func byte(_ index: Int) -> UInt8 { unsafe bytes[index] }

  /// - Returns: the kind, and its argument; nil: of indefinite length.
  private mutating func head() throws(DecodeError) -> (kind: Kind, argument: UInt64?) {
    guard position < end else { throw Self.early }
    let first = byte(position)
    position += 1
    guard let kind = Kind(rawValue: first >> 5) else { throw Self.early }  // cannot be: three bits
    switch first & 31 {
    case let small where small < 24: return (kind, UInt64(small))
    case 24: return (kind, try bigEndian(1))
    case 25: return (kind, try bigEndian(2))
    case 26: return (kind, try bigEndian(4))
    case 27: return (kind, try bigEndian(8))
    case 31 where [.bytes, .text, .array, .map].contains(kind): return (kind, nil)
    default: throw DecodeError("CBOR with a byte that begins no item")
    }
  }

  private mutating func bigEndian(_ count: Int) throws(DecodeError) -> UInt64 {
    guard count <= end - position else { throw Self.early }
    var value: UInt64 = 0
    for index in position..<position + count { value = value << 8 | UInt64(byte(index)) }
    position += count
    return value
  }

  private mutating func argument(of kind: Kind, _ name: StaticString) throws(DecodeError) -> UInt64 {
    let (found, argument) = try head()
    guard found == kind, let argument else { throw DecodeError("CBOR with another item where \(name) belongs") }
    return argument
  }

  private mutating func string(_ kind: Kind, _ name: StaticString) throws(DecodeError) -> Range<Int> {
    let (found, argument) = try head()
    guard found == kind else { throw DecodeError("CBOR with another item where \(name) belongs") }
    guard let argument else { throw DecodeError("CBOR with \(name) in pieces") }
    return try take(argument)
  }

  private mutating func take(_ count: UInt64) throws(DecodeError) -> Range<Int> {
    guard count <= UInt64(end - position) else { throw Self.early }
    defer { position += Int(count) }
    return position..<position + Int(count)
  }

  private mutating func entries(_ kind: Kind, _ name: StaticString) throws(DecodeError) -> Entries {
    let (found, argument) = try head()
    guard found == kind else { throw DecodeError("CBOR with another item where \(name) belongs") }
    // Every item has a byte at least.
    guard argument ?? 0 <= UInt64(end - position) else { throw Self.early }
    return Entries(left: argument)
  }

  private mutating func skip(depth: Int) throws(DecodeError) {
    guard depth < Self.mostDepth else { throw DecodeError("CBOR nested more than \(Self.mostDepth) deep") }
    let (kind, argument) = try head()
    switch kind {
    case .unsigned, .negative, .simple: return
    case .tag: try skip(depth: depth + 1)
    case .bytes, .text:
      if let argument {
        _ = try take(argument)
        return
      }
      var pieces = Entries(left: nil)
      while try more(&pieces) { _ = try string(kind, "a piece of a string") }
    case .array, .map:
      guard argument ?? 0 <= UInt64(end - position) else { throw Self.early }
      var entries = Entries(left: argument)
      while try more(&entries) {
        try skip(depth: depth + 1)
        if kind == .map { try skip(depth: depth + 1) }
      }
    }
  }
}
