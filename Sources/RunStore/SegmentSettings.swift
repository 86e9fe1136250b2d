package import Linux
package import Pixels
package import Quantities

/// How segments of frames are written.
package struct SegmentSettings: Sendable {
  /// A segment ends before the frame that would make it larger; a frame never straddles two segments.
  package var segmentBytes: Int64 = 16 << 30
  /// Blocks are set aside ahead of the data in steps of this, and given back when the segment ends.
  package var reservationBytes: Int64 = 1 << 30
  /// Blocks are not set aside when the file system would have less than this and another step left: what is reserved counts as
  /// used for everybody, and whoever keeps room free must not be made to stop by it.
  package var freeBytesKept: Int64 = 0
  /// False: through the page cache even where the file system could do without.
  package var direct = true
  /// How often the header's frame count follows the data (formats.md §1.4).
  package var headerInterval = Seconds(1)
  /// Frames too small for a write of their own wait at most this long for others, as long as frames keep coming.
  package var gatherInterval = Seconds(0.1)
  /// Frames of whole pages are written from where they are, as many in one write as this needs. Until then, and as long as the
  /// write is under way, they must stay there.
  package var leastWriteBytes = 1 << 20
  /// Other frames are gathered into blocks of this size, a whole number of pages.
  package var gatherBytes = 4 << 20
  /// Writes that may be under way at a time. As long as one is, its pixels must stay where they are.
  package var writesUnderWay = 4
  /// How frames are compressed; nil: plain MRC.
  package var compression: FrameCompression?
  /// Threads that compress, in the background; nil: one less than there are processors, at least one, at most four.
  package var compressionThreads: Int?
  /// Frames that may wait, where they are, for a thread, and bytes of their pixels; what comes beyond is stored as it is.
  package var compressionBacklogFrames = 4096
  package var compressionBacklogBytes = 32 << 20
  /// A line in each header, for people: run and sample.
  package var note = ""
  /// Asked before every write; an answer makes the write fail after that many bytes, as a full disk would. For tests.
  package var fault: (@Sendable (_ path: String, _ bytes: Int) -> WriteFault?)?
  /// Makes the queue of transfers, with room for so many; nil: the best this kernel has.
  package var queue: (@Sendable (_ limit: Int) -> any FileQueue)?

  package init() {}
}

/// A write that is made to fail: with which error number, after how many of its bytes.
package struct WriteFault: Sendable {
  package var number: Int32
  package var after: Int
  package init(number: Int32, after: Int = 0) {
    self.number = number
    self.after = after
  }
}

/// A segment that could not be written. The file is valid: it was cut to its last whole frame with an index record.
package struct SegmentError: Error, Equatable, CustomStringConvertible {
  package enum Kind: Sendable {
    /// The frame can never be stored: its size is not that of its pixels, or beyond a limit.
    case badFrame
    /// The disk or the quota is full.
    case diskFull
    /// The file system said no for another reason.
    case failed
  }

  package var kind: Kind
  package var path: String
  package var reason: String
  /// Frames that were taken in before this one and are not on the file either; `position` has gone back by as many.
  package var lostFrames: UInt64

  init(_ error: LinuxError, path: String, lostFrames: UInt64) {
    kind = error.isFull ? .diskFull : .failed
    self.path = path
    reason = error.isFull ? "the disk is full (\(error.reason)); free some space or move `data:`" : "\(error)"
    self.lostFrames = lostFrames
  }

  /// As it is seen by whom the last frame was refused: it is not one of those that were taken in.
  var refusingOne: SegmentError {
    var error = self
    error.lostFrames -= 1
    return error
  }

  init(badFrame reason: String) {
    kind = .badFrame
    path = ""
    self.reason = reason
    lostFrames = 0
  }

  package var description: String {
    let lost = lostFrames == 0 ? "" : "; \(lostFrames) frames taken in before are not on the file"
    return (path.isEmpty ? reason : "\(path): \(reason)") + lost
  }
}
