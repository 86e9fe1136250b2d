import Quantities

/// Which rows of an instrument's circular reading buffer are still to be fetched. Rows count from 1.
struct ReadingBuffer {
  /// Rows of the buffer; when it is full the oldest are overwritten.
  static let size = 100_000
  /// Rows fetched with one question.
  static let mostPerQuestion = 400

  private var last = 0
  /// When the newest question was asked that showed no row beyond `last`.
  private(set) var lastAsked: MonotonicTime?

  /// The buffer was cleared.
  mutating func restart() {
    last = 0
    lastAsked = nil
  }

  mutating func noteAsked(_ time: MonotonicTime) { lastAsked = time }

  /// Row ranges to ask for, in order, when the newest row is `end`.
  mutating func unread(through end: Int) -> [ClosedRange<Int>] {
    guard end >= 1, end <= Self.size, end != last else { return [] }
    var spans: [ClosedRange<Int>] = []
    if end > last {
      spans = [last + 1...end]
    } else {
      if last < Self.size { spans.append(last + 1...Self.size) }
      spans.append(1...end)
    }
    last = end
    return spans.flatMap { span in
      stride(from: span.lowerBound, through: span.upperBound, by: Self.mostPerQuestion).map {
        $0...min(span.upperBound, $0 + Self.mostPerQuestion - 1)
      }
    }
  }
}
