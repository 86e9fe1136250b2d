import Glibc

/// One Internet address and port, as the kernel takes it.
struct SocketAddress: Sendable {
  let family: Int32
  let bytes: [UInt8]

  /// What `HOST:PORT` stands for, the preferred first; an IPv6 host stands in brackets.
  /// - Parameter toListen: the address is one of this computer's own.
  /// - Returns: at least one.
  static func all(_ address: String, type: __socket_type, toListen: Bool = false) throws(LinuxError) -> [SocketAddress]
  {
    guard let (host, service) = split(address) else { throw LinuxError("address", address, number: EINVAL) }
    var wanted = unsafe addrinfo()
    unsafe wanted.ai_flags = AI_NUMERICSERV | (toListen ? AI_PASSIVE : 0)
    unsafe wanted.ai_socktype = Int32(type.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    guard unsafe getaddrinfo(host, service, &wanted, &found) == 0 else {
      throw LinuxError("resolve", host, number: ENXIO)
    }
    defer { unsafe freeaddrinfo(found) }
    var addresses: [SocketAddress] = []
    var next = unsafe found
    while let entry = unsafe next {
      addresses.append(
        SocketAddress(
          family: unsafe entry.pointee.ai_family,
          bytes: unsafe Array(
            UnsafeRawBufferPointer(start: entry.pointee.ai_addr, count: Int(entry.pointee.ai_addrlen)))))
      unsafe next = entry.pointee.ai_next
    }
    guard !addresses.isEmpty else { throw LinuxError("resolve", host, number: ENXIO) }
    return addresses
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

  func withPointer<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
    unsafe bytes.withUnsafeBytes {
      unsafe body($0.assumingMemoryBound(to: sockaddr.self).baseAddress!, socklen_t($0.count))
    }
  }
}
