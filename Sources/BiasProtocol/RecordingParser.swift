import Quantities
import YAML

/// Reads what is recorded, as a sentence or in its short form.
///
/// ```
/// sentence = "Stop recording" | "Record" frames clause*
/// frames   = ["all"] "frames" | "no frames" | "every" ordinal "frame" | "averages of" number "frames"
/// short    = "off" | (rate | "all" | "none" | "every" ordinal | "averages of" number)? clause*
/// clause   = "at" rate | "keep" keep                     each once
/// keep     = "all" | "none" | "every" ordinal | rate
/// ```
struct RecordingParser {
  private enum Form { case sentence, short, keep }

  private static let keywords: Set<String> = ["at", "keep", "for", "until", "or"]
  static let sentences =
    "write “Record frames at 10 fps”, “Record every 10th frame at 400 fps”, “Record averages of 8 frames at 400 fps”,"
    + " “Record all frames”, “Record no frames” or “Stop recording”"
  static let shortForms = "write for example “400 fps”, “every 10th at 400 fps”, “all”, “none” or “off”"
  static let keeps = "write “all”, “none”, for example “every 10th”, or a rate such as “10 fps”"

  private let text: String
  private let form: Form
  private var words: ArraySlice<Phrase>
  private var recording = Recording.all
  /// Where it is said what is kept.
  private var keepOffset: Int?

  private init(_ text: String, _ form: Form) {
    self.text = text
    self.form = form
    words = Phrase.words(of: text)[...]
  }

  /// A sentence that begins with “Record” or “Stop”.
  static func sentence(_ text: String) throws(SentenceError) -> Recording {
    var parser = RecordingParser(text, .sentence)
    return try parser.readSentence()
  }

  /// The value of an option: "400 fps", "every 10th", "off".
  static func short(_ text: String) throws(SentenceError) -> Recording {
    if text.lowercased() == "off" { return .off }
    var parser = RecordingParser(text, .short)
    return try parser.readShort()
  }

  /// What is kept: "all", "none", "every 10th", "10 fps".
  static func keep(_ text: String) throws(SentenceError) -> Recording.Keep {
    var parser = RecordingParser(text, .keep)
    let keep = try parser.takeKeep()
    if let next = parser.words.first { throw parser.notUnderstood(next) }
    return keep
  }

  // MARK: - Forms

  private mutating func readSentence() throws(SentenceError) -> Recording {
    let verb = words.removeFirst()
    if verb.text.lowercased() == "stop" {
      guard take("recording"), words.isEmpty else { throw notUnderstood(words.first ?? verb) }
      return .off
    }
    guard let first = words.first else { throw notUnderstood(verb) }
    var saysHowMany = true
    if take("all") {
      try need("frames")
    } else if take("no") {
      recording.keep = .none
      try need("frames")
    } else if take("frames") {
      saysHowMany = false
    } else if !(try takeEveryOrAverage()) {
      throw notUnderstood(first)
    }
    try readClauses()
    // “Record frames” may mean all, or that the rest was forgotten.
    if !saysHowMany, recording == .all { throw notUnderstood(first) }
    return try checked()
  }

  private mutating func readShort() throws(SentenceError) -> Recording {
    guard let first = words.first else { throw SentenceError(0, "nothing is said", remedy: Self.shortForms) }
    if take("none") {
      recording.keep = .none
    } else if Self.isNumber(first) {
      recording.rate = try takeRate()
    } else if !take("all") && !isNext("keep") {
      guard try takeEveryOrAverage() else { throw notUnderstood(first) }
    }
    try readClauses()
    return try checked()
  }

  /// "every 10th frame" or "averages of 8 frames"; false for other words.
  private mutating func takeEveryOrAverage() throws(SentenceError) -> Bool {
    if let place = words.first?.offset, take("every") {
      recording.keep = .everyNth(try takeOrdinal(after: place))
      keepOffset = place
      if form == .sentence || isNext("frame", "frames") { try need("frame", "frames") }
      return true
    }
    guard take("averages") else { return false }
    try need("of")
    recording.average = try takeCount()
    if form == .sentence || isNext("frames") { try need("frames") }
    return true
  }

  private mutating func readClauses() throws(SentenceError) {
    while let word = words.first {
      switch word.text.lowercased() {
      case "at":
        words.removeFirst()
        if recording.rate != nil {
          throw SentenceError(word.offset, "the rate stands there twice", remedy: "remove one")
        }
        recording.rate = try takeRate()
      case "keep":
        words.removeFirst()
        if recording.keep != .all || keepOffset != nil {
          throw SentenceError(word.offset, "what is kept stands there twice", remedy: "remove one")
        }
        keepOffset = word.offset
        recording.keep = try takeKeep()
      case "for", "until", "or":
        throw SentenceError(
          word.offset, "“\(word.text)” does not belong to recording",
          remedy: "recording holds for the steps that follow, until it is changed")
      default: throw notUnderstood(word)
      }
    }
  }

  private func checked() throws(SentenceError) -> Recording {
    if let contradiction = recording.contradiction {
      throw SentenceError(keepOffset ?? 0, contradiction.message, remedy: contradiction.remedy)
    }
    return recording
  }

  // MARK: - Values

  private mutating func takeKeep() throws(SentenceError) -> Recording.Keep {
    guard let first = words.first else { throw missing("what is kept") }
    if take("all") { return .all }
    if take("none") { return .none }
    if take("every") {
      let count = try takeOrdinal(after: first.offset)
      if isNext("frame", "frames") { try need("frame", "frames") }
      return .everyNth(count)
    }
    guard Self.isNumber(first) else { throw notUnderstood(first) }
    return .rate(try takeRate())
  }

  /// The words up to the next clause.
  private mutating func takeRate() throws(SentenceError) -> Hertz {
    let value = words.prefix { !Self.keywords.contains($0.text.lowercased()) }
    guard let first = value.first else { throw missing("a frame rate") }
    words = words.dropFirst(value.count)
    do throws(QuantityError) {
      return try FrameRate.parse(value.map(\.text).joined(separator: " "))
    } catch {
      throw SentenceError(first.offset, error.description)
    }
  }

  private mutating func takeOrdinal(after place: Int) throws(SentenceError) -> Int {
    guard let word = words.popFirst() else { throw missing("how many", like: "every 10th") }
    let digits = word.text.prefix { $0.isASCII && $0.isNumber }
    let ending = word.text.dropFirst(digits.count).lowercased()
    guard !digits.isEmpty, ["st", "nd", "rd", "th"].contains(ending) else {
      throw SentenceError(
        word.offset, "“\(word.text)” does not say which frames",
        remedy: "write for example “every 10th”, or a rate such as “0.1 fps”")
    }
    let most = Recording.countsOfEvery.upperBound
    guard let count = Int(digits), count <= most else {
      throw SentenceError(word.offset, "“\(word.text)” is too large", remedy: "at most every \(Ordinal.text(most))")
    }
    guard Recording.countsOfEvery.contains(count) else {
      throw SentenceError(
        place, "“every \(word.text)” leaves nothing out", remedy: "write “all”, or for example “every 2nd”")
    }
    return count
  }

  private mutating func takeCount() throws(SentenceError) -> Int {
    guard let word = words.popFirst() else { throw missing("how many", like: "averages of 8") }
    guard let count = Int(word.text) else {
      throw SentenceError(
        word.offset, "“\(word.text)” is not a whole number of frames",
        remedy: "write for example “averages of 8 frames”")
    }
    let counts = Recording.countsOfAverage
    guard counts.contains(count) else {
      throw SentenceError(
        word.offset, "averages of \(count) are not possible",
        remedy: "write a number from \(counts.lowerBound) to \(counts.upperBound)")
    }
    return count
  }

  // MARK: - Words

  private static func isNumber(_ word: Phrase) -> Bool {
    word.text.first.map { $0.isNumber || "+-.".contains($0) } ?? false
  }

  private func isNext(_ known: String...) -> Bool { words.first.map { known.contains($0.text.lowercased()) } ?? false }

  private mutating func take(_ word: String) -> Bool {
    guard isNext(word) else { return false }
    words.removeFirst()
    return true
  }

  private mutating func need(_ known: String...) throws(SentenceError) {
    guard let word = words.first else { throw missing("“\(known[0])”") }
    guard known.contains(word.text.lowercased()) else { throw notUnderstood(word) }
    words.removeFirst()
  }

  private func missing(_ what: String, like example: String? = nil) -> SentenceError {
    SentenceError(text.count, "\(what) is missing here", remedy: example.map { "write for example “\($0)”" } ?? remedy)
  }

  private func notUnderstood(_ word: Phrase) -> SentenceError {
    switch form {
    case .sentence: SentenceError(word.offset, "“\(text)” is not understood", remedy: remedy)
    case .short, .keep: SentenceError(word.offset, "“\(word.text)” is not understood here", remedy: remedy)
    }
  }

  private var remedy: String {
    switch form {
    case .sentence: Self.sentences
    case .short: Self.shortForms
    case .keep: Self.keeps
    }
  }
}

extension Recording {
  enum Part { case keep, average, trigger }

  /// Parts that exclude each other, and which of them is to be changed; nil when all is well.
  var contradiction: (part: Part, message: String, remedy: String)? {
    if case .everyNth(let count) = keep, average > 1 {
      return (
        .keep, "every \(Ordinal.text(count)) frame and averages of \(average) exclude each other",
        "write one of them; “keep” with a rate, for example “10 fps”, thins averages out"
      )
    }
    if case .rate(let kept) = keep, let rate, kept.value * Double(average) > rate.value {
      let come = average > 1 ? "averages of \(average) at \(FrameRate.text(rate))" : FrameRate.text(rate)
      return (.keep, "\(FrameRate.text(kept)) cannot be kept of \(come)", "keep fewer, or leave “keep” out")
    }
    if keep == .none, average > 1, trigger == nil {
      return (.average, "averages of \(average) frames of which none is kept", "leave “average” out, or add a trigger")
    }
    if keep == .all, trigger != nil {
      return (
        .trigger, "a trigger has no effect while all frames are kept",
        "add “keep: none”, or for example “keep: every 10th”"
      )
    }
    return nil
  }
}
