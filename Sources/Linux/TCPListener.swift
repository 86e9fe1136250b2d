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
    guard let (host, service) = Self.split(address) else {
      throw LinuxError("address", address, number: EINVAL)
    }
    var wanted = unsafe addrinfo()
    unsafe wanted.ai_flags = AI_PASSIVE | AI_NUMERICSERV
    unsafe wanted.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    guard unsafe getaddrinfo(host, service, &wanted, &found) == 0, let first = unsafe found else {
      throw LinuxError("address", address, number: EADDRNOTAVAIL)
    }
    defer { unsafe freeaddrinfo(found) }

    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let fd = FileDescriptor(owning: unsafe socket(first.pointee.ai_family, type, 0))
    guard fd.number >= 0 else { throw LinuxError("socket") }
    var one: Int32 = 1
    unsafe _ = setsockopt(fd.number, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
    guard unsafe bind(fd.number, first.pointee.ai_addr, first.pointee.ai_addrlen) == 0 else {
      throw LinuxError("bind", address)
    }
    guard listen(fd.number, 16) == 0 else { throw LinuxError("listen", address) }

    (port, isLoopback) = Self.bound(fd.number)
    self.address = String(address.dropLast(service.utf8.count)) + "\(port)"
    descriptor = fd
  }

  /// Host and port of `HOST:PORT` or `[HOST]:PORT`.
  static func split(_ address: String) -> (host: String, service: String)? {
    guard let colon = address.lastIndex(of: ":"), let port = UInt16(address[address.index(after: colon)...]) else {
      return nil
    }
    var host = address[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]") {
      host = host.dropFirst().dropLast()
    } else if host.contains(":") {
      return nil
    }
    return host.isEmpty ? nil : (String(host), "\(port)")
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
