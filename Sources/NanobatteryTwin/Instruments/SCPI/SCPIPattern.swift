/// A command header as manuals print it: `:SOURce:VOLTage[:LEVel]`; capitals are the short form, brackets may be left out.
struct SCPIPattern {
  private struct Node {
    let short: String
    let long: String
    let isOptional: Bool
  }

  private let nodes: [Node]

  init(_ text: String) {
    var nodes: [Node] = []
    var word = ""
    var isOptional = false
    func end() {
      guard !word.isEmpty else { return }
      let short = word.filter { !$0.isLowercase }
      nodes.append(Node(short: short, long: word.uppercased(), isOptional: isOptional))
      word = ""
    }
    for character in text {
      switch character {
      case "[":
        end()
        isOptional = true
      case "]":
        end()
        isOptional = false
      case ":": end()
      default: word.append(character)
      }
    }
    end()
    self.nodes = nodes
  }

  /// - Parameter words: upper case, without colons.
  func matches(_ words: [String]) -> Bool { matches(words[...], nodes[...]) }

  private func matches(_ words: ArraySlice<String>, _ nodes: ArraySlice<Node>) -> Bool {
    guard let node = nodes.first else { return words.isEmpty }
    if let word = words.first, word == node.short || word == node.long,
      matches(words.dropFirst(), nodes.dropFirst())
    {
      return true
    }
    return node.isOptional && matches(words, nodes.dropFirst())
  }

  /// True when `word` is the short or the long form of a keyword such as `NORMal`.
  static func isForm(_ word: String, of keyword: String) -> Bool {
    let upper = word.uppercased()
    return upper == keyword.uppercased() || upper == keyword.filter { !$0.isLowercase }
  }
}
