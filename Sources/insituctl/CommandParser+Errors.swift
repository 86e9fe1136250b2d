import ControlProtocol

extension CommandParser {
  static func usage(_ message: String, _ form: CommandForm?, _ remedy: String? = nil) -> ControlError {
    ControlError(
      .usage, message, remedy: remedy ?? form.map { "Usage: \($0.usage)" } ?? "All commands: insituctl help.")
  }

  static func unknownCommand(_ first: String, _ second: String?) -> ControlError {
    let family = CommandForm.all.filter { $0.words[0] == first }
    if !family.isEmpty {
      let known = family.compactMap { $0.words.count > 1 ? $0.words[1] : nil }
      guard let second else {
        return usage(
          "“\(first)” is not a whole command", nil,
          "It goes on with \(known.joined(separator: ", ")): insituctl help \(first) \(known[0]).")
      }
      return usage(
        "there is no command “\(first) \(second)”" + didYouMean(second, among: known), nil,
        "“\(first)” goes on with \(known.joined(separator: ", ")).")
    }
    let known = CommandForm.all.map(\.title) + CommandForm.all.map { $0.words[0] } + ["help"]
    return usage("there is no command “\(first)”" + didYouMean(first, among: known), nil)
  }

  static func surplus(_ word: String, _ form: CommandForm) -> ControlError {
    // “runs shwo last”: the family has a command of its own and longer ones beside it.
    let family = CommandForm.all.filter { $0.words.count == 2 && $0.words[0] == form.words[0] }
    if form.words.count == 1, !family.isEmpty { return unknownCommand(form.words[0], word) }
    return usage("“\(form.title)”: one word too many: “\(word)”", form)
  }

  static func unknownOption(_ name: String, _ form: CommandForm?, _ known: [OptionForm]) -> ControlError {
    let owner = form.map { "“\($0.title)” has no option “\(name)”" } ?? "there is no option “\(name)”"
    return usage(owner + didYouMean(name, among: known.map(\.name)), form)
  }

  /// “; did you mean “status”?” where one of the known words is near.
  static func didYouMean(_ word: String, among known: [String]) -> String {
    let near = known.map { ($0, distance(word, $0)) }.min { $0.1 < $1.1 }
    // Two: letters that changed places count twice.
    guard let (name, errors) = near, errors <= max(word.count < 4 ? 1 : 2, word.count / 3) else { return "" }
    return "; did you mean “\(name)”?"
  }

  /// Letters to insert, remove or replace to come from one word to the other (Levenshtein).
  static func distance(_ one: String, _ other: String) -> Int {
    let (a, b) = (Array(one.prefix(64)), Array(other))
    var row = Array(0...b.count)
    for (i, letter) in a.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for (j, other) in b.enumerated() {
        let replaced = diagonal + (letter == other ? 0 : 1)
        diagonal = row[j + 1]
        row[j + 1] = min(replaced, row[j] + 1, row[j + 1] + 1)
      }
    }
    return row[b.count]
  }
}
