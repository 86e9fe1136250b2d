/// Frames recorded per second over time. Between two frames of a series the rate is one over their distance, elsewhere
/// zero: counting frames in stretches would make 10 fps look like 8 and 12, and a burst shorter than a stretch slower.
struct RateTrace {
  static let binCount = 1000

  /// A stretch of time in which frames came without a pause.
  struct Burst {
    var from: Double
    var to: Double
    /// Frames that were recorded, with those that were lost between.
    var exposed: Int64
    var rate: Double { to > from ? Double(exposed) / (to - from) : 0 }
  }

  private var frames: [Double] = Array(repeating: 0, count: RateTrace.binCount)
  /// Time in each stretch within which frames came, s.
  private var covered: [Double] = Array(repeating: 0, count: RateTrace.binCount)
  private(set) var bursts: [Burst] = []
  /// Where frames were lost between two recorded frames of a series; those that nobody wanted are not.
  private(set) var gaps: [(from: Double, to: Double, frames: Int64)] = []
  let duration: Double
  private var series: Int64?
  private var number: Int64 = 0
  private var time = 0.0
  private var distance = 0.0
  private var isBurst = false
  /// When each series ended, for frames that were lost behind its last one.
  private(set) var ends: [Int64: (number: Int64, time: Double)] = [:]

  /// Gaps (and bursts) kept one by one; more gaps are counted with the last one.
  private static let mostGaps = 20_000
  /// A series may pause: a distance this many times the one before is no frame rate.
  private static let pause = 20.0

  /// Frame numbers of a series among which some were lost, in their order.
  struct LostRange {
    var first: Int64
    var last: Int64
    var frames: Int64
  }

  private let lost: [Int64: [LostRange]]
  /// The first of the series' ranges that may reach beyond the last frame.
  private var nextLost: [Int64: Int] = [:]

  /// - Parameter lost: by series.
  init(duration: Double, lost: [Int64: [LostRange]] = [:]) {
    self.duration = max(duration, 1e-9)
    self.lost = lost
  }

  /// Frames lost between two of a series.
  private mutating func lost(_ series: Int64, after previous: Int64, before next: Int64) -> Int64 {
    guard let ranges = lost[series], next - previous > 1 else { return 0 }
    var index = nextLost[series, default: 0]
    while index < ranges.count, ranges[index].last <= previous { index += 1 }
    nextLost[series] = index
    var count = 0.0
    while index < ranges.count, ranges[index].first < next {
      let range = ranges[index]
      let overlap = min(range.last, next - 1) - max(range.first, previous + 1) + 1
      count += Double(range.frames) * Double(max(0, overlap)) / Double(range.last - range.first + 1)
      index += 1
    }
    return Int64(count.rounded())
  }

  /// Frames come in the order in which they were recorded.
  mutating func append(series: Int64, number: Int64, time: Double) {
    defer {
      self.series = series
      self.number = number
      self.time = time
      ends[series] = (number, time)
    }
    guard series == self.series, time > self.time, number > self.number else {
      finish()
      distance = 0
      return
    }
    let missing = lost(series, after: self.number, before: number)
    if missing > 0 {
      if gaps.count < Self.mostGaps {
        gaps.append((self.time, time, missing))
      } else {
        gaps[gaps.count - 1].to = time
        gaps[gaps.count - 1].frames += missing
      }
    }
    let next = (time - self.time) / Double(missing + 1)
    if distance > 0 && time - self.time > Self.pause * distance {
      finish()
    } else {
      fill(self.time, time, exposed: missing + 1)
    }
    distance = next
  }

  /// The last frame of a series lasts as long as the one before.
  mutating func finish() {
    if distance > 0 { fill(time, time + distance, exposed: 1) }
    isBurst = false
  }

  /// One recorded frame between two instants.
  private mutating func fill(_ from: Double, _ to: Double, exposed: Int64) {
    if isBurst, !bursts.isEmpty {
      bursts[bursts.count - 1].to = to
      bursts[bursts.count - 1].exposed += exposed
    } else if bursts.count < Self.mostGaps {
      bursts.append(Burst(from: from, to: to, exposed: exposed))
    }
    isBurst = true
    guard to > from, from < duration, to > 0 else { return }
    let scale = Double(Self.binCount) / duration
    let first = max(0, Int(from * scale))
    let last = min(Self.binCount - 1, Int(to * scale))
    guard first <= last else { return }
    for bin in first...last {
      let overlap = min(to, Double(bin + 1) / scale) - max(from, Double(bin) / scale)
      guard overlap > 0 else { continue }
      frames[bin] += overlap / (to - from)
      covered[bin] += overlap
    }
  }

  /// Frames per second in each stretch, over the part of it in which frames came.
  var rates: [Double] { zip(frames, covered).map { $1 > 0 ? $0 / $1 : 0 } }
}
