import Glibc
package import JSON
internal import Linux
package import Quantities
internal import ZeroMQ

/// A blocking client of the daemon's control socket, for one thread.
package final class ControlClient {
  package let endpoint: String
  private let context = ZeroMQContext()
  private let socket: ZeroMQSocket
  private let interruption: Int32
  private var lastID: Int64 = 0

  /// What `hello` answered; null when no greeting was wanted.
  package private(set) var greeting: JSONValue = .null

  /// Connects and greets.
  /// - Parameters:
  ///   - interruption: a descriptor whose readability ends any wait with an error of kind `interrupted`; -1 for none.
  ///   - greeting: false leaves out `hello` and the check of the daemon's protocol version, for an emergency.
  ///   - limit: how long the daemon may take to answer the greeting.
  package init(
    _ endpoint: String, interruption: Int32 = -1, greeting greets: Bool = true, within limit: Seconds = Seconds(2)
  ) throws(ControlError) {
    self.endpoint = endpoint
    self.interruption = interruption
    if let path = ControlEndpoint.path(of: endpoint) { try Self.probe(path, endpoint) }
    do throws(ZeroMQError) {
      socket = try ZeroMQSocket(context, .dealer)
      try socket.connect(endpoint)
    } catch {
      throw ControlError(
        .usage, "\(error)", remedy: "An endpoint looks like \(ControlEndpoint.control) or tcp://host:port.")
    }
    guard greets else { return }
    do throws(ControlError) {
      greeting = try call(.hello, within: limit)
    } catch  where error.kind == .unavailable {
      throw Self.nobody(endpoint, "")
    }
    let version = greeting["protocol_version"]?.integer
    guard version == ControlEndpoint.protocolVersion else {
      throw ControlError(
        .configuration,
        "the daemon speaks protocol version \(version.map { "\($0)" } ?? "?"), this program \(ControlEndpoint.protocolVersion)",
        remedy: "Use the insituctl that came with the daemon.")
    }
  }

  /// Sends one request and waits for its reply.
  package func call(
    _ method: ControlMethod, _ parameters: [String: JSONValue] = [:], within limit: Seconds = Seconds(10)
  ) throws(ControlError) -> JSONValue {
    if let complaint = method.complaint(about: parameters) { throw complaint }
    lastID += 1
    let request = ControlRequest(id: .integer(lastID), method: method, parameters: parameters)
    let bytes = request.bytes
    // A larger one makes the daemon's socket hang up without a word.
    guard bytes.count <= ControlServerCodec.maximumMessageBytes else {
      throw ControlError(
        .data, "the request “\(method.rawValue)” has \(bytes.count) bytes",
        remedy: "The daemon takes at most \(ControlServerCodec.maximumMessageBytes); shorten the protocol.")
    }
    try transfer { () throws(ZeroMQError) in try socket.send([bytes]) }
    let end = MonotonicTime.now + limit
    while true {
      while let parts = try transfer({ () throws(ZeroMQError) in try socket.receive() }) {
        guard let last = parts.last, let reply = ControlReply(parsing: last) else { continue }
        // A reply to a call that was given up, or to no call at all, is nobody's.
        if reply.id == request.id || reply.id == .null { return try reply.outcome.get() }
      }
      let left = (end - .now).value
      guard left > 0 else { break }
      _ = socket.waitReadable(milliseconds: Int((left * 1000).rounded(.up)), beside: interruption)
      if isInterrupted { throw ControlError(.interrupted, "interrupted") }
    }
    throw ControlError(
      .unavailable, "the daemon at \(endpoint) did not answer “\(method.rawValue)” within \(limit)",
      remedy: "See its log: journalctl -u insitud -e.")
  }

  private func transfer<R>(_ body: () throws(ZeroMQError) -> R) throws(ControlError) -> R {
    do throws(ZeroMQError) {
      return try body()
    } catch {
      throw ControlError(.io, "\(endpoint): \(error)")
    }
  }

  private var isInterrupted: Bool {
    guard interruption >= 0 else { return false }
    var entry = pollfd(fd: interruption, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&entry, 1, 0) > 0
  }

  /// A plain connection tells at once what libzmq would hide behind endless retries.
  private static func probe(_ path: String, _ endpoint: String) throws(ControlError) {
    do throws(LinuxError) {
      _ = try UnixStream.connect(path)
    } catch {
      switch error.number {
      case EACCES, EPERM:
        throw ControlError(
          .permission, "no permission to use \(endpoint)",
          remedy: "Become a member of its group (sudo adduser $USER insitud), then log in again.")
      case ENAMETOOLONG:
        throw ControlError(.usage, "\(endpoint): the path is too long", remedy: "At most 107 bytes are possible.")
      case ENOENT, ENOTDIR: throw nobody(endpoint, " (there is no such socket)")
      case ECONNREFUSED: throw nobody(endpoint, " (the socket is left from a daemon that is gone)")
      default: throw nobody(endpoint, " (\(error.reason))")
      }
    }
  }

  private static func nobody(_ endpoint: String, _ why: String) -> ControlError {
    ControlError(
      .unavailable, "no daemon answers at \(endpoint)\(why)",
      remedy: "Start it: systemctl start insitud, or insitud --config config/twin.yaml.")
  }
}
