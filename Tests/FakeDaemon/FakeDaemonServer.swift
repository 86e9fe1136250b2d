package import ControlProtocol
import Glibc
package import JSON
import Linux
import Quantities
import ZeroMQ

/// A control socket that answers from a closure, on a thread of its own; a nil answer is silence.
package final class FakeDaemonServer: Sendable {
  package let endpoint: String
  private let thread: NamedThread
  private let stops = Monitor(false)

  package init(_ name: String, _ answer: @escaping @Sendable (ControlRequest) -> Result<JSONValue, ControlError>?)
    throws
  {
    let directory = "/tmp/insitud-test-\(MonotonicTime.now.nanoseconds)-\(name)"
    try FileSystem.makeDirectories(directory)
    let endpoint = "ipc://\(directory)/control"
    let context = ZeroMQContext()
    let socket = try ZeroMQSocket(context, .router)
    socket.setMaximumMessageSize(Int64(ControlServerCodec.maximumMessageBytes))
    try socket.bind(endpoint)
    let stops = stops
    self.endpoint = endpoint
    thread = NamedThread("fake-daemon") {
      while !stops.read({ $0 }) {
        guard socket.waitReadable(milliseconds: 20), let parts = try? socket.receive() else { continue }
        switch ControlServerCodec.decode(parts) {
        case .refused(let message): try? socket.send(message)
        case .dropped: break
        case .request(let request, let envelope):
          guard let outcome = answer(request) else { continue }
          let reply =
            switch outcome {
            case .success(let result): ControlReply(to: request, result: result)
            case .failure(let error): ControlReply(to: request, error)
            }
          if let message = ControlServerCodec.message(reply, to: envelope) { try? socket.send(message) }
        }
      }
      withExtendedLifetime(context) {}
    }
  }

  deinit {
    stops.update { $0 = true }
    thread.join()
    let path = ControlEndpoint.path(of: endpoint) ?? ""
    FileSystem.remove(path)
    unsafe _ = rmdir(String(path.dropLast("/control".count)))
  }

  package static let hello: JSONValue = ["protocol_version": 1, "software": "insitud 0.1.0"]
}
