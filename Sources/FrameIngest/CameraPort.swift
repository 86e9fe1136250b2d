import JSON
import Linux
import Quantities

/// The request side of the shared-memory camera port: one line of text each way over a Unix socket.
///
/// `IDENTIFY`, `START {…}`, `STOP`, `TIME`; answers are `OK {…}` or `ERR text`.
final class CameraPort {
  private static let patience = Seconds(2)
  private static let mostReplyBytes = 4096

  let address: String
  private let stream: UnixStream

  init(connecting address: String) throws(CameraError) {
    self.address = address
    do throws(LinuxError) { stream = try UnixStream.connect(address) } catch {
      throw .unreachable(address: address, reason: error.reason)
    }
  }

  /// Sends a request and gives the members of the answer.
  func ask(_ word: String, _ body: JSONValue? = nil) throws(CameraError) -> JSONValue {
    try exchange(word, body).answer
  }

  /// Sends a request and also gives the instants before it left and after its answer had begun to arrive.
  func exchange(_ word: String, _ body: JSONValue? = nil) throws(CameraError)
    -> (answer: JSONValue, sent: MonotonicTime, answered: MonotonicTime)
  {
    let line: String
    let sent = MonotonicTime.now
    let answered: MonotonicTime
    do throws(LinuxError) {
      try stream.write(Array((body.map { "\(word) \($0.text)" } ?? word).utf8) + [10], within: Self.patience)
      _ = stream.isReadable(within: Self.patience)
      answered = .now
      line = try stream.readLine(most: Self.mostReplyBytes, within: Self.patience)
    } catch {
      throw .disconnected(address: address, reason: "\(word): \(error.reason)")
    }
    if line == "OK" { return (.object([:]), sent, answered) }
    if line.hasPrefix("OK "), let answer = try? JSONValue(parsing: String(line.dropFirst(3))), answer.object != nil {
      return (answer, sent, answered)
    }
    if line.hasPrefix("ERR") {
      throw .refused(address: address, request: word, answer: String(line.dropFirst(4)))
    }
    throw .misunderstood(address: address, request: word, answer: String(line.prefix(200)))
  }

  /// Nothing may come that was not asked for: readable means that the other end is gone.
  func checkAlive() throws(CameraError) {
    if stream.isReadable(within: Seconds(0)) {
      throw .disconnected(address: address, reason: "the camera closed its port")
    }
  }
}
