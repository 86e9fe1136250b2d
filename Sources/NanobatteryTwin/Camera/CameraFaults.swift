package import Quantities

/// What goes wrong with the twin's camera, by plan.
package struct CameraFaults: Equatable, Sendable {
  package struct Pattern: Equatable, Sendable {
    /// So many frames …
    package var frames: UInt64
    /// … of every so many.
    package var every: UInt64
    package init(frames: UInt64, every: UInt64) {
      self.frames = frames
      self.every = every
    }

    /// The first frame that is struck.
    var first: UInt64 { every - min(frames, every) }

    /// The last `frames` of each block of `every`.
    func strikes(_ frame: UInt64) -> Bool { every > 0 && frame % every >= every - min(frames, every) }
  }

  /// Numbers that are skipped: exposed, but never delivered.
  package var lose: Pattern?
  /// Frames that are delivered twice.
  package var `repeat`: Pattern?
  /// Once per series, nothing is delivered for `span`; then what was exposed meanwhile follows.
  package var stall: (span: Seconds, after: Seconds)?
  /// Frames that a stream sends behind the one that follows them.
  package var reorder: Pattern?
  /// Frames before which a stream sends bytes that are no message.
  package var garbage: Pattern?
  /// Frames that a stream sends damaged, each behind a message of noise.
  package var damage: Pattern?
  /// Frames behind which the stream's connection breaks.
  package var breakOff: Pattern?
  /// Once: before this frame of the first series the sender is gone for a while; what is exposed meanwhile is lost.
  package var absence: (frame: UInt64, span: Seconds)?
  /// The first series is joined in the middle: its first message and so many frames are not sent.
  package var joinAt: UInt64?

  package init() {}

  package static func == (a: Self, b: Self) -> Bool {
    a.lose == b.lose && a.repeat == b.repeat && a.stall?.span == b.stall?.span && a.stall?.after == b.stall?.after
      && a.reorder == b.reorder && a.garbage == b.garbage && a.damage == b.damage && a.breakOff == b.breakOff
      && a.absence?.frame == b.absence?.frame && a.absence?.span == b.absence?.span && a.joinAt == b.joinAt
  }
}
