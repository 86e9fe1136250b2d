/// What the daemon publishes. A topic ends with a slash, so that one is never the prefix of another; the name of a stream
/// may follow it.
package enum Topic: String, CaseIterable, Sendable {
  /// Frames with their pixels.
  case frame = "frame/"
  /// Where each recorded frame lies, without pixels.
  case reference = "ref/"
  /// Frames binned to 8 bit, at most 20 per second.
  case preview = "preview/"
  /// Voltage and current, in columns.
  case sample = "sample/"
  /// What happened: steps, trips, notes, runs begun and ended.
  case event = "event/"
  /// The result of the method `status`, once a second.
  case status = "status/"

  /// The first part of a message.
  package func bytes(stream: String) -> [UInt8] { Array((rawValue + stream).utf8) }

  /// Reads a topic as a person types it: “frame”, “frame/” or “frame/camera”.
  package init?(parsing text: String) {
    let word = text.prefix { $0 != "/" }
    self.init(rawValue: word + "/")
  }
}
