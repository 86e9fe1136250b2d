internal import CZeroMQ
import Glibc

/// What libzmq said no to.
package struct ZeroMQError: Error, Equatable, CustomStringConvertible {
  package var call: String
  package var endpoint: String
  package var number: Int32

  fileprivate init(_ call: String, _ endpoint: String = "") {
    self.call = call
    self.endpoint = endpoint
    number = zmq_errno()
  }

  package var description: String {
    let reason = unsafe String(cString: zmq_strerror(number))
    return endpoint.isEmpty ? "\(call): \(reason)" : "\(call) \(endpoint): \(reason)"
  }
  /// Nothing arrived (or could be sent) in the time given.
  package var isTimeout: Bool { number == EAGAIN }
}

/// A libzmq context. Its sockets must be gone before it; `deinit` waits for them.
@safe
package final class ZeroMQContext: @unchecked Sendable {
  fileprivate let handle: UnsafeMutableRawPointer
  package init() {
    guard let made = unsafe zmq_ctx_new() else { fatalError("zmq_ctx_new: out of memory") }
    unsafe handle = unsafe made
  }
  deinit { unsafe zmq_ctx_term(handle) }
}

/// A socket. Used by one thread at a time (libzmq's rule).
@safe
package final class ZeroMQSocket: @unchecked Sendable {
  package enum Kind: Sendable { case pull, push, publish, publishObserving, subscribe, router, dealer }

  private let handle: UnsafeMutableRawPointer
  private let context: ZeroMQContext
  private let part = ZeroMQPart()

  package init(_ context: ZeroMQContext, _ kind: Kind) throws(ZeroMQError) {
    let type: Int32 =
      switch kind {
      case .pull: ZMQ_PULL
      case .push: ZMQ_PUSH
      case .publish: ZMQ_PUB
      case .publishObserving: ZMQ_XPUB
      case .subscribe: ZMQ_SUB
      case .router: ZMQ_ROUTER
      case .dealer: ZMQ_DEALER
      }
    guard let made = unsafe zmq_socket(context.handle, type) else { throw ZeroMQError("zmq_socket") }
    unsafe handle = unsafe made
    self.context = context
    set(ZMQ_LINGER, 0)
  }

  deinit { unsafe zmq_close(handle) }

  private func set(_ option: Int32, _ value: Int32) {
    var value = value
    unsafe zmq_setsockopt(handle, option, &value, 4)
  }

  /// Messages that may wait to be sent (per peer), and to be received.
  package func setHighWaterMark(send: Int32, receive: Int32) {
    set(ZMQ_SNDHWM, send)
    set(ZMQ_RCVHWM, receive)
  }
  /// How long unsent messages live after close.
  package func setLinger(milliseconds: Int32) { set(ZMQ_LINGER, milliseconds) }
  /// A peer that sends a larger message is disconnected.
  package func setMaximumMessageSize(_ bytes: Int64) {
    var value = bytes
    unsafe zmq_setsockopt(handle, ZMQ_MAXMSGSIZE, &value, 8)
  }
  /// A router that tells when a peer is not there any more instead of dropping silently.
  package func setRouterMandatory() { set(ZMQ_ROUTER_MANDATORY, 1) }

  package func bind(_ endpoint: String) throws(ZeroMQError) {
    guard unsafe zmq_bind(handle, endpoint) == 0 else { throw ZeroMQError("bind", endpoint) }
  }
  package func connect(_ endpoint: String) throws(ZeroMQError) {
    guard unsafe zmq_connect(handle, endpoint) == 0 else { throw ZeroMQError("connect", endpoint) }
  }
  package func disconnect(_ endpoint: String) { unsafe _ = zmq_disconnect(handle, endpoint) }

  package func subscribe(_ prefix: String) {
    unsafe _ = zmq_setsockopt(handle, ZMQ_SUBSCRIBE, prefix, prefix.utf8.count)
  }

  /// The endpoint bound last, with the port the system chose.
  package var lastEndpoint: String {
    var name = [CChar](repeating: 0, count: 1024)
    var size = name.count
    unsafe zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, &name, &size)
    return String(decoding: name.prefix(max(0, size - 1)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Readable while messages wait: libzmq's own descriptor, edge-triggered; look at `waitReadable` after it.
  package var descriptor: Int32 {
    var fd: Int32 = -1
    var size = 4
    unsafe zmq_getsockopt(handle, ZMQ_FD, &fd, &size)
    return fd
  }

  /// True when a message can be received within `milliseconds`. `beside` is one more descriptor that ends the wait.
  package func waitReadable(milliseconds: Int, beside descriptor: Int32 = -1) -> Bool {
    // Two beside each other, as an array of C has them: one of Swift's would be allocated for each look.
    var items = unsafe (
      zmq_pollitem_t(socket: handle, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0),
      zmq_pollitem_t(socket: nil, fd: descriptor, events: Int16(ZMQ_POLLIN), revents: 0)
    )
    // A pointer to both: of one to the first alone the optimiser concludes that the second is not looked at.
    let n = unsafe withUnsafeMutableBytes(of: &items) {
      unsafe zmq_poll(
        $0.baseAddress!.assumingMemoryBound(to: zmq_pollitem_t.self), descriptor >= 0 ? 2 : 1, milliseconds)
    }
    return unsafe n > 0 && Int32(items.0.revents) & ZMQ_POLLIN != 0
  }

  /// Sends all parts as one message. With `waiting` false a full queue gives an error with `isTimeout`.
  package func send(_ parts: [[UInt8]], waiting: Bool = true) throws(ZeroMQError) {
    for (index, part) in parts.enumerated() {
      var flags = index + 1 < parts.count ? ZMQ_SNDMORE : 0
      if !waiting { flags |= ZMQ_DONTWAIT }
      let sent = unsafe part.withUnsafeBytes { unsafe zmq_send(handle, $0.baseAddress, $0.count, flags) }
      if sent < 0 { throw ZeroMQError("send") }
    }
  }

  /// Sends head parts and one last part copied from `tail`.
  package func send(_ parts: [[UInt8]], tail: UnsafeRawBufferPointer, waiting: Bool = true) throws(ZeroMQError) {
    let flags = waiting ? 0 : ZMQ_DONTWAIT
    for part in parts {
      let sent = unsafe part.withUnsafeBytes {
        unsafe zmq_send(handle, $0.baseAddress, $0.count, flags | ZMQ_SNDMORE)
      }
      if sent < 0 { throw ZeroMQError("send") }
    }
    if unsafe zmq_send(handle, tail.baseAddress, tail.count, flags) < 0 { throw ZeroMQError("send") }
  }

  /// Receives the next part of a message; false when nothing is there. Allocates nothing but what libzmq does.
  package func receive(into part: ZeroMQPart) throws(ZeroMQError) -> Bool {
    while unsafe zmq_msg_recv(part.message, handle, ZMQ_DONTWAIT) < 0 {
      switch zmq_errno() {
      case EINTR: continue
      case EAGAIN: return false
      default: throw ZeroMQError("receive")
      }
    }
    return true
  }

  /// Receives one message; `body` gets each part in place, valid only inside the call: (index, more follow, bytes).
  /// False when nothing is there.
  package func receive(_ body: (Int, Bool, UnsafeRawBufferPointer) -> Void) throws(ZeroMQError) -> Bool {
    guard try receive(into: part) else { return false }
    unsafe try receiveRest(of: part, body)
    return true
  }

  /// Gives a message whose first part has been received, and lets go of it.
  package func receiveRest(
    of part: ZeroMQPart, _ body: (Int, Bool, UnsafeRawBufferPointer) -> Void
  ) throws(ZeroMQError) {
    defer { part.forget() }
    var index = 0
    while true {
      let more = part.hasMore
      unsafe body(index, more, part.bytes)
      guard more else { return }
      index += 1
      // All parts of a message come together.
      guard try receive(into: part) else { throw ZeroMQError("receive") }
    }
  }

  /// The next message as arrays, or nil when nothing is there.
  package func receive() throws(ZeroMQError) -> [[UInt8]]? {
    var parts: [[UInt8]] = []
    return unsafe try receive { unsafe parts.append(Array($2)) } ? parts : nil
  }
}

/// One part of a message, received into the same place again and again. One thread at a time.
@safe
package final class ZeroMQPart: @unchecked Sendable {
  fileprivate let message: UnsafeMutablePointer<zmq_msg_t>

  package init() {
    unsafe message = .allocate(capacity: 1)
    unsafe message.initialize(to: zmq_msg_t())
    unsafe zmq_msg_init(message)
  }

  deinit {
    unsafe zmq_msg_close(message)
    unsafe message.deallocate()
  }

  /// More parts of the same message follow.
  package var hasMore: Bool { unsafe zmq_msg_more(message) != 0 }
  /// Valid until the next is received.
  package var bytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: zmq_msg_data(message), count: zmq_msg_size(message))
  }

  /// Gives the memory of the part back.
  fileprivate func forget() {
    unsafe zmq_msg_close(message)
    unsafe zmq_msg_init(message)
  }
}
