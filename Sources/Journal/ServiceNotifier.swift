import Glibc

/// Tells systemd how the service is: one datagram to `$NOTIFY_SOCKET` per message (sd_notify(3)). Does nothing elsewhere.
package struct ServiceNotifier: Sendable {
  private let path: String?

  package init() {
    path = Self.environment("NOTIFY_SOCKET")
  }

  private static func environment(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
  }

  package func ready(_ status: String) { send("READY=1\nSTATUS=\(status)") }
  package func stopping() { send("STOPPING=1") }
  package func feedWatchdog() { send("WATCHDOG=1") }

  private func send(_ message: String) {
    guard let path else { return }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var name = Array(path.utf8)
    guard !name.isEmpty, name.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
    if name[0] == UInt8(ascii: "@") { name[0] = 0 }  // the abstract namespace
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: name) }
    let length = socklen_t(MemoryLayout.offset(of: \sockaddr_un.sun_path)! + name.count)

    let socketNumber = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard socketNumber >= 0 else { return }
    defer { close(socketNumber) }
    let bytes = Array(message.utf8)
    unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe _ = sendto(socketNumber, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, length)
      }
    }
  }
}
