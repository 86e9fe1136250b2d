package import Quantities

/// A rectangle of a frame, in pixels from its top left corner.
package struct PixelRegion: Hashable, Sendable, CustomStringConvertible {
  /// Pixels from the corner of the frame to the right or lower edge of a region.
  package static let maximumEdge = 65_536

  package let width: Int
  package let height: Int
  package let left: Int
  package let top: Int

  /// - Returns: nil for a region without pixels, or one that begins before the frame or ends beyond `maximumEdge`.
  package init?(width: Int, height: Int, left: Int, top: Int) {
    let sizes = 1...Self.maximumEdge
    let places = 0..<Self.maximumEdge
    guard sizes.contains(width), sizes.contains(height), places.contains(left), places.contains(top),
      left + width <= Self.maximumEdge, top + height <= Self.maximumEdge
    else { return nil }
    self.width = width
    self.height = height
    self.left = left
    self.top = top
  }

  /// Reads "256 x 256 at 128, 64": width × height at left, top.
  package init(parsing text: String) throws(QuantityError) {
    let words = text.lowercased().replacing("×", with: " x ").replacing("x", with: " x ").replacing(",", with: " , ")
      .split(whereSeparator: \.isWhitespace)
    guard words.count == 7, words[1] == "x", words[3] == "at", words[5] == ",", let width = Int(words[0]),
      let height = Int(words[2]), let left = Int(words[4]), let top = Int(words[6])
    else {
      throw QuantityError(
        "“\(text)” is not a region in whole pixels; write width x height at left, top, for example “256 x 256 at 128, 64”"
      )
    }
    guard let region = PixelRegion(width: width, height: height, left: left, top: top) else {
      throw QuantityError(
        "“\(text)” is not possible; a region has at least 1 x 1 pixel, begins at 0, 0 or further right and below, and ends"
          + " within \(Self.maximumEdge) pixels")
    }
    self = region
  }

  /// Its pixels that a frame of this size has.
  package func pixels(in width: Int, _ height: Int) -> Int {
    max(0, min(self.width, width - left)) * max(0, min(self.height, height - top))
  }

  package func fits(in width: Int, _ height: Int) -> Bool { left + self.width <= width && top + self.height <= height }

  /// "256 x 256 at 128, 64".
  package var description: String { "\(width) x \(height) at \(left), \(top)" }
}
