package import Linux
import Quantities

/// Serves emulated devices by the USB/IP protocol over a stream socket: a Unix one, or TCP with the same bytes.
///
/// One thread accepts, two threads per connection read and write. An imported device is pulled away from its
/// connection by `unplug()`: what was in flight is answered with ESHUTDOWN, then the connection closes.
package final class USBIPServer: Sendable {
  package struct Export: Sendable {
    /// "1-1", "1-2" …
    package var busID: String
    package var device: EmulatedUSBDevice

    package init(busID: String, device: EmulatedUSBDevice) {
      self.busID = busID
      self.device = device
    }
  }

  package static let maximumConnections = 16
  /// How often waiting threads look whether they should end.
  static let patience = Seconds(0.25)

  private struct State {
    var isStopping = false
    var connections: [USBIPConnection] = []
    var acceptor: NamedThread?
  }

  private let state = Monitor(State())
  /// The socket's path, or `HOST:PORT`.
  package let path: String

  /// Binds a Unix socket and starts to serve programs: one that ends leaves its device plugged in.
  package convenience init(_ path: String, _ exports: [Export]) throws(LinuxError) {
    self.init(try UnixListener(path), path, exports, endPullsCable: false)
  }

  /// Starts to serve over TCP a computer whose kernel takes the devices over: the end of its connection
  /// (`usbip detach`) is the end of the cable.
  package convenience init(_ listener: TCPListener, _ exports: [Export]) {
    self.init(listener, listener.address, exports, endPullsCable: true)
  }

  private init(_ listener: any StreamListener, _ path: String, _ exports: [Export], endPullsCable: Bool) {
    self.path = path
    let acceptor = NamedThread("usbip-accept") { [state] in
      while !state.read({ $0.isStopping }) {
        let stream = try? listener.accept(within: Self.patience)
        let finished = state.update { state in
          defer { state.connections.removeAll { $0.isOver } }
          return state.connections.filter(\.isOver)
        }
        for connection in finished { connection.close() }
        guard let stream else { continue }
        state.update { state in
          guard !state.isStopping, state.connections.count < Self.maximumConnections else { return }
          state.connections.append(USBIPConnection(stream, exports, endPullsCable: endPullsCable))
        }
      }
    }
    state.update { $0.acceptor = acceptor }
  }

  /// Closes every connection and waits for the threads.
  package func stop() {
    let (acceptor, connections) = state.update { state in
      state.isStopping = true
      defer { state.connections = [] }
      return (state.acceptor, state.connections)
    }
    for connection in connections { connection.close() }
    acceptor?.join()
  }

  package var connectionCount: Int { state.read { $0.connections.count { !$0.isOver } } }
}
