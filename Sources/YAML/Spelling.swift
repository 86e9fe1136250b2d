/// Guesses what somebody meant to type.
package enum Spelling {
  /// The word of `known` nearest to `word` in edits (letters added, dropped, changed or two swapped); nil when none is
  /// near. Letter case does not count.
  package static func suggestion(for word: String, among known: some Sequence<String>) -> String? {
    let typed = Array(word.lowercased().unicodeScalars)
    guard typed.count <= 64 else { return nil }
    var best: (word: String, edits: Int)?
    for candidate in known {
      let edits = distance(typed, Array(candidate.lowercased().unicodeScalars))
      if edits < best?.edits ?? .max { best = (candidate, edits) }
    }
    guard let best, best.edits <= max(1, min(typed.count, best.word.unicodeScalars.count) / 3) else { return nil }
    return best.word
  }

  /// " ; did you mean “limits”?" as the end of a sentence, or nothing.
  package static func hint(for word: String, among known: some Sequence<String>) -> String {
    suggestion(for: word, among: known).map { "; did you mean “\($0)”?" } ?? ""
  }

  /// Optimal string alignment distance.
  private static func distance(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Int {
    var beforeLast = [Int](repeating: 0, count: b.count + 1)
    var last = Array(0...b.count)
    for i in 0..<a.count {
      var row = [i + 1]
      for j in 0..<b.count {
        var edits = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { edits = min(edits, beforeLast[j - 1] + 1) }
        row.append(edits)
      }
      (beforeLast, last) = (last, row)
    }
    return last[b.count]
  }
}
