import Glibc
package import Quantities

extension UnixStream {
  /// Connects to `HOST:PORT`; an IPv6 host stands in brackets. Nobody there within `limit` gives ETIMEDOUT.
  package static func connect(tcp address: String, within limit: Seconds) throws(LinuxError) -> UnixStream {
    let target = try SocketAddress(address, type: SOCK_STREAM)
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let fd = FileDescriptor(owning: socket(target.family, type, 0))
    let number = fd.number
    guard number >= 0 else { throw LinuxError("socket") }
    if unsafe target.withPointer({ unsafe Glibc.connect(number, $0, $1) }) != 0 {
      guard errno == EINPROGRESS else { throw LinuxError("connect", address) }
      var entry = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
      guard unsafe poll(&entry, 1, Int32(limit.value * 1000)) > 0 else {
        throw LinuxError("connect", address, number: ETIMEDOUT)
      }
      var failure: Int32 = 0
      var size = socklen_t(MemoryLayout<Int32>.size)
      unsafe _ = getsockopt(number, SOL_SOCKET, SO_ERROR, &failure, &size)
      guard failure == 0 else { throw LinuxError("connect", address, number: failure) }
    }
    // Requests are small and go at once; a computer that was switched off is noticed.
    var one: Int32 = 1
    let size = socklen_t(MemoryLayout<Int32>.size)
    unsafe _ = setsockopt(number, Int32(IPPROTO_TCP), TCP_NODELAY, &one, size)
    unsafe _ = setsockopt(number, SOL_SOCKET, SO_KEEPALIVE, &one, size)
    return UnixStream(fd)
  }
}
