package import YAML

/// One thing that is wrong with a protocol: where, what, and what to write instead.
package struct ProtocolError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Counted from 1; 0 when the protocol did not come from a file.
  package var line: Int
  package var column: Int
  package var message: String
  package var remedy: String?

  package init(line: Int, column: Int, _ message: String, remedy: String? = nil) {
    self.line = line
    self.column = column
    self.message = message
    self.remedy = remedy
  }

  package init(at mark: YAMLMark, _ message: String, remedy: String? = nil) {
    self.init(line: mark.line, column: mark.column, message, remedy: remedy)
  }

  init(_ error: YAMLError) { self.init(at: error.mark, error.message, remedy: error.remedy) }

  /// The message and the remedy without the place.
  package var text: String { remedy.map { "\(message); \($0)" } ?? message }
  package var description: String { line > 0 ? "line \(line), column \(column): \(text)" : text }
  /// "demo.yaml:7:5: …", as editors and compilers write it.
  package func described(in file: String) -> String {
    line > 0 ? "\(file):\(line):\(column): \(text)" : "\(file): \(text)"
  }
}

/// Everything found wrong with a protocol, in the order of its lines; never empty.
package struct ProtocolErrors: Error, Equatable, Sendable, CustomStringConvertible {
  /// Errors named at most; the first ones usually explain the rest.
  package static let most = 20

  package var errors: [ProtocolError]
  /// Errors found beyond `most`.
  package var unnamed: Int

  init(_ all: [ProtocolError]) {
    var seen: Set<ProtocolError> = []
    let sorted = all.filter { seen.insert($0).inserted }.sorted { ($0.line, $0.column) < ($1.line, $1.column) }
    errors = Array(sorted.prefix(Self.most))
    unnamed = sorted.count - errors.count
  }

  package var description: String { lines { "\($0)" } }
  /// One line for each error, as editors and compilers write it.
  package func described(in file: String) -> String { lines { $0.described(in: file) } }

  private func lines(_ line: (ProtocolError) -> String) -> String {
    let named = errors.map(line)
    return (unnamed > 0 ? named + ["and \(unnamed) more"] : named).joined(separator: "\n")
  }
}
