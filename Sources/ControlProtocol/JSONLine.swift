internal import JSON

/// A JSON object written straight into bytes, member by member, in the order of the calls.
struct JSONLine {
  private var out: [UInt8] = []
  private var isFirst = true

  init() {
    out.reserveCapacity(640)
    out.append(UInt8(ascii: "{"))
  }

  /// The object; nothing may be added after it.
  var finished: [UInt8] { out + [UInt8(ascii: "}")] }

  mutating func member(_ name: String, _ value: Int64?) { key(name) { $0.append(value.map { "\($0)" } ?? "null") } }
  mutating func member(_ name: String, _ value: UInt64) { key(name) { $0.append("\(value)") } }
  mutating func member(_ name: String, _ value: String?) {
    key(name) { line in
      if let value { line.quote(value) } else { line.append("null") }
    }
  }
  mutating func member(_ name: String, _ value: JSONValue) { key(name) { $0.out += value.bytes } }
  mutating func member(_ name: String, _ value: [Int]) {
    key(name) { $0.append("[\(value.map { "\($0)" }.joined(separator: ","))]") }
  }
  /// A number that is not finite is null (`formats.md` §2.1).
  mutating func member(_ name: String, _ value: Double?) {
    key(name) { line in
      if let value, value.isFinite { line.append("\(value)") } else { line.append("null") }
    }
  }

  mutating func object(_ name: String, _ body: (inout JSONLine) -> Void) {
    key(name) { $0.nest(body) }
  }

  mutating func array<Element>(_ name: String, _ elements: [Element], _ body: (inout JSONLine, Element) -> Void) {
    key(name) { line in
      line.append("[")
      for (index, element) in elements.enumerated() {
        if index > 0 { line.append(",") }
        line.nest { body(&$0, element) }
      }
      line.append("]")
    }
  }

  private mutating func key(_ name: String, _ value: (inout JSONLine) -> Void) {
    if !isFirst { append(",") }
    isFirst = false
    quote(name)
    append(":")
    value(&self)
  }

  private mutating func nest(_ body: (inout JSONLine) -> Void) {
    append("{")
    let outer = isFirst
    isFirst = true
    body(&self)
    isFirst = outer
    append("}")
  }

  private mutating func append(_ text: String) { out.append(contentsOf: text.utf8) }

  private mutating func quote(_ text: String) {
    let hexadecimal = Array("0123456789abcdef".utf8)
    out.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): out += [UInt8(ascii: "\\"), byte]
      case ..<0x20: out += Array("\\u00".utf8) + [hexadecimal[Int(byte >> 4)], hexadecimal[Int(byte & 15)]]
      default: out.append(byte)
      }
    }
    out.append(UInt8(ascii: "\""))
  }
}
