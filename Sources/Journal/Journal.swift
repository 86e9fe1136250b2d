import Glibc
import Linux

/// The daemon's log: one line per event on standard error, none per frame.
///
/// Under systemd (`$JOURNAL_STREAM` is set) each line begins with its priority as `<N>`; elsewhere with the time.
package struct Journal: Sendable {
  /// syslog(3) priorities that are used.
  package enum Priority: Int, Sendable {
    case error = 3
    case warning = 4
    case notice = 5
    case info = 6
  }

  private let underSystemd: Bool
  private let writing = Monitor(())

  package init() { unsafe underSystemd = getenv("JOURNAL_STREAM") != nil }

  package func log(_ priority: Priority, _ text: String) {
    let oneLine = text.replacing("\n", with: " ")
    let prefix = underSystemd ? "<\(priority.rawValue)>" : "\(Self.clockText()) \(Self.word(priority)) "
    let line = Array((prefix + oneLine + "\n").utf8)
    writing.update { (_: inout Void) in
      // A terminal that was stopped, or a full pipe, must not hold up who has something to do: the line is lost then.
      var standardError = pollfd(fd: 2, events: Int16(POLLOUT), revents: 0)
      guard unsafe poll(&standardError, 1, 0) > 0 else { return }
      unsafe _ = write(2, line, line.count)
    }
  }

  private static func word(_ priority: Priority) -> String {
    switch priority {
    case .error: "error"
    case .warning: "warning"
    case .notice, .info: "info"
    }
  }

  /// Local time of day with milliseconds.
  private static func clockText() -> String {
    var now = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &now)
    var parts = unsafe tm()
    unsafe localtime_r(&now.tv_sec, &parts)
    func two(_ n: Int32) -> String { n < 10 ? "0\(n)" : "\(n)" }
    let milliseconds = String(1000 + now.tv_nsec / 1_000_000).dropFirst()
    return unsafe "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)).\(milliseconds)"
  }
}
