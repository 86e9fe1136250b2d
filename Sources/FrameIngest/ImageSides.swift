import JSON
import Pixels

/// Width and height of an image, as a list of its sides tells them; further dimensions may only be 1.
struct ImageSides {
  /// Pixels; no larger image is believed.
  static let possible: ClosedRange<Int64> = 1...65535
  private static let mostDimensions = 8

  let width: Int
  let height: Int

  /// - Parameter isColumnFirst: the first side is the width; else the last one is.
  init?(_ shape: JSONScanner, isColumnFirst: Bool) {
    var shape = shape
    var (count, first, second, last, beforeLast) = (0, Int64(0), Int64(0), Int64(0), Int64(0))
    // Sides other than the two that are taken for width and height.
    var areOne = (behindTwo: true, beforeTwo: true)
    // It has been read: it is JSON.
    while let side = (try? shape.nextElement()).flatMap(\.self) {
      let side = side.integer ?? 0
      if count > 1 {
        areOne.behindTwo = areOne.behindTwo && side == 1
        areOne.beforeTwo = areOne.beforeTwo && beforeLast == 1
      }
      if count == 0 { first = side }
      if count == 1 { second = side }
      (beforeLast, last) = (last, side)
      count += 1
      guard count <= Self.mostDimensions else { return nil }
    }
    let (width, height) = isColumnFirst ? (first, second) : (last, beforeLast)
    guard count >= 2, Self.possible.contains(width), Self.possible.contains(height),
      isColumnFirst ? areOne.behindTwo : areOne.beforeTwo
    else { return nil }
    (self.width, self.height) = (Int(width), Int(height))
  }
}

extension PixelType {
  /// "uint8", "uint16" or "uint32".
  init?(named name: JSONText) {
    if name.is("uint16") {
      self = .u16
    } else if name.is("uint32") {
      self = .u32
    } else if name.is("uint8") {
      self = .u8
    } else {
      return nil
    }
  }
}
