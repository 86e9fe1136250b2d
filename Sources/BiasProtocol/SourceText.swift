import YAML

/// The lines of a protocol, to find a character of a sentence in the file.
struct SourceText {
  private let lines: [[Character]]

  init(_ text: String) {
    lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }.map(Array.init)
  }

  /// Where the character `offset` of a scalar stands; where the scalar begins when it is folded over lines or holds
  /// escapes, so that it does not look in the file as it reads.
  func mark(of offset: Int, in node: YAMLNode) -> YAMLMark {
    guard let text = node.scalar, lines.indices.contains(node.mark.line - 1) else { return node.mark }
    let line = lines[node.mark.line - 1]
    for quote in 0...1 {
      let start = node.mark.column - 1 + quote
      if start <= line.count, line[start...].starts(with: Array(text)) {
        return YAMLMark(line: node.mark.line, column: min(start + offset, line.count) + 1)
      }
    }
    return node.mark
  }
}
