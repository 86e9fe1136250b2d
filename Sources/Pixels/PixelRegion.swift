package import Quantities

/// A rectangle of pixels, from the frame's upper left corner.
package struct PixelRegion: Hashable, Sendable, CustomStringConvertible {
  package var left: Int
  package var top: Int
  package var width: Int
  package var height: Int

  package init(left: Int, top: Int, width: Int, height: Int) {
    self.left = left
    self.top = top
    self.width = width
    self.height = height
  }

  /// Reads "64 x 32 at 0, 128": width × height at left, top.
  package init(parsing text: String) throws(QuantityError) {
    let signs: [Character: String] = ["×": " x ", "x": " x ", "X": " x ", ",": " , "]
    let words = text.map { signs[$0] ?? String($0) }.joined().split(separator: " ")
    guard words.count == 7, words[1] == "x", words[3] == "at", words[5] == ",", let width = Int(words[0]),
      let height = Int(words[2]), let left = Int(words[4]), let top = Int(words[6])
    else {
      throw QuantityError(
        "“\(text)” is not a region in whole pixels; write width x height at left, top, for example “64 x 64 at 0, 0”")
    }
    self.init(left: left, top: top, width: width, height: height)
  }

  /// "64 x 32 at 0, 128".
  package var description: String { "\(width) x \(height) at \(left), \(top)" }
}
