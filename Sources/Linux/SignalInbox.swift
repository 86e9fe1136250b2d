import CLinux

/// Signals as messages instead of interruptions.
package struct SignalInbox: ~Copyable {
  private let descriptor: FileDescriptor

  /// Blocks the signals in the calling thread and in all it starts later: make it before any other thread.
  package init(_ signals: [Int32]) throws(LinuxError) {
    let number = unsafe clinux_signalfd(signals, Int32(signals.count))
    guard number >= 0 else { throw LinuxError("signalfd") }
    descriptor = FileDescriptor(owning: number)
  }

  /// The next signal, or nil when none is waiting. Never blocks.
  package borrowing func next() -> Int32? {
    let signal = clinux_next_signal(descriptor.number)
    return signal == 0 ? nil : signal
  }
}
