package import Quantities

/// A value that knows its name ("camera.exposure", "steps[3]"), and turns into the type a reader wants.
package struct YAMLField: Sendable {
  /// Bytes of one text; no name, path or quantity is longer.
  package static let maximumTextBytes = 4096

  package let node: YAMLNode
  package let name: String

  package init(node: YAMLNode, name: String) {
    self.node = node
    self.name = name
  }

  /// Text that is not empty.
  package func text() throws(YAMLError) -> String {
    guard let text = node.scalar else { throw error("must be text, not \(node.kind)") }
    guard !text.isEmpty else { throw error("has no value") }
    guard text.utf8.count <= Self.maximumTextBytes else {
      throw error("has \(text.utf8.count) bytes; at most \(Self.maximumTextBytes) are possible")
    }
    return text
  }

  /// A number with its unit, such as "2 pA".
  package func quantity<Q: PhysicalQuantity>(_ type: Q.Type = Q.self) throws(YAMLError) -> Q {
    let text = try text()
    do {
      return try Q(parsing: text)
    } catch {
      throw self.error(error.description)
    }
  }

  /// A whole number within a range.
  package func integer(in range: ClosedRange<Int> = .min ... .max) throws(YAMLError) -> Int {
    let text = try text()
    guard let number = Int(text) else { throw error("“\(text)” is not a whole number") }
    guard range.contains(number) else {
      let limit =
        number < range.lowerBound ? "at least \(range.lowerBound) is needed" : "at most \(range.upperBound) is possible"
      throw error("is \(number); \(limit)")
    }
    return number
  }

  /// A number without a unit.
  package func number() throws(YAMLError) -> Double {
    let text = try text()
    guard let number = Double(text), number.isFinite else { throw error("“\(text)” is not a number") }
    return number
  }

  /// true, yes, on; false, no, off.
  package func boolean() throws(YAMLError) -> Bool {
    let text = try text()
    switch text.lowercased() {
    case "true", "yes", "on": return true
    case "false", "no", "off": return false
    default: throw error("“\(text)” is neither true nor false")
    }
  }

  /// One of a few words.
  package func choice(_ words: [String]) throws(YAMLError) -> String {
    let text = try text()
    guard words.contains(text) else {
      let hint = Spelling.hint(for: text, among: words)
      throw error("cannot be “\(text)”\(hint.isEmpty ? "; known: \(words.joined(separator: ", "))" : hint)")
    }
    return text
  }

  /// The values of a list.
  package func sequence() throws(YAMLError) -> [YAMLField] {
    guard let elements = node.elements else { throw error("must be a list, not \(node.kind)") }
    return elements.enumerated().map { YAMLField(node: $1, name: "\(name)[\($0)]") }
  }

  /// A list of two numbers with units, low and high.
  package func range<Q: PhysicalQuantity>(of type: Q.Type = Q.self) throws(YAMLError) -> ClosedRange<Q> {
    let ends = try sequence()
    guard ends.count == 2 else {
      throw error("must have two values, low and high, not \(ends.count); for example [-1 \(Q.symbol), 1 \(Q.symbol)]")
    }
    let low: Q = try YAMLField(node: ends[0].node, name: name).quantity()
    let high: Q = try YAMLField(node: ends[1].node, name: name).quantity()
    guard low < high else { throw error("[\(low), \(high)]: the first value must be lower than the second") }
    return low...high
  }

  package func mapping(keys: [String]) throws(YAMLError) -> YAMLMapping {
    try YAMLMapping(node, path: name, keys: keys)
  }

  /// An error at this value that begins with its name.
  package func error(_ message: String, remedy: String? = nil) -> YAMLError {
    YAMLError(at: node.mark, message.hasPrefix("“") ? "\(name): \(message)" : "“\(name)” \(message)", remedy: remedy)
  }
}
