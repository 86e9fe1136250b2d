/// Why a frame that was triggered is not in the record.
package enum FrameLossCause: String, CaseIterable, Sendable {
  /// It never came: lost in the camera or on the way.
  case lostAtSource = "lost_at_source"
  /// It came, and the ring was full.
  case ringFull = "ring_full"
  /// It came, and could not be used: wrong size, bad checksum, unknown encoding.
  case unusable
}

/// Frames missing from a series, with their cause.
package struct FrameGap: Equatable, Sendable {
  package var series: UInt64
  package var first: UInt64
  package var last: UInt64
  /// How many of `first...last`. Fewer than all where causes mix and nobody knows which frame had which: then there
  /// is a gap for each cause, all with the same ends.
  package var frames: UInt64
  package var cause: FrameLossCause

  package init(series: UInt64, first: UInt64, last: UInt64, frames: UInt64, cause: FrameLossCause) {
    self.series = series
    self.first = first
    self.last = last
    self.frames = frames
    self.cause = cause
  }
}
