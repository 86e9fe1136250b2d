/// Words of a sentence, with the place of the first.
struct Phrase: Equatable {
  var text: String
  /// In characters from the start of the sentence.
  var offset: Int

  /// Words between spaces, without a comma at their end.
  static func words(of sentence: String) -> [Phrase] {
    var words: [Phrase] = []
    var word = Phrase(text: "", offset: 0)
    for (offset, character) in (sentence + " ").enumerated() {
      if character.isWhitespace {
        if word.text.last == "," { word.text.removeLast() }
        if !word.text.isEmpty { words.append(word) }
        word = Phrase(text: "", offset: offset + 1)
      } else {
        word.text.append(character)
      }
    }
    return words
  }
}
