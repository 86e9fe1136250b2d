import Glibc

/// Where a program's words go. Tests give closures that keep them.
struct Console {
  /// Lines for standard output, without the newline.
  var print: (String) -> Void
  /// Lines for standard error, without the newline.
  var remark: (String) -> Void
  /// Replaces the line the cursor stands on, on standard error; nil where that is no terminal.
  var redraw: ((String) -> Void)?
  /// True when standard output is a terminal.
  var isTerminal: Bool
  /// Characters in a line of the terminal.
  var width: () -> Int

  /// The standard streams of this process.
  static var standard: Console {
    let redraws = isatty(STDERR_FILENO) == 1
    return Console(
      print: { write(STDOUT_FILENO, $0 + "\n") }, remark: { write(STDERR_FILENO, $0 + "\n") },
      redraw: redraws ? { write(STDERR_FILENO, "\r" + $0 + "\u{1B}[K") } : nil,
      isTerminal: isatty(STDOUT_FILENO) == 1, width: terminalWidth)
  }

  private static func write(_ descriptor: Int32, _ text: String) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let written = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if written >= 0 {
        rest = rest.dropFirst(written)
      } else if errno == EPIPE {
        // The reader has seen enough (insituctl … | head): no complaint, and the code the signal would have given.
        exit(128 + SIGPIPE)
      } else if errno != EINTR {
        return
      }
    }
  }

  private static func terminalWidth() -> Int {
    var size = winsize()
    let known = unsafe ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
    return known ? Int(size.ws_col) : 80
  }
}
