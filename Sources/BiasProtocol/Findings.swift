import YAML

/// What a reader has found wrong so far; it goes on reading, so that one run names all mistakes.
struct Findings {
  private(set) var errors: [ProtocolError] = []

  mutating func add(_ mark: YAMLMark, _ message: String, remedy: String? = nil) {
    errors.append(ProtocolError(at: mark, message, remedy: remedy))
  }

  mutating func add(contentsOf others: [ProtocolError]) { errors += others }

  /// What `body` gives, or nil when it threw.
  mutating func collect<R>(_ body: () throws(YAMLError) -> R) -> R? {
    do throws(YAMLError) {
      return try body()
    } catch {
      errors.append(ProtocolError(error))
      return nil
    }
  }

  /// The same for a value that may be missing.
  mutating func collectIfPresent<R>(_ body: () throws(YAMLError) -> R?) -> R? { collect(body) ?? nil }

  /// A mapping; unknown keys are noted, and the known ones can be read nevertheless.
  mutating func open(_ node: YAMLNode, _ path: String, _ keys: [String]) -> YAMLMapping? {
    var found: [YAMLError] = []
    let mapping = YAMLMapping(node, path: path, keys: keys) { found.append($0) }
    errors += found.map(ProtocolError.init)
    return mapping
  }
}
