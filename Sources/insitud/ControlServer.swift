import CLinux
import ControlProtocol
import Glibc
import JSON
import Journal
import Linux
import Quantities
import RunControl
import ZeroMQ

/// The control socket on a thread of its own. Requests go to the controller; replies come back from any thread through
/// a bounded queue and an eventfd that wakes this one, for a ZeroMQ socket belongs to one thread.
final class ControlServer: Sendable {
  /// Replies that may wait to be sent, and messages per peer in libzmq.
  private static let limit = 1024
  private static let requestsPerTurn = 64

  private let replies = BoundedQueue<[[UInt8]]>(limit: limit)
  private let wake: FileDescriptor
  private let state = Monitor((isEnding: false, beats: UInt64(0)))
  private let thread = Monitor<NamedThread?>(nil)

  init(_ context: ZeroMQContext, endpoint: String, streams: String, controller: RunController, journal: Journal)
    throws(ZeroMQError)
  {
    wake = FileDescriptor(owning: clinux_eventfd())
    let socket = try ZeroMQSocket(context, .router)
    socket.setHighWaterMark(send: Int32(Self.limit), receive: Int32(Self.limit))
    socket.setMaximumMessageSize(Int64(ControlServerCodec.maximumMessageBytes) + 4096)
    socket.setLinger(milliseconds: 500)
    try socket.bind(endpoint)
    let endpoints: JSONValue = ["control": .string(endpoint), "streams": .string(streams)]
    let made = NamedThread("control") { [self] in work(socket, controller, endpoints, journal) }
    thread.update { $0 = made }
  }

  var beats: UInt64 { state.read { $0.beats } }

  func end() {
    state.update { $0.isEnding = true }
    signal()
    thread.read { $0 }?.join()
  }

  private func work(_ socket: ZeroMQSocket, _ controller: RunController, _ endpoints: JSONValue, _ journal: Journal) {
    while !state.read({ $0.isEnding }) {
      state.update { $0.beats += 1 }
      _ = socket.waitReadable(milliseconds: 250, beside: wake.number)
      var count: UInt64 = 0
      unsafe _ = Glibc.read(wake.number, &count, 8)
      // A peer that is gone, or does not take its replies, loses them; nobody waits for it.
      for reply in replies.drain() { try? socket.send(reply, waiting: false) }
      do throws(ZeroMQError) {
        // So many at a time: who floods must not keep the replies of others from being sent.
        for _ in 0..<Self.requestsPerTurn {
          guard let message = try socket.receive() else { break }
          take(message, socket, controller, endpoints, journal)
        }
      } catch { journal.log(.warning, "control socket: \(error)") }
    }
    for reply in replies.drain() { try? socket.send(reply, waiting: false) }
  }

  private func take(
    _ message: [[UInt8]], _ socket: ZeroMQSocket, _ controller: RunController, _ endpoints: JSONValue,
    _ journal: Journal
  ) {
    switch ControlServerCodec.decode(message) {
    case .dropped(let reason): journal.log(.warning, "control socket: \(reason) was dropped")
    case .refused(let reply): try? socket.send(reply, waiting: false)
    case .request(let request, let envelope):
      controller.handle(request, endpoints: endpoints) { [self] outcome in
        let reply =
          switch outcome {
          case .success(let result): ControlReply(to: request, result: result)
          case .failure(let error): ControlReply(to: request, error)
          }
        guard let message = ControlServerCodec.message(reply, to: envelope) else { return }
        replies.push(message)
        signal()
      }
    }
  }

  private func signal() {
    var one: UInt64 = 1
    unsafe _ = Glibc.write(wake.number, &one, 8)
  }
}
