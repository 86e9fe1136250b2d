import CLinux
import Glibc
package import Quantities

/// Signals as something to wait for. They are blocked in the calling thread, and in all it starts later, from the making
/// of this on, and stay blocked when it goes.
package struct SignalDescriptor: ~Copyable {
  private let descriptor: FileDescriptor

  /// - Parameter signals: for example `[SIGINT, SIGTERM]`.
  package init(_ signals: [Int32]) throws(LinuxError) {
    let number = unsafe signals.withUnsafeBufferPointer { unsafe clinux_signalfd($0.baseAddress!, Int32($0.count)) }
    guard number >= 0 else { throw LinuxError("signalfd") }
    descriptor = FileDescriptor(owning: number)
  }

  /// Readable while a signal is pending.
  package var number: Int32 { descriptor.number }

  /// The next signal that came within `span`, taken; nil when none did.
  package func next(within span: Seconds) -> Int32? {
    var entry = pollfd(fd: descriptor.number, events: Int16(POLLIN), revents: 0)
    guard unsafe poll(&entry, 1, Int32(min(max(0, span.value), 3600) * 1000)) > 0 else { return nil }
    let signal = clinux_next_signal(descriptor.number)
    return signal == 0 ? nil : signal
  }
}
