import Quantities

/// One acquisition of a Merlin as it comes in.
struct MerlinSeries {
  /// Under which it is recorded.
  let number: UInt64
  let exposure: Seconds
  /// Nil until it came: frames before it are of an acquisition before.
  var header: MerlinAcquisitionHeader?
  /// A second acquisition header came: somebody began anew at the Merlin itself.
  var isSuperseded = false
  var stopped: MonotonicTime?
  private var highest: UInt64?
  private var lastSequence: UInt64 = 0
  private var turns: UInt64 = 0

  /// Sequence numbers of six digits; whether they grow to seven behind 999 999 or begin anew is not known, and both are
  /// understood: a turn is a number near 0 right behind one near the end.
  private static let turn: UInt64 = 1_000_000
  private static let nearness: UInt64 = 10_000

  init(number: UInt64, exposure: Seconds) {
    self.number = number
    self.exposure = exposure
  }

  /// Frames that are known to have been exposed; nil when none came.
  var seenFrames: UInt64? { highest.map { $0 + 1 } }
  /// The camera has sent all that the acquisition was to have.
  var isComplete: Bool { header?.frames != nil && seenFrames == header?.frames }

  /// The frame's number from 0; nil for one that cannot be.
  mutating func frameNumber(_ header: MerlinFrameHeader) -> UInt64? {
    let sequence = header.sequence
    guard sequence < mostFrameNumber else { return nil }
    var turns = self.turns
    if header.sequenceDigits == 6 {
      if sequence < Self.nearness, lastSequence >= Self.turn - Self.nearness {
        turns += 1
      } else if sequence >= Self.turn - Self.nearness, lastSequence < Self.nearness, turns > 0 {
        turns -= 1  // a straggler from before the turn
      }
    }
    guard sequence + turns > 0 else { return nil }
    // A straggler does not turn the count back.
    if turns >= self.turns {
      self.turns = turns
      lastSequence = sequence
    }
    return turns * Self.turn + sequence - 1
  }

  mutating func noteFrame(_ number: UInt64) { highest = max(highest ?? 0, number) }
}
