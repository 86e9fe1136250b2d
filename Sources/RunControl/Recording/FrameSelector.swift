import BiasProtocol
import FrameRing
import Pixels
import Quantities

/// Decides which frames of a series are written by what a step asks for. One for each rule; a value, and nothing is
/// allocated for a frame.
struct FrameSelector {
  private let keep: Recording.Keep
  /// The first frame of the rule: its number, and its time in ns.
  private var origin: (number: UInt64, time: Int64)?
  private var dueNumber: UInt64 = 0
  private var dueTime: Int64 = 0

  init(_ keep: Recording.Keep) { self.keep = keep }

  /// Whether this frame is wanted. Frames that were lost do not shift the others: of "every 10th" the first that came of
  /// each ten is written, of "10 fps" the first of each tenth of a second.
  mutating func wants(_ frame: FrameHeader) -> Bool {
    switch keep {
    case .all: return true
    case .none: return false
    case .everyNth(let count):
      let (origin, count) = (begin(frame), UInt64(count))
      guard frame.frameNumber >= dueNumber else { return false }
      dueNumber = origin.number + ((frame.frameNumber - origin.number) / count + 1) * count
      return true
    case .rate(let rate):
      let origin = begin(frame)
      let time = Self.time(frame)
      guard time >= dueTime else { return false }
      let period = 1e9 / rate.value
      dueTime = origin.time + Int64(((Double(time - origin.time) / period).rounded(.down) + 1) * period)
      return true
    }
  }

  /// Where the rule began: with the first frame, or with this one when number or clock ran back.
  private mutating func begin(_ frame: FrameHeader) -> (number: UInt64, time: Int64) {
    let time = Self.time(frame)
    if let origin, frame.frameNumber >= origin.number, time >= origin.time { return origin }
    origin = (frame.frameNumber, time)
    dueNumber = frame.frameNumber
    dueTime = time
    return (frame.frameNumber, time)
  }

  /// By the camera's clock, or by the arrival where it gave no time.
  private static func time(_ frame: FrameHeader) -> Int64 {
    frame.flags.contains(.noDeviceTime) ? frame.arrival.nanoseconds : frame.deviceNanoseconds
  }
}

/// Follows one statistic of the frames and says when it crosses its threshold.
struct TriggerWatch {
  let trigger: FrameTrigger
  private var wasMet = false
  /// Frames that arrive before it are written.
  private var openUntil: MonotonicTime?

  init(_ trigger: FrameTrigger) { self.trigger = trigger }

  /// - Returns: `fires`: what came before is wanted too; `isOpen`: this frame is wanted.
  mutating func look(at frame: FrameHeader) -> (fires: Bool, isOpen: Bool) {
    let isMet = trigger.statistic.value(of: frame).map { trigger.isMet(by: $0) } ?? false
    let fires = isMet && !wasMet
    wasMet = isMet
    if fires { openUntil = frame.arrival + trigger.after }
    guard let end = openUntil else { return (fires, false) }
    return (fires, fires || frame.arrival <= end)
  }
}

extension FrameTrigger.Statistic {
  /// nil where the frame has no such statistic.
  func value(of frame: FrameHeader) -> Double? {
    guard let statistics = frame.statistics else { return nil }
    switch self {
    case .mean: return statistics.mean(of: frame.width * frame.height)
    case .minimum: return Double(statistics.minimum)
    case .maximum: return Double(statistics.maximum)
    case .sum: return Double(statistics.sum)
    case .saturated: return Double(statistics.saturated)
    case .change: return statistics.change.map(Double.init)
    case .region(let number):
      return number <= statistics.regionCount ? Double(statistics[region: number - 1]) : nil
    }
  }
}
