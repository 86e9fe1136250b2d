package import Quantities

/// Reads a mapping key by key, each into its type; every error names the key and its place.
///
/// ```
/// let camera = try root.mapping("camera", keys: ["model", "url", "exposure"])
/// let model = try camera.text("model")
/// let exposure = try camera.quantity("exposure", as: Seconds.self, default: Seconds(0.0024))
/// let url = try camera.ifPresent("url")?.text()
/// ```
package struct YAMLMapping: Sendable {
  /// Keys from the top of the document to here, joined with points; empty at the top.
  package let path: String
  /// Where the mapping begins; for a mapping that is not there, the place it would have.
  package let mark: YAMLMark
  package let entries: [YAMLNode.Entry]

  /// - Parameter keys: all keys that may be there; another one is an error.
  package init(_ node: YAMLNode, path: String = "", keys: [String]) throws(YAMLError) {
    var failure: YAMLError?
    let mapping = Self(node, path: path, keys: keys) { failure = failure ?? $0 }
    if let failure { throw failure }
    guard let mapping else { throw YAMLError(at: node.mark, "not a mapping") }
    self = mapping
  }

  /// The same for readers that go on after an error; nil only when the node is no mapping. When anything was reported,
  /// the mapping serves to find further errors and nothing else.
  package init?(_ node: YAMLNode, path: String = "", keys: [String], report: (YAMLError) -> Void) {
    guard let entries = node.entries else {
      let subject = path.isEmpty ? "the document" : "“\(path)”"
      report(
        YAMLError(
          at: node.mark, "\(subject) must be a mapping, not \(node.kind)",
          remedy: "write “key: value” lines with the keys \(keys.joined(separator: ", "))"))
      return nil
    }
    var known: [YAMLNode.Entry] = []
    for entry in entries {
      let key = entry.key.scalar ?? ""
      if keys.contains(key) {
        known.append(entry)
        continue
      }
      let meant = Spelling.suggestion(for: key, among: keys)
      report(
        YAMLError(
          at: entry.key.mark,
          "unknown key “\(path.isEmpty ? key : "\(path).\(key)")”\(meant.map { "; did you mean “\($0)”?" } ?? "")",
          remedy: meant == nil ? "known here: \(keys.joined(separator: ", "))" : nil))
      // A reader that goes on takes the value for what was meant, so that it does not call that key missing as well.
      if let meant, !entries.contains(where: { $0.key.scalar == meant }) {
        known.append(YAMLNode.Entry(key: YAMLNode(mark: entry.key.mark, content: .scalar(meant)), value: entry.value))
      }
    }
    self.path = path
    mark = node.mark
    self.entries = known
  }

  private init(emptyAt mark: YAMLMark, path: String) {
    self.path = path
    self.mark = mark
    entries = []
  }

  /// The value of a key with its full name for messages, or nil when the key is not there.
  package func ifPresent(_ key: String) -> YAMLField? {
    guard let entry = entries.first(where: { $0.key.scalar == key }) else { return nil }
    return YAMLField(node: entry.value, name: name(key))
  }

  /// The value of a key that must be there.
  package func field(_ key: String) throws(YAMLError) -> YAMLField {
    if let field = ifPresent(key) { return field }
    throw YAMLError(at: mark, "“\(name(key))” is missing", remedy: "add “\(key): …” here")
  }

  package func text(_ key: String) throws(YAMLError) -> String { try field(key).text() }
  package func text(_ key: String, default fallback: String) throws(YAMLError) -> String {
    try ifPresent(key)?.text() ?? fallback
  }

  package func quantity<Q: PhysicalQuantity>(_ key: String, as type: Q.Type = Q.self) throws(YAMLError) -> Q {
    try field(key).quantity()
  }
  package func quantity<Q: PhysicalQuantity>(
    _ key: String, as type: Q.Type = Q.self, default fallback: Q
  ) throws(YAMLError) -> Q {
    try ifPresent(key)?.quantity() ?? fallback
  }

  package func integer(_ key: String, in range: ClosedRange<Int> = .min ... .max) throws(YAMLError) -> Int {
    try field(key).integer(in: range)
  }
  package func integer(
    _ key: String, in range: ClosedRange<Int> = .min ... .max, default fallback: Int
  ) throws(YAMLError) -> Int {
    try ifPresent(key)?.integer(in: range) ?? fallback
  }

  package func number(_ key: String) throws(YAMLError) -> Double { try field(key).number() }
  package func number(_ key: String, default fallback: Double) throws(YAMLError) -> Double {
    try ifPresent(key)?.number() ?? fallback
  }

  package func boolean(_ key: String) throws(YAMLError) -> Bool { try field(key).boolean() }
  package func boolean(_ key: String, default fallback: Bool) throws(YAMLError) -> Bool {
    try ifPresent(key)?.boolean() ?? fallback
  }

  package func sequence(_ key: String) throws(YAMLError) -> [YAMLField] { try field(key).sequence() }

  /// The mapping under a key that must be there.
  package func mapping(_ key: String, keys: [String]) throws(YAMLError) -> YAMLMapping {
    try field(key).mapping(keys: keys)
  }
  /// The mapping under a key; an empty one when the key is not there or has no value, so that defaults apply.
  package func mappingOrEmpty(_ key: String, keys: [String]) throws(YAMLError) -> YAMLMapping {
    guard let field = ifPresent(key) else { return YAMLMapping(emptyAt: mark, path: name(key)) }
    if field.node.scalar == "" { return YAMLMapping(emptyAt: field.node.mark, path: name(key)) }
    return try field.mapping(keys: keys)
  }

  private func name(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }
}

extension YAMLNode {
  /// The node as a mapping with known keys.
  package func mapping(keys: [String]) throws(YAMLError) -> YAMLMapping { try YAMLMapping(self, keys: keys) }
}
