/// A place in a document, both counted from 1; columns count characters.
package struct YAMLMark: Hashable, Comparable, Sendable, CustomStringConvertible {
  package var line: Int
  package var column: Int

  package init(line: Int, column: Int) {
    self.line = line
    self.column = column
  }

  package static func < (a: Self, b: Self) -> Bool { (a.line, a.column) < (b.line, b.column) }
  package var description: String { "line \(line), column \(column)" }
}

/// A value of a document with its place. Scalars are text until a reader gives them a type (design §7).
package struct YAMLNode: Equatable, Sendable {
  package struct Entry: Equatable, Sendable {
    /// Always a scalar; keys are unique within their mapping.
    package var key: YAMLNode
    package var value: YAMLNode

    package init(key: YAMLNode, value: YAMLNode) {
      self.key = key
      self.value = value
    }
  }

  package enum Content: Equatable, Sendable {
    case scalar(String)
    case sequence([YAMLNode])
    case mapping([Entry])
  }

  /// Where the value begins.
  package var mark: YAMLMark
  package var content: Content

  package init(mark: YAMLMark, content: Content) {
    self.mark = mark
    self.content = content
  }

  package var scalar: String? { if case .scalar(let text) = content { text } else { nil } }
  package var elements: [YAMLNode]? { if case .sequence(let nodes) = content { nodes } else { nil } }
  package var entries: [Entry]? { if case .mapping(let entries) = content { entries } else { nil } }

  /// The value of a key of a mapping.
  package subscript(_ key: String) -> YAMLNode? { entries?.first { $0.key.scalar == key }?.value }

  /// What the value is, for messages: "a list", "the text “abc”".
  package var kind: String {
    switch content {
    case .scalar(let text): text.isEmpty ? "nothing" : "the text “\(text.count > 60 ? text.prefix(60) + "…" : text)”"
    case .sequence: "a list"
    case .mapping: "a mapping"
    }
  }

  /// The same tree with `word` replaced in every value that is text; keys stay as they are.
  package func replacing(_ word: String, with other: String) -> YAMLNode {
    var copy = self
    switch content {
    case .scalar(let text):
      copy.content = .scalar(text.split(separator: word, omittingEmptySubsequences: false).joined(separator: other))
    case .sequence(let nodes):
      copy.content = .sequence(nodes.map { $0.replacing(word, with: other) })
    case .mapping(let entries):
      copy.content = .mapping(
        entries.map { Entry(key: $0.key, value: $0.value.replacing(word, with: other)) })
    }
    return copy
  }
}

/// What is wrong with a document, where, and what to do.
package struct YAMLError: Error, Equatable, Sendable, CustomStringConvertible {
  package var line: Int
  package var column: Int
  package var message: String
  package var remedy: String?

  package init(at mark: YAMLMark, _ message: String, remedy: String? = nil) {
    line = mark.line
    column = mark.column
    self.message = message
    self.remedy = remedy
  }

  package var mark: YAMLMark { YAMLMark(line: line, column: column) }
  /// The message and the remedy without the place.
  package var text: String { remedy.map { "\(message); \($0)" } ?? message }
  package var description: String { "line \(line), column \(column): \(text)" }
  /// "config/twin.yaml:7:3: …", as editors and compilers write it.
  package func described(in file: String) -> String { "\(file):\(line):\(column): \(text)" }
}
