import CLinux
import Glibc
package import Quantities

/// A listening TCP socket at `HOST:PORT`; an IPv6 host stands in brackets.
package final class TCPListener: StreamListener, @unchecked Sendable {
  private let descriptor: FileDescriptor
  /// `HOST:PORT` with the port that is bound, also when 0 was asked for.
  package let address: String
  package let port: UInt16
  /// Only programs on this computer can reach it.
  package let isLoopback: Bool

  /// Binds and listens.
  package init(_ address: String) throws(LinuxError) {
    let local = try SocketAddress.all(address, type: SOCK_STREAM, toListen: true)[0]
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let fd = FileDescriptor(owning: socket(local.family, type, 0))
    guard fd.number >= 0 else { throw LinuxError("socket") }
    var one: Int32 = 1
    unsafe _ = setsockopt(fd.number, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
    let number = fd.number
    guard unsafe local.withPointer({ unsafe bind(number, $0, $1) }) == 0 else {
      throw LinuxError("bind", address)
    }
    guard listen(fd.number, 16) == 0 else { throw LinuxError("listen", address) }

    (port, isLoopback) = Self.bound(fd.number)
    self.address = address[...(address.lastIndex(of: ":") ?? address.startIndex)] + "\(port)"
    descriptor = fd
  }

  private static func bound(_ number: Int32) -> (port: UInt16, isLoopback: Bool) {
    var storage = sockaddr_in6()
    var size = socklen_t(MemoryLayout<sockaddr_in6>.size)
    let bytes = unsafe withUnsafeMutablePointer(to: &storage) { pointer -> [UInt8] in
      let result = unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe getsockname(number, $0, &size)
      }
      return result == 0 ? unsafe Array(UnsafeRawBufferPointer(start: pointer, count: Int(size))) : []
    }
    guard bytes.count >= 8 else { return (0, false) }
    let port = UInt16(bytes[2]) << 8 | UInt16(bytes[3])
    let loopback6 = [UInt8](repeating: 0, count: 15) + [1]
    // IPv4: the address follows the port; IPv6: four bytes of flow label stand between (RFC 3493 §3.3).
    let isLoopback = bytes.count >= 24 ? Array(bytes[8..<24]) == loopback6 : bytes[4] == 127
    return (port, isLoopback)
  }

  package func accept(within span: Seconds) throws(LinuxError) -> UnixStream? {
    var entry = pollfd(fd: descriptor.number, events: Int16(POLLIN), revents: 0)
    guard unsafe poll(&entry, 1, Int32(span.value * 1000)) > 0 else { return nil }
    let number = clinux_accept(descriptor.number)
    guard number >= 0 else {
      if errno == EINTR || errno == ECONNABORTED { return nil }
      throw LinuxError("accept", address)
    }
    // Small messages go at once, and a computer that was switched off is noticed.
    var one: Int32 = 1
    let size = socklen_t(MemoryLayout<Int32>.size)
    unsafe _ = setsockopt(number, Int32(IPPROTO_TCP), TCP_NODELAY, &one, size)
    unsafe _ = setsockopt(number, SOL_SOCKET, SO_KEEPALIVE, &one, size)
    return UnixStream(FileDescriptor(owning: number))
  }
}
