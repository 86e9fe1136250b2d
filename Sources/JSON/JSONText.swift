/// A text of a JSON document, where it lies. Valid as long as the document's bytes are.
@safe
package struct JSONText {
  private let bytes: UnsafeRawBufferPointer
  private let isEscaped: Bool

  init(_ bytes: UnsafeRawBufferPointer, isEscaped: Bool) {
    unsafe self.bytes = unsafe bytes
    self.isEscaped = isEscaped
  }

  package var isEmpty: Bool { unsafe bytes.isEmpty }

  /// Compares without making a string; only a text with escapes is made one.
  package func `is`(_ word: StaticString) -> Bool {
    unsafe isEscaped ? string == word.description : bytes.count == word.utf8CodeUnitCount && begins(with: word)
  }

  package func hasPrefix(_ word: StaticString) -> Bool {
    isEscaped ? string.hasPrefix(word.description) : begins(with: word)
  }

  private func begins(with word: StaticString) -> Bool {
    guard unsafe bytes.count >= word.utf8CodeUnitCount else { return false }
    for index in 0..<word.utf8CodeUnitCount where unsafe bytes[index] != word.utf8Start[index] { return false }
    return true
  }

  /// The text as a string of its own.
  package var string: String {
    guard isEscaped else { return unsafe String(decoding: bytes, as: UTF8.self) }
    let quote = UInt8(ascii: "\"")
    let document = unsafe [UInt8(ascii: "["), quote] + bytes + [quote, UInt8(ascii: "]")]
    return (try? JSONValue(parsing: document))?.array?.first?.string ?? ""  // it has been read already
  }
}

extension JSONScanner.Value {
  package var text: JSONText? { if case .text(let value) = self { value } else { nil } }
  package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  package var elements: JSONScanner? { if case .array(let value) = self { value } else { nil } }
  package var integer: Int64? {
    switch self {
    case .integer(let value): value
    case .number(let value): Int64(exactly: value)
    default: nil
    }
  }
  package var unsigned: UInt64? { integer.flatMap { UInt64(exactly: $0) } }
  package var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }
}
