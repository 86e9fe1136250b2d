import Glibc

/// One Internet address and port, as the kernel takes it.
struct SocketAddress: Sendable {
  let family: Int32
  let bytes: [UInt8]

  /// Looks `HOST:PORT` up; an IPv6 host stands in brackets.
  init(_ address: String, type: __socket_type) throws(LinuxError) {
    guard let (host, service) = TCPListener.split(address) else {
      throw LinuxError("address", address, number: EINVAL)
    }
    var wanted = unsafe addrinfo()
    unsafe wanted.ai_flags = AI_NUMERICSERV
    unsafe wanted.ai_socktype = Int32(type.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    guard unsafe getaddrinfo(host, service, &wanted, &found) == 0, let first = unsafe found else {
      throw LinuxError("address", address, number: EADDRNOTAVAIL)
    }
    defer { unsafe freeaddrinfo(found) }
    family = unsafe first.pointee.ai_family
    bytes = unsafe Array(
      UnsafeRawBufferPointer(start: first.pointee.ai_addr, count: Int(first.pointee.ai_addrlen)))
  }

  init(family: Int32, bytes: [UInt8]) {
    self.family = family
    self.bytes = bytes
  }

  func withPointer<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
    unsafe bytes.withUnsafeBytes {
      unsafe body($0.assumingMemoryBound(to: sockaddr.self).baseAddress!, socklen_t($0.count))
    }
  }
}
