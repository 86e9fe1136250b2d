import CLinux
import Glibc
package import Quantities

extension UnixStream {
  /// Bytes that the kernel may hold for a reader that is busy; it gives less where the system's limit is lower.
  private static let receiveBufferBytes: Int32 = 8 << 20

  /// Connects to `HOST:PORT` over TCP; an IPv6 host stands in brackets.
  /// - Parameter limit: for each address that the host's name stands for.
  package static func connect(tcp address: String, within limit: Seconds) throws(LinuxError) -> UnixStream {
    var failure: LinuxError?
    for target in try SocketAddress.all(address, type: SOCK_STREAM) {
      do throws(LinuxError) { return try connect(target, address, within: limit) } catch { failure = error }
    }
    throw failure ?? LinuxError("connect", address, number: ENXIO)
  }

  private static func connect(
    _ target: SocketAddress, _ address: String, within limit: Seconds
  ) throws(LinuxError) -> UnixStream {
    // Not blocking, so that a host that is switched off costs `limit` and not the kernel's two minutes.
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let fd = FileDescriptor(owning: socket(target.family, type, 0))
    let number = fd.number
    guard number >= 0 else { throw LinuxError("socket") }
    var bytes = receiveBufferBytes
    let size = socklen_t(MemoryLayout<Int32>.size)
    unsafe _ = setsockopt(number, SOL_SOCKET, SO_RCVBUF, &bytes, size)
    if unsafe target.withPointer({ unsafe Glibc.connect(number, $0, $1) }) != 0 {
      guard errno == EINPROGRESS || errno == EINTR else { throw LinuxError("connect", address) }
      var wait = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
      let end = MonotonicTime.now + limit
      var ready: Int32 = 0
      repeat {
        let left = max(0, (end - .now).nanoseconds)
        ready = unsafe poll(&wait, 1, Int32(min(left + 999_999, 1 << 50) / 1_000_000))
      } while ready < 0 && errno == EINTR && MonotonicTime.now < end
      guard ready > 0 else { throw LinuxError("connect", address, number: ETIMEDOUT) }
      var failed: Int32 = 0
      var length = size
      unsafe _ = getsockopt(number, SOL_SOCKET, SO_ERROR, &failed, &length)
      guard failed == 0 else { throw LinuxError("connect", address, number: failed) }
    }
    var one: Int32 = 1
    unsafe _ = setsockopt(number, Int32(IPPROTO_TCP), TCP_NODELAY, &one, size)
    unsafe _ = setsockopt(number, SOL_SOCKET, SO_KEEPALIVE, &one, size)
    return UnixStream(fd)
  }
}
