import Glibc
import Linux
import Quantities

/// What has been received of a TCP stream and not been taken yet. One thread.
///
/// One buffer for the connection's life: pixels go from it straight into a slot, headers are read where they lie.
final class StreamInput {
  private static let bufferBytes = 512 << 10
  /// So many bytes can be waited for in one piece.
  static let mostInOnePiece = 64 << 10

  private let stream: UnixStream
  private let buffer = AlignedBuffer(count: bufferBytes)
  private var first = 0
  private var end = 0

  init(_ stream: UnixStream) { self.stream = stream }

  /// Bytes that can be looked at.
  var count: Int { end - first }

  /// Valid until the next `receive`.
  var bytes: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(rebasing: buffer.bytes[first..<end]) }

  /// Receives more, and waits at most `span` when nothing is there. False: nothing came. The end of the stream is an
  /// error (ECONNRESET).
  func receive(within span: Seconds) throws(LinuxError) -> Bool {
    if first == end {
      first = 0
      end = 0
    } else if Self.bufferBytes - end < Self.mostInOnePiece {
      // Seldom: what is left is a piece of a header, or less than a pixel.
      let left = end - first
      unsafe _ = memmove(buffer.bytes.baseAddress!, buffer.bytes.baseAddress! + first, left)
      first = 0
      end = left
    }
    let room = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[end...])
    // A full buffer has enough of everything.
    guard room.count > 0 else { return true }
    let received = unsafe try stream.readSome(room, within: span)
    end += received
    return received > 0
  }

  /// Waits until `wanted` bytes can be looked at, at most `mostInOnePiece`; ETIMEDOUT when they do not come.
  func waitFor(_ wanted: Int, until limit: MonotonicTime) throws(LinuxError) {
    precondition(wanted <= Self.mostInOnePiece, "a piece larger than the buffer is made for")
    while count < wanted {
      if try !receive(within: max(limit - .now, Seconds(0))), MonotonicTime.now >= limit {
        throw LinuxError("recv", number: ETIMEDOUT)
      }
    }
  }

  /// Lets go of bytes that have been looked at.
  func drop(_ count: Int) { first += min(count, end - first) }

  /// Throws away the next `count` bytes, those still to come as well.
  func skip(_ count: Int, until limit: MonotonicTime) throws(LinuxError) {
    var left = count
    while left > 0 {
      if self.count == 0 { try waitFor(1, until: limit) }
      let part = min(left, self.count)
      drop(part)
      left -= part
    }
  }
}
