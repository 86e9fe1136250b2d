import Glibc
package import Quantities

/// A UDP socket: of a client, connected to one address, or of a server, bound to one.
package final class UDPSocket: @unchecked Sendable {
  /// Where a datagram came from, to answer it.
  package struct Sender: Sendable {
    let address: SocketAddress
  }

  /// Datagrams are cut off behind so many bytes.
  private static let mostBytes = 2048

  private let descriptor: FileDescriptor

  /// Sends to, and receives from, `HOST:PORT` only.
  package init(connecting address: String) throws(LinuxError) {
    let target = try SocketAddress.all(address, type: SOCK_DGRAM)[0]
    let fd = try Self.open(target)
    let number = fd.number
    guard unsafe target.withPointer({ unsafe connect(number, $0, $1) }) == 0 else {
      throw LinuxError("connect", address)
    }
    descriptor = fd
  }

  /// Receives what is sent to `HOST:PORT`.
  package init(listening address: String) throws(LinuxError) {
    let target = try SocketAddress.all(address, type: SOCK_DGRAM, toListen: true)[0]
    let fd = try Self.open(target)
    let number = fd.number
    guard unsafe target.withPointer({ unsafe bind(number, $0, $1) }) == 0 else { throw LinuxError("bind", address) }
    descriptor = fd
  }

  private static func open(_ target: SocketAddress) throws(LinuxError) -> FileDescriptor {
    let fd = FileDescriptor(
      owning: socket(target.family, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0))
    guard fd.number >= 0 else { throw LinuxError("socket") }
    return fd
  }

  /// Sends to the connected address, or back to `receiver`.
  package func send(_ bytes: [UInt8], to receiver: Sender? = nil) throws(LinuxError) {
    let number = descriptor.number
    let sent = unsafe bytes.withUnsafeBytes { buffer in
      guard let receiver else {
        return unsafe Glibc.send(number, buffer.baseAddress, buffer.count, Int32(MSG_NOSIGNAL))
      }
      return unsafe receiver.address.withPointer {
        unsafe sendto(number, buffer.baseAddress, buffer.count, Int32(MSG_NOSIGNAL), $0, $1)
      }
    }
    guard sent == bytes.count else { throw LinuxError("send") }
  }

  /// The next datagram, or nil when none came within `span`. ECONNREFUSED: nobody has that port.
  package func receive(within span: Seconds) throws(LinuxError) -> (bytes: [UInt8], sender: Sender)? {
    var entry = pollfd(fd: descriptor.number, events: Int16(POLLIN), revents: 0)
    guard unsafe poll(&entry, 1, Int32(span.value * 1000)) > 0 else { return nil }
    var bytes = [UInt8](repeating: 0, count: Self.mostBytes)
    var from = [UInt8](repeating: 0, count: MemoryLayout<sockaddr_storage>.size)
    var size = socklen_t(from.count)
    let count = unsafe from.withUnsafeMutableBytes { from in
      unsafe recvfrom(
        descriptor.number, &bytes, Self.mostBytes, Int32(MSG_DONTWAIT),
        from.assumingMemoryBound(to: sockaddr.self).baseAddress, &size)
    }
    guard count >= 0 else {
      if errno == EAGAIN || errno == EINTR { return nil }
      throw LinuxError("recv")
    }
    return (
      Array(bytes.prefix(count)),
      Sender(address: SocketAddress(family: 0, bytes: Array(from.prefix(Int(size)))))
    )
  }
}
