/// Frame numbers that are missing, and how many of them for which cause.
struct MissingRange: Sendable {
  var first: UInt64
  var last: UInt64
  private var lost: UInt64 = 0
  private var ringFull: UInt64 = 0
  private var unusable: UInt64 = 0
  /// Numbers in a range of several causes that came after all.
  private var came: Set<UInt64> = []

  init(first: UInt64, last: UInt64) {
    self.first = first
    self.last = last
  }

  subscript(_ cause: FrameLossCause) -> UInt64 {
    get {
      switch cause {
      case .lostAtSource: lost
      case .ringFull: ringFull
      case .unusable: unusable
      }
    }
    set {
      switch cause {
      case .lostAtSource: lost = newValue
      case .ringFull: ringFull = newValue
      case .unusable: unusable = newValue
      }
    }
  }

  private var frames: UInt64 { lost + ringFull + unusable }

  /// The one cause of every number in the range, or nil when causes mix or numbers in between are there.
  private var onlyCause: FrameLossCause? {
    let all = last - first + 1
    return FrameLossCause.allCases.first { self[$0] == all }
  }

  /// Takes the counts of a later range in; what lies between is there, so that the range has fewer frames than numbers.
  mutating func join(_ later: MissingRange) {
    last = later.last
    came.formUnion(later.came)
    for cause in FrameLossCause.allCases { self[cause] += later[cause] }
  }

  /// What is left when `number` came after all: none, one or two ranges.
  /// - Parameter maySplit: else a number in the middle only takes one off the count.
  func without(_ number: UInt64, maySplit: Bool = true) -> [MissingRange] {
    guard let cause = onlyCause, maySplit || number == first || number == last else {
      // Nobody knows which frame had which cause. One that came was not lost, so that count goes first.
      var rest = self
      guard let cause = [FrameLossCause.lostAtSource, .unusable, .ringFull].first(where: { self[$0] > 0 }) else {
        return []
      }
      rest[cause] -= 1
      rest.came.insert(number)
      // Its ends are missing.
      while rest.first < rest.last, rest.came.remove(rest.first) != nil { rest.first += 1 }
      while rest.first < rest.last, rest.came.remove(rest.last) != nil { rest.last -= 1 }
      return rest.frames > 0 ? [rest] : []
    }
    var rest: [MissingRange] = []
    if number > first { rest.append(MissingRange(first: first, last: number - 1, cause)) }
    if number < last { rest.append(MissingRange(first: number + 1, last: last, cause)) }
    return rest
  }

  private init(first: UInt64, last: UInt64, _ cause: FrameLossCause) {
    self.init(first: first, last: last)
    self[cause] = last - first + 1
  }

  func gaps(series: UInt64) -> [FrameGap] {
    FrameLossCause.allCases.filter { self[$0] > 0 }
      .map { FrameGap(series: series, first: first, last: last, frames: self[$0], cause: $0) }
  }
}
