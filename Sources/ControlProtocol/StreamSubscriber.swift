internal import JSON
package import Quantities
internal import ZeroMQ

/// A blocking reader of the daemon's streams, for one thread.
package final class StreamSubscriber {
  private let context = ZeroMQContext()
  private let socket: ZeroMQSocket
  private let interruption: Int32
  private var lastSequence: [String: Int64] = [:]
  /// Messages that were published and did not come, by topic.
  package private(set) var missed: [String: Int64] = [:]

  /// - Parameters:
  ///   - prefix: a topic, or "" for all.
  ///   - interruption: a descriptor whose readability ends any wait; -1 for none.
  package init(_ endpoint: String, prefix: String, interruption: Int32 = -1) throws(ControlError) {
    self.interruption = interruption
    do throws(ZeroMQError) {
      socket = try ZeroMQSocket(context, .subscribe)
      // Frames are megabytes: beyond a few the daemon drops for us, and `seq` tells (formats.md §2.3).
      socket.setHighWaterMark(send: 1, receive: 64)
      socket.subscribe(prefix)
      try socket.connect(endpoint)
    } catch {
      throw ControlError(
        .unavailable, "the streams cannot be reached: \(error)", remedy: "Ask for them with: insituctl status.")
    }
  }

  /// The next message, or nil when none came within `span` or the wait was interrupted.
  package func next(within span: Seconds) throws(ControlError) -> StreamMessage? {
    do throws(ZeroMQError) {
      if let message = try read() { return message }
      guard socket.waitReadable(milliseconds: Int(span.value * 1000), beside: interruption) else { return nil }
      return try read()
    } catch {
      throw ControlError(.io, "stream: \(error)")
    }
  }

  private func read() throws(ZeroMQError) -> StreamMessage? {
    while let parts = try socket.receive() {
      guard let message = StreamMessage(parts) else { continue }
      if let sequence = message.header["seq"]?.integer {
        if let last = lastSequence[message.topic], sequence > last + 1 {
          missed[message.topic, default: 0] += sequence - last - 1
        }
        lastSequence[message.topic] = sequence
      }
      return message
    }
    return nil
  }
}
