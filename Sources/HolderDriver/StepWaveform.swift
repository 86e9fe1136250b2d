/// How a slip-stick drive moves within one step (holder.md §4.5).
package enum StepWaveform: Hashable, Sendable {
  /// A slow rise and a fast edge.
  case sawtooth
  /// A rise that begins and ends at rest, and a fast edge.
  case cycloid
  /// One period as the laboratory has it.
  case user(WaveformTable)
}

/// One period of a step: 256 points at equal distances in time, 0 is 0 V and 255 the amplitude; after the last comes the
/// first.
package struct WaveformTable: Hashable, Sendable {
  package static let count = 256
  /// Up and down together over a period. What is carried is at most half of it, whatever slips: so no table makes a longer
  /// step than the amplitude, which the fine range has been compared with.
  package static let mostVariation = 2 * 255

  package let points: [UInt8]

  /// What is wrong with a table, in a sentence.
  package struct Problem: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
  }

  package init(_ points: [UInt8]) throws(Problem) {
    guard points.count == Self.count else {
      throw Problem(description: "the table has \(points.count) points, and a period has \(Self.count)")
    }
    var variation = 0
    for (index, point) in points.enumerated() { variation += abs(Int(points[(index + 1) % Self.count]) - Int(point)) }
    guard variation > 0 else { throw Problem(description: "all points of the table are the same: nothing would move") }
    guard variation <= Self.mostVariation else {
      throw Problem(
        description:
          "the table goes up and down by \(variation) in a period; more than \(Self.mostVariation) could make a"
          + " step longer than its amplitude")
    }
    self.points = points
  }

  /// Reads whole numbers from 0 to 255, parted by blanks, line ends or commas.
  package init(parsing text: String) throws(Problem) {
    var points: [UInt8] = []
    for word in text.split(whereSeparator: { $0.isWhitespace || $0 == "," }) {
      guard let point = UInt8(word) else {
        throw Problem(description: "“\(word)” is no point of a table; whole numbers from 0 to 255 are")
      }
      guard points.count < Self.count else {
        throw Problem(description: "the table has more than \(Self.count) points, and a period has as many")
      }
      points.append(point)
    }
    try self.init(points)
  }
}
