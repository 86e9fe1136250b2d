import CLinux
import Glibc
package import Quantities

private func withAddress<R>(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> R) throws(LinuxError) -> R {
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  let bytes = Array(path.utf8)
  guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
    throw LinuxError("socket path", path, number: ENAMETOOLONG)
  }
  unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
  return unsafe withUnsafePointer(to: &address) {
    unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      unsafe body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
    }
  }
}

/// A connected stream socket, of a Unix path or of TCP. Reads and writes are whole or throw; each waits at most its
/// time limit.
package final class UnixStream: @unchecked Sendable {
  package let descriptor: FileDescriptor

  init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

  package static func connect(_ path: String) throws(LinuxError) -> UnixStream {
    let fd = FileDescriptor(owning: socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0))
    guard fd.number >= 0 else { throw LinuxError("socket") }
    let number = fd.number
    let result = unsafe try withAddress(path) { unsafe Glibc.connect(number, $0, $1) }
    guard result == 0 else { throw LinuxError("connect", path) }
    return UnixStream(fd)
  }

  /// Fills `buffer`. A peer that closed gives ECONNRESET; nothing within `limit` gives ETIMEDOUT.
  package func readExactly(_ buffer: UnsafeMutableRawBufferPointer, within limit: Seconds) throws(LinuxError) {
    let end = MonotonicTime.now + limit
    var done = 0
    while done < buffer.count {
      // Most often the bytes are there: poll(2) is asked only when they are not.
      let n = unsafe recv(
        descriptor.number, buffer.baseAddress! + done, buffer.count - done, Int32(MSG_DONTWAIT))
      if n == 0 { throw LinuxError("recv", number: ECONNRESET) }
      if n > 0 {
        done += n
      } else if errno == EAGAIN {
        try waitFor(Int16(POLLIN), until: end)
      } else if errno != EINTR {
        throw LinuxError("recv")
      }
    }
  }

  package func readExactly(_ count: Int, within limit: Seconds) throws(LinuxError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var failure: LinuxError?
    unsafe bytes.withUnsafeMutableBytes { buffer in
      do throws(LinuxError) { unsafe try readExactly(buffer, within: limit) } catch { failure = error }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Bytes up to and without the next newline; at most `most` of them.
  package func readLine(most: Int = 4096, within limit: Seconds) throws(LinuxError) -> String {
    let end = MonotonicTime.now + limit
    var line: [UInt8] = []
    while line.count < most {
      let byte = try readExactly(1, within: max(end - .now, Seconds(0)))[0]
      if byte == 10 { return String(decoding: line, as: UTF8.self) }
      line.append(byte)
    }
    throw LinuxError("recv", number: EMSGSIZE)
  }

  package func write(_ bytes: [UInt8], within limit: Seconds = Seconds(5)) throws(LinuxError) {
    var failure: LinuxError?
    unsafe bytes.withUnsafeBytes { buffer in
      do throws(LinuxError) { unsafe try write(buffer, within: limit) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  package func write(_ bytes: UnsafeRawBufferPointer, within limit: Seconds) throws(LinuxError) {
    let end = MonotonicTime.now + limit
    var done = 0
    while done < bytes.count {
      let n = unsafe send(
        descriptor.number, bytes.baseAddress! + done, bytes.count - done, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
      if n >= 0 {
        done += n
      } else if errno == EAGAIN {
        try waitFor(Int16(POLLOUT), until: end)
      } else if errno != EINTR {
        throw LinuxError("send")
      }
    }
  }

  /// Reads what is there, at most `buffer.count` bytes, and waits at most `span` for the first of them.
  /// - Returns: 0 when nothing came. A peer that closed gives ECONNRESET.
  package func readSome(_ buffer: UnsafeMutableRawBufferPointer, within span: Seconds) throws(LinuxError) -> Int {
    guard buffer.count > 0 else { return 0 }
    while true {
      let n = unsafe recv(descriptor.number, buffer.baseAddress!, buffer.count, Int32(MSG_DONTWAIT))
      if n > 0 { return n }
      if n == 0 { throw LinuxError("recv", number: ECONNRESET) }
      if errno == EINTR { continue }
      guard errno == EAGAIN else { throw LinuxError("recv") }
      guard isReadable(within: span) else { return 0 }
    }
  }

  /// True when bytes (or the end of the stream) can be read within `span`.
  package func isReadable(within span: Seconds) -> Bool {
    (try? waitFor(Int16(POLLIN), until: .now + span)) != nil
  }

  private func waitFor(_ events: Int16, until end: MonotonicTime) throws(LinuxError) {
    while true {
      var entry = pollfd(fd: descriptor.number, events: events, revents: 0)
      let left = max(0, (end - .now).nanoseconds)
      let n = unsafe poll(&entry, 1, Int32(min(left + 999_999, 1 << 50) / 1_000_000))
      if n > 0 { return }
      if n < 0 && errno != EINTR { throw LinuxError("poll") }
      if MonotonicTime.now >= end { throw LinuxError("poll", number: ETIMEDOUT) }
    }
  }

  /// Ends both directions; a reader in another thread wakes with the end of the stream.
  package func shutdown() { _ = Glibc.shutdown(descriptor.number, Int32(SHUT_RDWR)) }

  /// Process id and user id of the peer.
  package var peer: (process: Int32, user: Int32)? {
    var process: Int32 = 0
    var user: Int32 = 0
    return unsafe clinux_peer(descriptor.number, &process, &user) == 0 ? (process, user) : nil
  }
}

/// A listening stream socket at a path, mode 0660.
package final class UnixListener: StreamListener, @unchecked Sendable {
  package let descriptor: FileDescriptor
  package let path: String

  /// Binds and listens. A socket left behind at the path by a process that is gone is replaced.
  package init(_ path: String) throws(LinuxError) {
    if FileSystem.exists(path) {
      if (try? UnixStream.connect(path)) != nil { throw LinuxError("bind", path, number: EADDRINUSE) }
      FileSystem.remove(path)
    }
    let fd = FileDescriptor(owning: socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0))
    guard fd.number >= 0 else { throw LinuxError("socket") }
    let number = fd.number
    guard unsafe try withAddress(path, { unsafe Glibc.bind(number, $0, $1) }) == 0 else {
      throw LinuxError("bind", path)
    }
    unsafe _ = chmod(path, 0o660)
    guard listen(number, 16) == 0 else { throw LinuxError("listen", path) }
    self.path = path
    descriptor = fd
  }

  deinit { FileSystem.remove(path) }

  /// The next connection, or nil when none came within `span`.
  package func accept(within span: Seconds) throws(LinuxError) -> UnixStream? {
    var entry = pollfd(fd: descriptor.number, events: Int16(POLLIN), revents: 0)
    let n = unsafe poll(&entry, 1, Int32(span.value * 1000))
    guard n > 0 else { return nil }
    let number = clinux_accept(descriptor.number)
    guard number >= 0 else {
      if errno == EINTR || errno == ECONNABORTED { return nil }
      throw LinuxError("accept", path)
    }
    return UnixStream(FileDescriptor(owning: number))
  }
}
