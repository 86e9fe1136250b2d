import Quantities
import YAML

/// Reads one sentence (PyBaMM's experiment strings with all prefixes, formats.md §1.7).
///
/// ```
/// sentence  = instruction clause*                     clauses in any order
/// instruction = "Rest" | ("Charge" | "Discharge" | "Hold") "at" quantity
///             | "Record" … | "Stop recording"              see `RecordingParser`
///             | "Keep the last" time
/// clause    = ["or"] ("for" time | "until" condition ("or" condition)*)
/// condition = [">" | "<"] quantity
/// ```
struct SentenceParser {
  private enum Keyword: String { case at, `for`, until, or }
  private struct Clause {
    var keyword: Keyword
    var offset: Int
    var phrase: Phrase
  }

  static let instructions = [
    "Rest", "Charge at", "Discharge at", "Hold at", "Record", "Stop recording", "Keep the last",
  ]
  private static let verbs = ["Rest", "Charge", "Discharge", "Hold", "Record", "Stop", "Keep"]
  /// Words of the language that this version does not know yet.
  private static let later: Set<String> = [
    "cycle", "eis", "peis", "geis", "sweep", "scan", "ramp", "pulse", "gitt", "pitt", "expose", "approach", "heat",
    "blank",
  ]

  private let sentence: String

  static func parse(_ sentence: String) throws(SentenceError) -> Sentence {
    try SentenceParser(sentence: sentence).parse()
  }

  private func parse() throws(SentenceError) -> Sentence {
    let (head, clauses) = split()
    guard let first = head.first else {
      throw SentenceError(0, "“\(sentence)” does not begin with an instruction", remedy: Self.knownInstructions)
    }
    let word = first.text.lowercased()
    switch word {
    case "rest":
      try refuse(head.dropFirst().first, after: "Rest")
      return try read(clauses, into: Sentence(instruction: .rest))
    case "charge", "discharge", "hold":
      return try readSetPoint(word, head, clauses)
    case "record", "stop":
      return Sentence(instruction: .record(StepRecording(try RecordingParser.sentence(sentence))))
    case "keep":
      return try readKeepLast(head, clauses)
    case _ where Self.later.contains(word):
      let phrase = head.count > 1 ? "\(first.text) \(head[1].text)" : first.text
      throw SentenceError(
        first.offset, "“\(phrase)” is not understood by this version", remedy: Self.knownInstructions)
    default:
      let hint = Spelling.suggestion(for: first.text, among: Self.verbs)
      throw SentenceError(
        first.offset, "“\(first.text)” is not an instruction",
        remedy: hint.map { "did you mean “\($0)”?" } ?? Self.knownInstructions)
    }
  }

  private static var knownInstructions: String { "known here: \(instructions.joined(separator: ", "))" }

  // MARK: - Instructions

  private func readSetPoint(_ word: String, _ head: [Phrase], _ clauses: [Clause]) throws(SentenceError) -> Sentence {
    let verb = word.prefix(1).uppercased() + word.dropFirst()
    let example = word == "hold" ? "Hold at 4.2 V" : "\(verb) at 2 pA"
    if let second = head.dropFirst().first {
      throw SentenceError(second.offset, "“at” is missing after “\(verb)”", remedy: "write for example “\(example)”")
    }
    let set = clauses.filter { $0.keyword == .at }
    guard let at = set.first else {
      throw SentenceError(
        head[0].offset, "“\(verb)” says not at which \(word == "hold" ? "voltage" : "current")",
        remedy: "write for example “\(example)”")
    }
    if set.count > 1 { throw SentenceError(set[1].offset, "“at” stands there twice", remedy: "remove one") }
    let rest = clauses.filter { $0.keyword != .at }
    let unit = try unit(of: at.phrase, like: word == "hold" ? "4.2 V" : "2 pA")
    if unit == "C" || at.phrase.text.lowercased().hasPrefix("c/") {
      throw SentenceError(
        at.phrase.offset, "C-rates (“\(at.phrase.text)”) are not understood by this version",
        remedy: "write the current, for example “2 pA”")
    }
    var sentence: Sentence
    if word == "hold" {
      if unit.hasSuffix("A") {
        throw SentenceError(
          at.phrase.offset, "“\(at.phrase.text)” is a current; Hold keeps a voltage",
          remedy: "write “Charge at \(at.phrase.text)” or “Discharge at \(at.phrase.text)”")
      }
      sentence = Sentence(instruction: .hold(try quantity(at.phrase)))
    } else {
      if unit.hasSuffix("V") {
        throw SentenceError(
          at.phrase.offset, "“\(at.phrase.text)” is a voltage; \(verb) sets a current",
          remedy: "write “Hold at \(at.phrase.text)”")
      }
      let current: Amperes = try quantity(at.phrase)
      if current.value == 0 {
        throw SentenceError(at.phrase.offset, "a current of 0 has no effect", remedy: "write “Rest”")
      }
      if current.value < 0 {
        let opposite = word == "charge" ? "Discharge" : "Charge"
        throw SentenceError(
          at.phrase.offset, "“\(at.phrase.text)” is negative; the word gives the direction",
          remedy: "write “\(opposite) at \((-current).exactText)”")
      }
      sentence = Sentence(instruction: .current(word == "charge" ? current : -current))
    }
    sentence.setPointOffset = at.phrase.offset
    return try read(rest, into: sentence)
  }

  private func readKeepLast(_ head: [Phrase], _ clauses: [Clause]) throws(SentenceError) -> Sentence {
    let example = "write for example “Keep the last 10 s”"
    if let clause = clauses.first {
      throw SentenceError(clause.offset, "“\(clause.keyword.rawValue)” does not belong here", remedy: example)
    }
    for (index, word) in ["keep", "the", "last"].enumerated() {
      guard index < head.count else {
        throw SentenceError(sentence.count, "“\(word)” is missing here", remedy: example)
      }
      guard head[index].text.lowercased() == word else {
        throw SentenceError(
          head[index].offset, "“\(head[index].text)” stands where “\(word)” is needed", remedy: example)
      }
    }
    let place = head.count > 3 ? head[3].offset : sentence.count
    let time: Seconds = try quantity(Phrase(text: head.dropFirst(3).map(\.text).joined(separator: " "), offset: place))
    guard time.value > 0 else {
      throw SentenceError(place, "\(time.exactText) keeps nothing", remedy: "remove the step")
    }
    guard time <= FrameTrigger.maximumBefore else {
      throw SentenceError(
        place, "\(time.exactText) is longer than any camera's ring holds",
        remedy: "at most \(FrameTrigger.maximumBefore.exactText) is possible")
    }
    return Sentence(instruction: .keepLast(time))
  }

  // MARK: - Clauses

  private func read(_ clauses: [Clause], into start: Sentence) throws(SentenceError) -> Sentence {
    var sentence = start
    var acceptsCondition = false
    for (index, clause) in clauses.enumerated() {
      switch clause.keyword {
      case .at:
        throw SentenceError(clause.offset, "“at” does not belong to Rest", remedy: "remove it, or write “Hold at …”")
      case .for:
        guard sentence.duration == nil else {
          throw SentenceError(clause.offset, "“for” stands there twice", remedy: "remove one")
        }
        sentence.duration = try quantity(clause.phrase)
        sentence.durationOffset = clause.phrase.offset
        acceptsCondition = false
      case .until:
        sentence.conditions.append(try condition(clause.phrase))
        acceptsCondition = true
      case .or where clause.phrase.text.isEmpty:
        guard index + 1 < clauses.count, clauses[index + 1].keyword != .or, index > 0 else {
          throw SentenceError(clause.offset, "something is missing beside “or”")
        }
      case .or:
        guard acceptsCondition else {
          throw SentenceError(clause.phrase.offset, "“until” is missing before “\(clause.phrase.text)”")
        }
        sentence.conditions.append(try condition(clause.phrase))
      }
    }
    return sentence
  }

  private func condition(_ phrase: Phrase) throws(SentenceError) -> Sentence.Condition {
    var text = phrase.text
    var offset = phrase.offset
    var comparison: StopCondition.Comparison?
    for (sign, meaning) in comparisonSigns where text.hasPrefix(sign) {
      comparison = meaning
      let rest = text.dropFirst(sign.count).drop { $0 == " " }
      offset += text.count - rest.count
      text = String(rest)
      break
    }
    let value = Phrase(text: text, offset: offset)
    let unit = try unit(of: value, like: "4.2 V")
    if unit.hasSuffix("V") {
      return .init(comparison: comparison, value: .voltage(try quantity(value)), offset: offset)
    }
    if unit.hasSuffix("A") {
      return .init(comparison: comparison, value: .current(try quantity(value)), offset: offset)
    }
    let remedy =
      (try? Seconds(parsing: text)) != nil
      ? "write “for \(text)”" : "write a voltage or a current, for example “until 4.2 V”"
    throw SentenceError(offset, "“until \(text)” is not understood by this version", remedy: remedy)
  }

  // MARK: - Values

  /// The unit behind the number of a phrase; the number and the unit must be there.
  private func unit(of phrase: Phrase, like example: String) throws(SentenceError) -> String {
    if phrase.text.isEmpty {
      throw SentenceError(phrase.offset, "a value is missing here", remedy: "write for example “\(example)”")
    }
    if phrase.text.lowercased().hasPrefix("c/") { return "C" }
    do throws(QuantityError) {
      let unit = try splitNumber(phrase.text, unit: String(example.drop { $0 != " " }.dropFirst())).1
      if unit.isEmpty {
        let symbol = example.split(separator: " ").last ?? ""
        throw QuantityError("“\(phrase.text)” has no unit; write for example “\(phrase.text) \(symbol)”")
      }
      return unit
    } catch {
      throw SentenceError(phrase.offset, error.description)
    }
  }

  private func quantity<Q: PhysicalQuantity>(_ phrase: Phrase) throws(SentenceError) -> Q {
    if phrase.text.isEmpty { throw SentenceError(phrase.offset, "a \(Q.noun) is missing here") }
    do throws(QuantityError) {
      return try Q(parsing: phrase.text)
    } catch {
      throw SentenceError(phrase.offset, error.description)
    }
  }

  private func refuse(_ phrase: Phrase?, after word: String) throws(SentenceError) {
    guard let phrase else { return }
    throw SentenceError(
      phrase.offset, "“\(phrase.text)” is not understood after “\(word)”",
      remedy: "write for example “Rest for 60 s or until < 3.5 V”")
  }

  // MARK: - Words

  /// The words before the first keyword, and each keyword with the text behind it.
  private func split() -> (head: [Phrase], clauses: [Clause]) {
    var head: [Phrase] = []
    var clauses: [Clause] = []
    for word in Phrase.words(of: sentence) {
      if let keyword = Keyword(rawValue: word.text.lowercased()) {
        let end = word.offset + word.text.count
        clauses.append(Clause(keyword: keyword, offset: word.offset, phrase: Phrase(text: "", offset: end)))
      } else if clauses.isEmpty {
        head.append(word)
      } else if clauses[clauses.count - 1].phrase.text.isEmpty {
        clauses[clauses.count - 1].phrase = word
      } else {
        clauses[clauses.count - 1].phrase.text += " " + word.text
      }
    }
    return (head, clauses)
  }
}

private let comparisonSigns: [(String, StopCondition.Comparison)] = [
  (">=", .above), ("<=", .below), (">", .above), ("<", .below), ("≥", .above), ("≤", .below),
]
